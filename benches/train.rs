//! Steps of training, beside torch: `cargo bench --bench train -- NETWORK [BATCH [STEPS]]`, with `RAYON_NUM_THREADS=2` before it
//! for two threads; `train_torch.py` beside this file takes the same steps of the same networks and says how it is run. The
//! fastest step counts, since other work on the machine only ever adds to one; run both in turn, several times. On a machine that
//! others use too, the processors' time for a step says more.
//!
//! A step is all that [`Trainer::step`] does with a batch that is one part: forward, triplets, loss, backward, and the move by
//! SGD with momentum. The peak is the process's, with the faces, and before the first step nothing else is in it.

use std::time::Instant;

use kith::train::{FaceSet, Rule, TrainOptions, Trainer, networks};
use kith::{DeviceChoice, Raster};
use rand::{RngCore, SeedableRng};

/// The process's greatest resident memory so far in MiB, where the system tells it.
fn peak() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().trim_end_matches("kB").trim().parse::<u64>().ok()? / 1024)
}

/// Processor time of all threads so far in seconds, where the system tells it.
fn processor() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let (_, fields) = stat.rsplit_once(')')?;
    let ticks: Vec<f64> = fields.split_whitespace().skip(11).take(2).filter_map(|t| t.parse().ok()).collect();
    Some(ticks.iter().sum::<f64>() / 100.0)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // What cargo itself hands over begins with a dash.
    let mut said = std::env::args().skip(1).filter(|a| !a.starts_with('-'));
    let name = said.next().unwrap_or_else(|| "mobilefacenet-prelu".to_string());
    let batch: usize = said.next().map_or(Ok(16), |text| text.parse())?;
    let steps: usize = said.next().map_or(Ok(5), |text| text.parse())?;
    let network = networks::named(&name).ok_or("there is no such network")?;
    let (width, height) = network.chip_size();
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(1);
    let mut chip = || {
        let mut chip = Raster::new(width, height, [0; 3]);
        rng.fill_bytes(chip.data_mut());
        chip
    };
    let chips: Vec<Raster> = (0..batch).map(|_| chip()).collect();
    let people = (0..batch).map(|i| i / 2).collect();
    let faces = FaceSet::new(chips, people)?;
    let options = TrainOptions {
        rule: Rule::SGD,
        rate: 1e-3,
        weight_decay: 5e-4,
        clip: None,
        average: None,
        augment: false,
        epochs: steps as u64 + 1,
        people: batch / 2,
        each: 2,
        part: batch,
        ..TrainOptions::default()
    };
    let mut trainer = Trainer::new(&name, &faces, options, DeviceChoice::Cpu)?;
    let before = peak();
    let (mut seconds, mut worked) = (Vec::new(), Vec::new());
    for _ in 0..=steps {
        let (begin, used) = (Instant::now(), processor());
        trainer.step(&faces)?;
        seconds.push(begin.elapsed().as_secs_f64());
        worked.extend(processor().zip(used).map(|(now, before)| now - before));
    }
    // The first brings memory and threads to life.
    let mut seconds = seconds.split_off(1);
    seconds.sort_by(f64::total_cmp);
    let worked = worked.into_iter().skip(1).fold(f64::NAN, f64::min);
    let (fastest, median) = (seconds[0], seconds[seconds.len() / 2]);
    let of = |peak: Option<u64>| peak.map_or("unknown".to_string(), |mib| format!("{mib} MiB"));
    println!(
        "{name}, batch {batch}, {} threads: {fastest:.3} s a step (median {median:.3}, of processors {worked:.2}), {:.1} faces a second; peak {}, {} before the first step",
        std::env::var("RAYON_NUM_THREADS").unwrap_or_else(|_| "all".to_string()),
        batch as f64 / fastest,
        of(peak()),
        of(before),
    );
    Ok(())
}
