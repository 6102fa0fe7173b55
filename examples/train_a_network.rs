//! A network learnt from a folder with one folder of photos for each person, with its progress, checkpoints and rates on
//! people whom it has not seen.
//!
//! `cargo run --release --example train_a_network PEOPLE [EPOCHS]`; without a folder it lists the networks.

use std::path::Path;

use kith::train::{Event, TrainOptions, Trainer, chips_of, networks};
use kith::{DeviceChoice, Engine, FaceChoice, LabelledPhoto, Limits};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut said = std::env::args().skip(1);
    let Some(folder) = said.next() else {
        for network in networks::NAMES.into_iter().filter_map(networks::named) {
            let (parameters, operations) = (network.parameters(), network.operations());
            println!("{}: {parameters} parameters, {operations} operations. {}", network.name(), network.about());
        }
        return Ok(());
    };
    let epochs = said.next().map_or(Ok(20), |text| text.parse())?;
    let people = kith::eval::people_of(Path::new(&folder))?;
    let photo = |(person, p): (usize, &kith::eval::Person)| {
        p.photos.iter().map(move |path| LabelledPhoto { person, path: path.clone() }).collect::<Vec<_>>()
    };
    let photos: Vec<LabelledPhoto> = people.iter().enumerate().flat_map(photo).collect();
    let network = networks::named("tiny").ok_or("there is no such network")?;
    let engine = Engine::builder().build()?;
    let (faces, failures) =
        chips_of(&engine, &network, &photos, FaceChoice::Central, &Limits::default(), None, &|| ())?;
    println!("{} faces; {} photos without one", faces.len(), failures.len());

    let (faces, held_out) = faces.hold_out(0.2, 1);
    let options = TrainOptions { epochs, patience: Some(5), ..TrainOptions::default() };
    let mut trainer = Trainer::new("tiny", &faces, options, DeviceChoice::Auto)?;
    let run = Path::new("train_a_network.checkpoint");
    if run.is_file() {
        trainer.resume(run)?;
    }
    let ending = trainer.run(&faces, Some(&held_out), Some(run), &mut |event| {
        if let Event::Epoch(epoch) = event {
            let rates = epoch.validation.as_ref();
            println!("epoch {}: loss {:.4}, AUC {:?}", epoch.epoch + 1, epoch.loss, rates.map(|v| v.auc));
        }
        true
    })?;
    let written = trainer.write("mine.safetensors".as_ref())?;
    println!("{ending:?}; {} is a model like any other: kith embed --weights . --model mine", written.path.display());
    Ok(())
}
