//! The trainer on people from a seeded generator: what it learns, how it ends, and how it goes on.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::super::losses::Head;
use super::super::optimiser::{Rule, Schedule};
use super::*;
use crate::nn::graph::{BATCH_NORM, Layer, Node, Shape};

const SIDE: usize = 16;

/// Convolutions with norms, for chips of 16 pixels.
fn student(normed: bool) -> Network {
    let mut nodes = Vec::new();
    for (i, out) in [16, 32].into_iter().enumerate() {
        let conv = Layer::Conv { out, kernel: (3, 3), stride: 2, padding: (1, 1), depthwise: false, bias: !normed };
        nodes.push(Node { name: format!("conv{i}"), layer: conv });
        if normed {
            nodes.push(Node { name: format!("conv{i}.bn"), layer: BATCH_NORM });
        }
        nodes.push(Node { name: format!("conv{i}.prelu"), layer: Layer::PRelu });
    }
    nodes.push(Node { name: "fc".to_string(), layer: Layer::Linear { out: 16, bias: true } });
    Network { name: "student", about: "", input: Shape { channels: 3, rows: SIDE, columns: SIDE }, nodes }
}

/// People who are smooth patterns, photographed in changing light and with noise.
fn generated(people: usize, each: usize, seed: u64) -> FaceSet {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let (mut chips, mut labels) = (Vec::new(), Vec::new());
    for person in 0..people {
        let grid: Vec<f32> = (0..5 * 5 * 3).map(|_| rng.random_range(-1.0..1.0)).collect();
        for _ in 0..each {
            let (gain, offset) = (rng.random_range(20.0..45.0f32), rng.random_range(90.0..165.0f32));
            let shift = (rng.random_range(-0.25..0.25f32), rng.random_range(-0.25..0.25f32));
            let mut data = Vec::new();
            for y in 0..SIDE {
                for x in 0..SIDE {
                    let place = |v: usize, by: f32| (v as f32 / SIDE as f32 * 4.0 + by).clamp(0.0, 3.999);
                    let (u, v) = (place(x, shift.0), place(y, shift.1));
                    let (i, j, a, b) = (u as usize, v as usize, u.fract(), v.fract());
                    for c in 0..3 {
                        let at = |i: usize, j: usize| grid[(j * 5 + i) * 3 + c];
                        let top = at(i, j) * (1.0 - a) + at(i + 1, j) * a;
                        let low = at(i, j + 1) * (1.0 - a) + at(i + 1, j + 1) * a;
                        let value = offset + gain * (top * (1.0 - b) + low * b) + rng.random_range(-25.0..25.0);
                        data.push(value.clamp(0.0, 255.0) as u8);
                    }
                }
            }
            chips.push(Raster::from_rgb(SIDE as u32, SIDE as u32, data).unwrap());
            labels.push(person);
        }
    }
    FaceSet::new(chips, labels).unwrap()
}

fn options() -> TrainOptions {
    TrainOptions {
        rule: Rule::SGD,
        rate: 0.05,
        epochs: 2,
        people: 8,
        each: 4,
        augment: false,
        average: Some(0.9),
        ..TrainOptions::default()
    }
}

fn begun(faces: &FaceSet, options: TrainOptions) -> Trainer {
    Trainer::of(student(true), faces, options, DeviceChoice::Cpu).unwrap()
}

fn bits(trainer: &Trainer) -> Vec<(String, Vec<u32>)> {
    let bits = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap().iter().map(|v| v.to_bits()).collect();
    let mut all: Vec<(String, Vec<u32>)> =
        trainer.parameters.tensors().iter().map(|(n, t)| (n.clone(), bits(t))).collect();
    all.extend(trainer.result().unwrap().iter().map(|(n, t)| (format!("result {n}"), bits(t))));
    all
}

fn to_the_end(trainer: &mut Trainer, faces: &FaceSet) -> Ending {
    trainer.run(faces, None, None, &mut |_| true).unwrap()
}

#[test]
fn every_objective_learns_people_whom_it_has_not_seen() {
    let (faces, held_out) = (generated(48, 6, 1), generated(24, 6, 2));
    let heads = [Head::Softmax, Head::ARCFACE, Head::COSFACE, Head::SFACE].map(Objective::Head);
    for objective in [Objective::PAPER].into_iter().chain(heads) {
        let mut trainer = begun(&faces, TrainOptions { objective, epochs: 12, rate: 0.03, ..options() });
        let before = trainer.validate(&held_out).unwrap();
        assert_eq!(trainer.run(&faces, Some(&held_out), None, &mut |_| true).unwrap(), Ending::Finished);
        let epochs = trainer.epochs();
        let last = epochs[11].validation.as_ref().unwrap();
        println!(
            "{objective:?}: loss {:.3} to {:.3}, active {:?} to {:?}, TAR at FAR 0.01 {:?} to {:?}, AUC {:.3} to {:.3}",
            epochs[0].loss,
            epochs[11].loss,
            epochs[0].active,
            epochs[11].active,
            before.tar(1e-2),
            last.tar(1e-2),
            before.auc,
            last.auc
        );
        // Of semi-hard triplets ever fewer are left; those left are as hard as before.
        let counted = |e: &EpochReport| e.loss * e.active.unwrap_or(1.0);
        assert!(counted(&epochs[11]) < counted(&epochs[0]), "{objective:?}: the loss falls");
        assert!(last.tar(1e-2).unwrap() > before.tar(1e-2).unwrap() + 0.1 && last.auc > before.auc, "{objective:?}");
        assert!((trainer.validate(&held_out).unwrap().auc - last.auc).abs() < 1e-12);
    }
}

#[test]
fn the_hardest_negatives_from_the_start_collapse_and_a_semi_hard_start_does_not() {
    let faces = generated(48, 6, 1);
    let spread = |semi_hard_epochs: u64| {
        let objective = Objective::Triplet { mining: Mining::BatchHard, margin: 0.2, semi_hard_epochs };
        // Without norms, which would keep a batch apart, and as FaceNet's NN1 is.
        let options = TrainOptions { objective, epochs: 16, rate: 0.2, clip: None, average: None, ..options() };
        let mut trainer = Trainer::of(student(false), &faces, options, DeviceChoice::Cpu).unwrap();
        let mut last = (0.0, 0.0);
        let mut watch = |event: Event| {
            if let Event::Step(step) = event {
                last = (step.spread, step.loss);
            }
            true
        };
        trainer.run(&faces, None, None, &mut watch).unwrap();
        last
    };
    let (from_the_start, after_semi_hard) = (spread(0), spread(8));
    println!("spread and loss: batch-hard {from_the_start:?}, after a semi-hard start {after_semi_hard:?}");
    assert!(from_the_start.0 < 0.02, "all faces on one point");
    assert!((from_the_start.1 - 0.2).abs() < 0.02, "where the loss is the margin");
    assert!(after_semi_hard.0 > 10.0 * from_the_start.0 && after_semi_hard.0 > 0.2);
}

#[test]
fn a_run_that_was_interrupted_ends_with_the_same_bits() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.checkpoint");
    let faces = generated(20, 5, 3);
    for (rule, objective) in [
        (Rule::SGD, Objective::PAPER),
        (Rule::ADAMW, Objective::Head(Head::ARCFACE)),
        (Rule::Adagrad, Objective::Head(Head::Softmax)),
    ] {
        let options =
            TrainOptions { rule, objective, epochs: 3, augment: true, schedule: Schedule::Cosine, ..options() };
        let mut whole = begun(&faces, options.clone());
        assert_eq!(to_the_end(&mut whole, &faces), Ending::Finished);
        let mut first = begun(&faces, options.clone());
        // In the middle of the second epoch.
        let mut left = 4;
        let mut watch = |event: Event| {
            left -= i32::from(matches!(event, Event::Step(_)));
            left > 0
        };
        let ending = first.run(&faces, None, Some(&path), &mut watch).unwrap();
        assert_eq!((ending, first.steps_done()), (Ending::Interrupted, 4));
        let mut second = begun(&faces, options);
        second.resume(&path).unwrap();
        assert_eq!((second.steps_done(), second.epochs().len()), (4, 1));
        assert_eq!(to_the_end(&mut second, &faces), Ending::Finished);
        assert_eq!(bits(&whole), bits(&second), "{rule:?}");
        assert_eq!(whole.epochs(), second.epochs());
    }
}

/// The tests below that need a process of their own run this one in it, with what to do in the environment.
#[test]
fn child() {
    let Some(path) = std::env::var_os("KITH_TEST_CHECKPOINT").map(PathBuf::from) else { return };
    let faces = generated(20, 5, 3);
    let mut trainer = begun(&faces, TrainOptions { epochs: 400, ..options() });
    let ending = trainer.run(&faces, None, Some(&path), &mut |_| true);
    println!("ended {:?}", ending.map_err(|e| (e.code(), e.to_string())));
}

fn in_a_process(before: &str, path: &Path) -> Command {
    let mut command = Command::new("bash");
    let name = std::any::type_name_of_val(&child).split_once("::").unwrap().1.to_string();
    command.args(["-c", &format!("{before}exec \"$0\" --exact {name} --nocapture")]);
    command.arg(std::env::current_exe().unwrap()).env("KITH_TEST_CHECKPOINT", path).stdout(Stdio::piped());
    command
}

#[test]
fn a_run_that_was_killed_goes_on_with_the_same_bits() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.checkpoint");
    let mut child = in_a_process("", &path).spawn().unwrap();
    let began = Instant::now();
    // Killed once some checkpoints have been written over one another, wherever it is then.
    let mut seen = std::collections::BTreeSet::new();
    while seen.len() < 5 && began.elapsed() < Duration::from_secs(120) {
        if let Ok(written) = std::fs::metadata(&path).and_then(|m| m.modified()) {
            seen.insert(written);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let faces = generated(20, 5, 3);
    let mut killed = begun(&faces, TrainOptions { epochs: 400, ..options() });
    killed.resume(&path).unwrap();
    let done = killed.steps_done();
    assert!(done >= 3 && done < killed.steps(), "{done} steps");
    let mut whole = begun(&faces, TrainOptions { epochs: 400, ..options() });
    for _ in 0..done {
        whole.step(&faces).unwrap();
    }
    for _ in 0..3 {
        assert_eq!(whole.step(&faces).unwrap(), killed.step(&faces).unwrap());
    }
    assert_eq!(bits(&whole), bits(&killed));
}

#[cfg(unix)]
#[test]
fn a_full_disk_at_a_checkpoint_is_said_and_the_one_before_it_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.checkpoint");
    let faces = generated(20, 5, 3);
    let trainer = begun(&faces, TrainOptions { epochs: 400, ..options() });
    trainer.save(&path).unwrap();
    let before = std::fs::read(&path).unwrap();
    // No file may grow beyond 8 KiB there: the write fails in its middle, as on a full disk.
    let output = in_a_process("trap '' XFSZ; ulimit -f 8; ", &path).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("train.checkpoint") && said.contains("the one before it is untouched"), "{said}");
    assert!(std::fs::read(&path).unwrap() == before, "the checkpoint before is untouched");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
}

#[test]
fn parts_of_a_batch_give_the_gradient_of_the_whole() {
    let faces = generated(12, 5, 4);
    for objective in [Objective::PAPER, Objective::Head(Head::Softmax)] {
        let stepped = |part: usize| {
            let options = TrainOptions { objective, part, average: None, clip: None, ..options() };
            let mut trainer = Trainer::of(student(false), &faces, options, DeviceChoice::Cpu).unwrap();
            let report = trainer.step(&faces).unwrap();
            (report, trainer.result().unwrap())
        };
        let ((whole, a), (parts, b)) = (stepped(32), stepped(7));
        assert_eq!(whole.active, parts.active, "mined over the whole batch");
        assert!((whole.loss - parts.loss).abs() < 1e-5 && (whole.norm / parts.norm - 1.0).abs() < 1e-4);
        for (name, tensor) in &a {
            let gap = (tensor - &b[name]).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
            assert!(gap < 1e-5, "{name}: {gap}");
        }
    }
}

#[test]
fn a_last_part_of_one_face_goes_with_the_part_before_it() {
    let faces = generated(12, 5, 4);
    // 25 faces: 8, 8 and 9. The whole batch together could be more than there is memory for.
    let statistics = |part: usize| {
        let options = TrainOptions { people: 5, each: 5, part, ..options() };
        let mut trainer = begun(&faces, options);
        trainer.step(&faces).unwrap();
        bits(&trainer).into_iter().filter(|(name, _)| name.contains("running_mean")).collect::<Vec<_>>()
    };
    assert_ne!(statistics(8), statistics(25));
    assert_eq!(statistics(24), statistics(25), "24 and one are the whole");
}

#[test]
fn faces_that_the_run_did_not_begin_with_are_refused() {
    let faces = generated(12, 5, 4);
    let mut trainer = begun(&faces, options());
    for other in [generated(12, 4, 4), generated(12, 5, 7), FaceSet::default()] {
        let error = trainer.run(&other, None, None, &mut |_| true).unwrap_err();
        assert_eq!(error.code(), "model.invalid_option", "{error}");
    }
    for other in [generated(12, 4, 4), FaceSet::default()] {
        assert_eq!(trainer.step(&other).unwrap_err().code(), "model.invalid_option");
    }
    assert_eq!(trainer.steps_done(), 0);
    trainer.step(&faces).unwrap();
}

#[test]
fn a_run_that_has_diverged_does_not_take_the_place_of_its_last_good_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.checkpoint");
    let faces = generated(12, 5, 4);
    let mut trainer = begun(&faces, options());
    trainer.step(&faces).unwrap();
    trainer.save(&path).unwrap();
    let good = std::fs::read(&path).unwrap();
    let weight = &trainer.parameters.learnt["fc.weight"];
    weight.set(&weight.affine(1e30, 0.0).unwrap().affine(1e30, 0.0).unwrap()).unwrap();
    let error = trainer.save(&path).unwrap_err();
    assert!(error.code() == "train.checkpoint" && error.to_string().contains("fc.weight"), "{error}");
    assert!(std::fs::read(&path).unwrap() == good);
}

#[test]
fn frozen_layers_stay_with_their_running_statistics() {
    let faces = generated(12, 5, 4);
    let mut trainer = begun(&faces, TrainOptions { frozen: vec!["conv0".to_string()], ..options() });
    let before: BTreeMap<_, _> = bits(&trainer).into_iter().collect();
    for _ in 0..2 {
        trainer.step(&faces).unwrap();
    }
    for (name, now) in bits(&trainer).into_iter().filter(|(n, _)| !n.starts_with("result")) {
        assert_eq!(before[&name] == now, name.starts_with("conv0."), "{name}");
    }
}

#[test]
fn a_loss_that_is_no_number_stops_the_run_with_nothing_moved() {
    let faces = generated(12, 5, 4);
    let mut trainer = begun(&faces, TrainOptions { objective: Objective::Head(Head::Softmax), ..options() });
    trainer.step(&faces).unwrap();
    let fc = &trainer.parameters.learnt["fc.bias"];
    let broken = fc.zeros_like().unwrap().affine(0.0, f64::NAN).unwrap();
    fc.set(&broken).unwrap();
    let before = bits(&trainer);
    let error = trainer.step(&faces).unwrap_err();
    assert_eq!(error.code(), "train.not_finite");
    assert!(error.to_string().contains("step 1: the loss"), "{error}");
    assert_eq!((bits(&trainer), trainer.steps_done()), (before, 1));
}

#[test]
fn training_stops_where_validation_is_no_better_and_writes_the_best() {
    let (faces, held_out) = (generated(12, 5, 4), generated(12, 5, 5));
    // A rate at which nothing moves.
    let still = TrainOptions { patience: Some(2), epochs: 50, rate: 1e-30, average: None, ..options() };
    let mut trainer = begun(&faces, still);
    // Running statistics move all the same, and with them the score: only the count is held.
    let ending = trainer.run(&faces, Some(&held_out), None, &mut |_| true).unwrap();
    let scores: Vec<f64> = trainer.epochs().iter().map(|e| e.validation.as_ref().unwrap().score()).collect();
    let best = scores.iter().copied().fold(f64::MIN, f64::max);
    let first = scores.iter().position(|s| *s == best).unwrap();
    assert_eq!(ending, if scores.len() == 50 && first + 3 > 50 { Ending::Finished } else { Ending::NoBetter });
    assert!(ending == Ending::NoBetter && scores.len() == first + 3, "{scores:?}");
    assert!(!trainer.best.is_empty());
}

#[test]
fn checkpoints_of_other_runs_and_damaged_ones_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.checkpoint");
    let faces = generated(12, 5, 4);
    let trainer = begun(&faces, options());
    trainer.save(&path).unwrap();
    let refused = |faces: &FaceSet, options: TrainOptions| {
        let mut other = begun(faces, options);
        let before = bits(&other);
        let error = other.resume(&path).unwrap_err();
        assert_eq!(bits(&other), before, "nothing was taken");
        (error.code(), error.to_string())
    };
    let (code, said) = refused(&generated(12, 5, 9), options());
    assert!(code == "train.other_run" && said.contains("the faces' sha256"), "{said}");
    let (code, said) = refused(&faces, TrainOptions { rate: 0.5, ..options() });
    assert!(code == "train.other_run" && said.contains("0.5"), "{said}");
    // Another seed deals other people, too; it is the seed that is said.
    let (code, said) = refused(&generated(12, 5, 9), TrainOptions { seed: 77, ..options() });
    assert!(code == "train.other_run" && said.contains("seed = 77"), "{said}");
    // What is done cannot be asked to be less; what it is measured on is the same to the end.
    let mut longer = begun(&faces, TrainOptions { epochs: 2, ..options() });
    let (held, others) = (generated(3, 3, 50), generated(3, 3, 51));
    longer.run(&faces, Some(&held), Some(&path), &mut |_| true).unwrap();
    let numbers = |trainer: &Trainer| trainer.epochs().iter().map(|e| e.epoch).collect::<Vec<_>>();
    assert_eq!(numbers(&longer), [1, 2]);
    let (code, said) = refused(&faces, TrainOptions { epochs: 1, ..options() });
    assert!(
        code == "train.checkpoint" && said.contains("2 epochs of this run are done, and 1 are asked for"),
        "{said}"
    );
    for other in [Some(&others), None] {
        let mut on = begun(&faces, TrainOptions { epochs: 3, ..options() });
        on.resume(&path).unwrap();
        let error = on.run(&faces, other, Some(&path), &mut |_| true).unwrap_err();
        assert!(error.code() == "train.other_run" && error.to_string().contains("measured on"), "{error}");
    }
    let mut on = begun(&faces, TrainOptions { epochs: 3, ..options() });
    on.resume(&path).unwrap();
    on.run(&faces, Some(&held), None, &mut |_| true).unwrap();
    assert_eq!(numbers(&on), [1, 2, 3]);
    trainer.save(&path).unwrap();
    // A longer run is the same run.
    begun(&faces, TrainOptions { epochs: 9, ..options() }).resume(&path).unwrap();
    let whole = std::fs::read(&path).unwrap();
    for (at, what) in [(whole.len() - 3, "its tensors"), (20, "whole checkpoint")] {
        let mut bytes = whole.clone();
        bytes[at] ^= 64;
        std::fs::write(&path, bytes).unwrap();
        let (code, said) = refused(&faces, options());
        assert!(code == "train.checkpoint" && said.contains(what), "{said}");
    }
    std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    assert_eq!(refused(&faces, options()).0, "train.checkpoint");
    let nowhere = folder.path().join("missing/run.checkpoint");
    assert_eq!(trainer.save(&nowhere).unwrap_err().code(), "train.checkpoint");
    trainer.save(&path).unwrap();
}

#[test]
fn what_cannot_be_trained_is_said() {
    let faces = generated(12, 5, 4);
    let new = |options| Trainer::of(student(true), &faces, options, DeviceChoice::Cpu).err().unwrap().code();
    assert_eq!(new(TrainOptions { people: 13, ..options() }), "train.too_few_people");
    for wrong in [
        TrainOptions { rate: f64::NAN, ..options() },
        TrainOptions { weight_decay: -1.0, ..options() },
        TrainOptions { average: Some(1.0), ..options() },
        TrainOptions { clip: Some(0.0), ..options() },
        TrainOptions { epochs: 0, ..options() },
        // None of these is a layer, or several: nothing would stay as it is.
        TrainOptions { frozen: vec!["con".to_string()], ..options() },
        TrainOptions { frozen: vec!["conv0.weight".to_string()], ..options() },
        TrainOptions { frozen: vec![String::new()], ..options() },
    ] {
        assert_eq!(new(wrong), "model.invalid_option");
    }
    let error = Trainer::new("tiny", &faces, options(), DeviceChoice::Cpu).err().unwrap();
    assert_eq!(error.code(), "model.wrong_chip");
    assert_eq!(Trainer::new("nn9", &faces, options(), DeviceChoice::Cpu).err().unwrap().code(), "model.invalid_option");
    assert!(FaceSet::new(vec![Raster::new(4, 4, [0; 3])], vec![]).is_err());
    let (kept, held) = generated(10, 3, 1).hold_out(0.3, 5);
    assert_eq!((kept.people_count(), held.people_count(), held.len()), (7, 3, 9));
    assert!(kept.people().iter().all(|p| !held.people().contains(p)));
}

/// What a network of other random weights makes of the faces.
fn taught(faces: FaceSet, width: usize) -> FaceSet {
    let network = Network {
        nodes: vec![Node { name: "fc".to_string(), layer: Layer::Linear { out: width, bias: true } }],
        ..student(true)
    };
    let objective = Objective::Distil { relations: 0.0 };
    let options = TrainOptions { objective, seed: 77, people: 2, each: 1, ..options() };
    let begun_with = faces.clone().taught(vec![vec![1.0]; faces.len()]).unwrap();
    let teacher = Trainer::of(network, &begun_with, options, DeviceChoice::Cpu).unwrap();
    let targets = teacher.embed(&faces).unwrap();
    faces.taught(targets).unwrap()
}

#[test]
fn a_student_becomes_like_its_teacher_on_faces_that_it_has_not_seen() {
    // Vectors as long as the student's, and others, of which only the cosines can be learnt.
    for (width, least) in [(16, 0.8), (24, 0.7)] {
        // Nobody's name is needed, nor two photos of anybody.
        let faces = taught(generated(900, 1, 1), width);
        let held_out = taught(generated(20, 5, 2), width);
        let objective = Objective::Distil { relations: 1.0 };
        let options =
            TrainOptions { objective, rule: Rule::ADAMW, rate: 0.01, epochs: 12, people: 24, each: 1, ..options() };
        let mut trainer = begun(&faces, options.clone());
        let before = agreement(&trainer.embed(&held_out).unwrap(), held_out.targets()).unwrap();
        assert_eq!(trainer.run(&faces, Some(&held_out), None, &mut |_| true).unwrap(), Ending::Finished);
        let (first, last) = (&trainer.epochs()[0], &trainer.epochs()[11]);
        println!(
            "{width}: agreement {before:.3}, {:?} to {:?}, loss {:.4} to {:.4}",
            first.agreement, last.agreement, first.loss, last.loss
        );
        assert!(last.agreement.unwrap() > least && last.agreement.unwrap() > before + 0.2, "{before} {last:?}");
        assert!(last.loss < first.loss && last.validation.is_some() && last.active.is_none());
        // Photos that nobody has named: agreement alone.
        let unnamed = FaceSet::new(held_out.chips().to_vec(), vec![0; held_out.len()]).unwrap();
        let unnamed = unnamed.taught(held_out.targets().to_vec()).unwrap();
        let mut trainer = begun(&faces, TrainOptions { epochs: 1, ..options });
        trainer.run(&faces, Some(&unnamed), None, &mut |_| true).unwrap();
        assert!(
            trainer.epochs()[0].validation.is_none() && trainer.epochs()[0].score() == trainer.epochs()[0].agreement
        );
    }
}

#[test]
fn a_distillation_goes_on_with_the_same_bits_and_with_no_other_teacher() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.checkpoint");
    let faces = taught(generated(40, 2, 3), 16);
    let objective = Objective::Distil { relations: 0.5 };
    let options = TrainOptions { objective, epochs: 3, people: 16, each: 1, augment: true, ..options() };
    let mut whole = begun(&faces, options.clone());
    to_the_end(&mut whole, &faces);
    let mut first = begun(&faces, options.clone());
    let mut left = 7;
    let mut watch = |event: Event| {
        left -= i32::from(matches!(event, Event::Step(_)));
        left > 0
    };
    assert_eq!(first.run(&faces, None, Some(&path), &mut watch).unwrap(), Ending::Interrupted);
    let mut second = begun(&faces, options.clone());
    second.resume(&path).unwrap();
    to_the_end(&mut second, &faces);
    assert_eq!(bits(&whole), bits(&second));
    let chips = || FaceSet::new(faces.chips().to_vec(), faces.people().to_vec()).unwrap();
    let other = taught(chips(), 24);
    assert_eq!(begun(&other, options.clone()).resume(&path).unwrap_err().code(), "train.other_run");
    // Only what differs is named.
    let error = begun(&faces, TrainOptions { rate: 0.5, ..options.clone() }).resume(&path).unwrap_err().to_string();
    assert!(error.contains("rate = 0.05") && error.contains("rate = 0.5") && !error.contains("seed"), "{error}");
    let untaught = Trainer::of(student(true), &chips(), options.clone(), DeviceChoice::Cpu).map(drop).unwrap_err();
    assert!(untaught.to_string().contains("teacher"), "{untaught}");
    let few = TrainOptions { people: 100, ..options };
    assert_eq!(
        Trainer::of(student(true), &faces, few, DeviceChoice::Cpu).map(drop).unwrap_err().code(),
        "train.too_few_faces"
    );
    assert!(chips().taught(vec![vec![1.0]; 3]).is_err() && chips().taught(vec![vec![f32::NAN; 4]; 80]).is_err());
}

#[test]
fn people_and_faces_are_held_out_with_what_a_teacher_made_of_them() {
    let faces = taught(generated(10, 3, 1), 16);
    let all: std::collections::BTreeMap<Vec<u8>, Vec<f32>> =
        faces.chips().iter().map(|c| c.data().to_vec()).zip(faces.targets().to_vec()).collect();
    for (kept, held) in [faces.clone().hold_out(0.01, 4), faces.clone().hold_out_faces(0.2, 4)] {
        assert_eq!((kept.len() + held.len(), held.len()), (30, 6));
        for set in [&kept, &held] {
            assert_eq!(set.targets().len(), set.len());
            assert!(set.chips().iter().zip(set.targets()).all(|(chip, target)| &all[chip.data()] == target));
        }
    }
    // Two people at least, or there would be no impostor pair.
    assert_eq!(faces.hold_out(0.01, 4).1.people_count(), 2);
}
