//! `kith train triplet` and `kith train distil`.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::args::common::Common;
use super::args::train::{TrainDistil, TrainRun, TrainTriplet};
use super::codes::DONE;
#[cfg(feature = "serve")]
use super::codes::FAILED;
use super::{output, own_weights};
use crate::LabelledPhoto;
use crate::eval::{TrainingEpoch, TrainingRates, training_page};
use crate::files::{Audience, folder_of, spelled, write_whole};
use crate::json::json;
use crate::nn::weights::WeightStore;
use crate::train::{
    Ending, EpochReport, Event, FaceSet, ModelCard, Network, StepReport, TrainOptions, Trainer, Validation, chips_of,
    networks, taught_by, validate, written_epoch,
};

pub(super) fn known(name: &str) -> anyhow::Result<Network> {
    let names = networks::NAMES.join(", ");
    networks::named(name).ok_or_else(|| anyhow::anyhow!("no network is called {name:?}; there are {names}"))
}

/// `kith train triplet`
pub(super) fn run_triplet(common: &Common, command: &TrainTriplet, photos: &[LabelledPhoto]) -> anyhow::Result<u8> {
    let network = known(common.model.as_deref().unwrap_or("tiny"))?;
    let out = places(common, &command.run, &network)?;
    // --model is what is to be trained; faces are found without it.
    let engine = common.builder()?.model(common.profile.unwrap_or_default().model()).build()?;
    let bar = output::bar(common, photos.len(), "cutting faces");
    let (choice, kept) = (command.run.face.choice(), command.run.chips.as_deref());
    let (all, failures) = chips_of(&engine, &network, photos, choice, &common.limits(), kept, &|| bar.inc(1))?;
    bar.finish_and_clear();
    failures.iter().for_each(output::complain);
    let (faces, held_out) = parted(all, &command.run, true)?;
    let lesson = Lesson { faces, held_out, failures, teacher: None };
    trained(common, &network, &out, &command.run, &command.options(), &lesson)
}

/// `kith train distil`
pub(super) fn run_distil(common: &Common, command: &TrainDistil, photos: &[LabelledPhoto]) -> anyhow::Result<u8> {
    let network = known(&command.student)?;
    let out = places(common, &command.run, &network)?;
    let teacher = common.builder()?.model(&command.teacher).build()?;
    let bar = output::bar(common, photos.len(), "asking the teacher");
    let (choice, kept) = (command.run.face.choice(), command.run.chips.as_deref());
    let (all, failures) = taught_by(&teacher, &network, photos, choice, &common.limits(), kept, &|| bar.inc(1))?;
    bar.finish_and_clear();
    failures.iter().for_each(output::complain);
    let (faces, held_out) = parted(all, &command.run, command.people)?;
    let lesson = Lesson { faces, held_out, failures, teacher: Some(teacher.model().to_string()) };
    trained(common, &network, &out, &command.run, &command.options(), &lesson)
}

/// Where the weights go. Whatever is to be written is tried now and not after the first epoch.
fn places(common: &Common, run: &TrainRun, network: &Network) -> anyhow::Result<PathBuf> {
    let out = match &run.output {
        Some(path) => path.clone(),
        None => own_weights::place(common, run.name.as_deref().unwrap_or(network.name()))?,
    };
    [run.output.as_ref(), run.checkpoint.as_ref(), run.html.as_ref()]
        .into_iter()
        .flatten()
        .try_for_each(|p| try_out(p))?;
    Ok(out)
}

/// Fails where no file could be put in the place of `path`.
fn try_out(path: &Path) -> anyhow::Result<()> {
    anyhow::ensure!(!path.is_dir(), "{}: this is a folder; name a file", spelled(path));
    let folder = folder_of(path);
    let tried = folder.join(format!(".kith-try-{}", std::process::id()));
    std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&tried)
        .and_then(|_| std::fs::remove_file(&tried))
        .map_err(|e| anyhow::anyhow!("{}: nothing can be written in this folder: {e}", spelled(folder)))
}

/// Faces to learn from and faces to measure on.
fn parted(all: FaceSet, run: &TrainRun, by_person: bool) -> anyhow::Result<(FaceSet, FaceSet)> {
    if run.held_out <= 0.0 {
        return Ok((all, FaceSet::default()));
    }
    if !by_person {
        let found = all.len();
        let (kept, held) = all.hold_out_faces(run.held_out, run.seed);
        anyhow::ensure!(
            !kept.is_empty(),
            "distilling takes at least two photos with a face, one of them to measure on, and a face is found in {found}; \
             bring more, or say --held-out 0 to measure nothing"
        );
        return Ok((kept, held));
    }
    let (kept, held) = all.hold_out(run.held_out, run.seed);
    anyhow::ensure!(
        held.people_count() > 1,
        "measuring takes two people with two photos each who are not trained on, and {} have two photos in which a face is \
         found; bring more, or say --held-out 0 to measure nothing",
        kept.paired().1 + held.people_count()
    );
    Ok((kept, held))
}

/// What there is to learn.
struct Lesson {
    faces: FaceSet,
    held_out: FaceSet,
    failures: Vec<String>,
    /// Whose vectors the faces have, where they do.
    teacher: Option<String>,
}

impl Lesson {
    /// Error rates of the teacher itself on the faces measured on.
    fn teachers_own(&self) -> Option<Validation> {
        let people = self.held_out.people_count();
        let measured =
            (people > 1 && self.teacher.is_some()).then(|| validate(self.held_out.targets(), self.held_out.people()));
        measured?.ok()
    }
}

fn epochs(count: usize) -> String {
    if count == 1 { "1 epoch".to_string() } else { format!("{count} epochs") }
}

/// Trains, writes weights and card, and says so.
fn trained(
    common: &Common,
    network: &Network,
    out: &Path,
    run: &TrainRun,
    options: &TrainOptions,
    lesson: &Lesson,
) -> anyhow::Result<u8> {
    let Lesson { faces, held_out, failures, teacher } = lesson;
    let mut trainer = Trainer::new(network.name(), faces, options.clone(), common.device)?;
    if let Some(name) = &run.from {
        let taken = trainer.begin_from(&WeightStore::new(common.weights.clone()).load(name)?)?;
        anyhow::ensure!(taken > 0, "{name} has no tensor of network {}", network.name());
    }
    if let Some(path) = run.checkpoint.as_ref().filter(|path| path.is_file()) {
        trainer.resume(path)?;
    }
    let measured = Some(held_out).filter(|h| !h.is_empty());
    let ending = watched(common, &mut trainer, faces, measured, run)?;
    if ending == Ending::Interrupted {
        let next = match &run.checkpoint {
            Some(path) => format!("{} has the run; the same command goes on with it", spelled(path)),
            None => "nothing is kept of it; say --checkpoint FILE the next time".to_string(),
        };
        anyhow::bail!("interrupted after {} of {} steps: {next}", trainer.steps_done(), trainer.steps());
    }
    let written = own_weights::keeping(out, || Ok(trainer.write(out)?))?;
    let (from, teacher) = (run.from.as_deref(), teacher.as_deref());
    let epochs_done = trainer.epochs();
    let card = ModelCard {
        network: network.name(),
        written: &written,
        faces,
        held_out,
        teacher,
        options,
        epochs: epochs_done,
        from,
    };
    let card = card.write()?;
    let (shown, people, single) = match teacher {
        Some(_) => (faces.len(), None, 0),
        None => {
            let (shown, people, single) = faces.paired();
            (shown, Some(people), single)
        }
    };
    let own = lesson.teachers_own();
    if common.json {
        output::json(&json!({
            "written": written,
            "card": spelled(&card),
            "ending": ending,
            "faces": shown,
            "people": people,
            "single": single,
            "teacher": teacher,
            "teacher_validation": own,
            "failures": failures,
            "epochs": epochs_done,
        }))?;
        return Ok(DONE);
    }
    let of = match (teacher, people) {
        (Some(teacher), _) => format!(" as {teacher} sees them"),
        (None, people) => format!(" of {} people", people.unwrap_or_default()),
    };
    output::line(&format!(
        "{}: {} dimensions, learnt from {shown} faces{of} in {}; {} says how",
        spelled(&written.path),
        network.dimension(),
        epochs(epochs_done.len()),
        spelled(&card)
    ));
    let kept = written_epoch(epochs_done, options).and_then(|e| e.validation.as_ref());
    for far in [1e-2, 1e-3] {
        let tars = kept.zip(own.as_ref()).and_then(|(s, t)| Some((s.tar(far)?, t.tar(far)?)));
        if let Some((student, teacher)) = tars.filter(|(_, teacher)| *teacher > 0.0) {
            output::line(&format!(
                "people not learnt from: true accept rate {student:.4} at a false accept rate of {far}, the teacher's \
                 {teacher:.4}: {:.1}% of it is kept",
                100.0 * student / teacher
            ));
        }
    }
    Ok(DONE)
}

/// Runs with a bar, a line an epoch, and an ear for ctrl-C.
fn watched(
    common: &Common,
    trainer: &mut Trainer,
    faces: &FaceSet,
    held_out: Option<&FaceSet>,
    run: &TrainRun,
) -> anyhow::Result<Ending> {
    let bar = output::bar(common, trainer.steps() as usize, "training");
    bar.set_position(trainer.steps_done());
    let asked = asked_to_stop();
    let (began, before) = (std::time::Instant::now(), trainer.steps_done());
    let said = |step: &StepReport| {
        let active = step.active.map_or(String::new(), |a| format!(", {:.0}% of triplets active", a * 100.0));
        let rate = ((step.step + 1 - before) * step.faces as u64) as f64 / began.elapsed().as_secs_f64();
        format!("loss {:.4}{active}, {rate:.1} photos/s", step.loss)
    };
    let epoch_line = |e: &EpochReport| {
        let v = e.validation.as_ref();
        let tar = v.and_then(|v| v.tar(1e-2)).map_or(String::new(), |t| format!(", TAR {t:.4} at FAR 0.01"));
        let rest = v.map_or(String::new(), |v| format!(", accuracy {:.4}, AUC {:.4}", v.accuracy, v.auc));
        let like = e.agreement.map_or(String::new(), |a| format!(", likeness to the teacher {a:.4}"));
        format!("epoch {}: loss {:.4}{tar}{rest}{like}", e.epoch, e.loss)
    };
    let (title, about) =
        (format!("Training {}", trainer.network()), format!("{} faces, seed {}", faces.len(), run.seed));
    let mut drawn: Vec<TrainingEpoch> = trainer.epochs().iter().map(curve).collect();
    let draw = |drawn: &[TrainingEpoch], goes_on: bool| {
        let Some(path) = &run.html else { return None };
        let page = training_page(&title, &about, drawn, goes_on).map_err(anyhow::Error::from);
        let written = page.and_then(|page| Ok(write_whole(path, page.as_bytes(), Audience::Umask)?));
        written.err().map(|e| format!("{}: {e}", spelled(path)))
    };
    let ending = trainer.run(faces, held_out, run.checkpoint.as_deref(), &mut |event| {
        match event {
            Event::Step(step) => {
                bar.set_position(step.step + 1);
                bar.set_message(said(step));
            }
            Event::Epoch(epoch) => {
                drawn.push(curve(epoch));
                // A page is worth a word at the end, not a run.
                let _ = draw(&drawn, true);
                if !common.quiet {
                    bar.suspend(|| eprintln!("kith: {}", epoch_line(epoch)));
                }
            }
        }
        !asked.load(Ordering::Relaxed)
    });
    bar.finish_and_clear();
    draw(&drawn, false).iter().for_each(output::complain);
    Ok(ending?)
}

/// An epoch as a page shows it.
fn curve(epoch: &EpochReport) -> TrainingEpoch {
    TrainingEpoch {
        number: epoch.epoch,
        loss: epoch.loss,
        active: epoch.active,
        rates: epoch.validation.as_ref().map(|v| TrainingRates {
            tar: v.tar(1e-2),
            accuracy: v.accuracy,
            auc: v.auc,
            roc: v.roc.clone(),
            histogram: v.histogram.clone(),
        }),
    }
}

/// Set by the first ctrl-C; the second ends the process at once, since a step can take minutes. A build without the service
/// has no ear for it: the process ends, and the last checkpoint stays.
fn asked_to_stop() -> Arc<AtomicBool> {
    let asked = Arc::new(AtomicBool::new(false));
    #[cfg(feature = "serve")]
    {
        let heard = Arc::clone(&asked);
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let Ok(runtime) = runtime else { return };
            if runtime.block_on(tokio::signal::ctrl_c()).is_ok() {
                heard.store(true, Ordering::Relaxed);
                eprintln!(
                    "kith: the step is finished first; ctrl-C again ends at once, with the last checkpoint as it is"
                );
                if runtime.block_on(tokio::signal::ctrl_c()).is_ok() {
                    std::process::exit(FAILED.into());
                }
            }
        });
    }
    asked
}
