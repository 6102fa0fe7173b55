//! `kith train triplet`, `kith train adapt` and `kith train networks`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::args::common::Common;
use super::args::train::{TrainAdapt, TrainPreview, TrainTriplet};
use super::codes::{DONE, FAILED};
use super::{output, own_weights};
use crate::eval::{TrainingEpoch, TrainingRates, training_page};
use crate::files::{Audience, spelled, write_whole};
use crate::json::json;
use crate::nn::weights::WeightStore;
use crate::train::{
    AdaptOptions, Augmentation, Ending, EpochReport, Event, FaceSet, ModelCard, Network, StepReport, Trainer, adapt,
    chips_of, networks, preview,
};
use crate::{Database, LabelledPhoto};

fn known(name: &str) -> anyhow::Result<Network> {
    let names = networks::NAMES.join(", ");
    networks::named(name).ok_or_else(|| anyhow::anyhow!("no network is called {name:?}; there are {names}"))
}

/// The networks, or one layer by layer.
pub(super) fn list(common: &Common, name: Option<&str>) -> anyhow::Result<u8> {
    let chosen: Vec<Network> = match name {
        Some(name) => vec![known(name)?],
        None => networks::NAMES.into_iter().map(known).collect::<anyhow::Result<_>>()?,
    };
    if common.json {
        let rows: Vec<serde_json::Value> = chosen
            .iter()
            .map(|n| {
                let layers: Vec<serde_json::Value> = n
                    .costs()
                    .iter()
                    .map(|cost| {
                        let printed = networks::printed(n.name(), &cost.name);
                        json!({ "layer": cost, "paper": printed })
                    })
                    .collect();
                json!({
                    "name": n.name(),
                    "about": n.about(),
                    "chip": n.chip_size(),
                    "dimension": n.dimension(),
                    "parameters": n.parameters(),
                    "operations": n.operations(),
                    "paper": networks::printed_total(n.name()),
                    "layers": layers,
                })
            })
            .collect();
        output::json(&rows)?;
        return Ok(DONE);
    }
    let million = |value: u64| format!("{:.3}M", value as f64 / 1e6);
    if name.is_none() {
        let head = ["network", "chip", "parameters", "operations", "paper: parameters", "operations"];
        let mut rows = vec![head.map(str::to_string).to_vec()];
        for n in &chosen {
            let (width, height) = n.chip_size();
            let (parameters, operations) = networks::printed_total(n.name()).unwrap_or(("-", "-"));
            rows.push(vec![
                n.name().to_string(),
                format!("{width}x{height}"),
                million(n.parameters()),
                million(n.operations()),
                parameters.to_string(),
                operations.to_string(),
            ]);
        }
        output::table(&rows);
        output::line("An operation is a multiplication with its addition, for one face.");
        return Ok(DONE);
    }
    for n in &chosen {
        output::line(&format!("{}: {}", n.name(), n.about()));
        let head = ["layer", "output", "parameters", "operations", "paper: parameters", "operations"];
        let mut rows = vec![head.map(str::to_string).to_vec()];
        for cost in n.costs() {
            let (channels, height, width) = cost.output;
            let (parameters, operations) = networks::printed(n.name(), &cost.name).unwrap_or(("", ""));
            rows.push(vec![
                cost.name.clone(),
                format!("{height}x{width}x{channels}"),
                cost.parameters.to_string(),
                cost.operations.to_string(),
                parameters.to_string(),
                operations.to_string(),
            ]);
        }
        let (parameters, operations) = networks::printed_total(n.name()).unwrap_or(("", ""));
        let total = [n.parameters(), n.operations()].map(|v| v.to_string());
        rows.push(vec![
            "total".to_string(),
            String::new(),
            total[0].clone(),
            total[1].clone(),
            parameters.to_string(),
            operations.to_string(),
        ]);
        output::table(&rows);
        networks::remarks(n.name()).iter().for_each(|remark| output::line(remark));
    }
    Ok(DONE)
}

/// `kith train preview`
pub(super) fn run_preview(common: &Common, command: &TrainPreview) -> anyhow::Result<u8> {
    use rand::SeedableRng;
    let network = known(common.model.as_deref().unwrap_or("tiny"))?;
    let photos: Vec<LabelledPhoto> =
        command.photos.iter().map(|path| LabelledPhoto { person: 0, path: path.clone() }).collect();
    let engine = common.builder()?.model(common.profile.unwrap_or_default().model()).build()?;
    let (faces, failures) =
        chips_of(&engine, &network, &photos, command.face.choice(), &common.limits(), None, &|| ())?;
    failures.iter().for_each(output::complain);
    anyhow::ensure!(!faces.is_empty(), "none of the photos has a face to show");
    let sheet = preview(faces.chips(), &mut rand_chacha::ChaCha8Rng::seed_from_u64(command.seed))?;
    crate::media::save(&sheet, &command.output)?;
    let names: Vec<&str> = Augmentation::ALL.iter().map(|a| a.name()).collect();
    if common.json {
        output::json(&json!({
            "sheet": spelled(&command.output),
            "faces": faces.len(),
            "failures": failures,
            "augmentations": names,
        }))?;
    } else {
        output::line(&format!("{}: {} faces, {}", spelled(&command.output), faces.len(), names.join(", ")));
    }
    Ok(DONE)
}

/// `kith train adapt`
pub(super) fn run_adapt(common: &Common, command: &TrainAdapt) -> anyhow::Result<u8> {
    let gallery = command.place.gallery.as_str();
    let database = command.place.open(false)?;
    let (model, vectors) = enrolled(&database, gallery)?;
    anyhow::ensure!(
        !model.contains(crate::vector::MIRROR_SUFFIX),
        "gallery {gallery:?} has mirrored vectors; a projection is of one model's own vectors: `kith reembed --model` without \
         +mirror first, and +mirror can go behind the adapted model's name"
    );
    let store = WeightStore::new(common.weights.clone());
    let base = store.name_of(&crate::ModelId::from_text(&model)).ok_or_else(|| {
        anyhow::anyhow!(
            "no weights at hand make {model}, whose vectors gallery {gallery:?} has; see `kith weights list`"
        )
    })?;
    let out = own_weights::place(common, &command.name)?;
    anyhow::ensure!(
        base != command.name,
        "{base} is the model that the gallery has; give the adapted one another --name"
    );
    let mut numbers = std::collections::BTreeMap::new();
    let (mut rows, mut people) = (Vec::new(), Vec::new());
    for (name, vector) in vectors {
        let next = numbers.len();
        people.push(*numbers.entry(name).or_insert(next));
        rows.push(vector);
    }
    let waiting = output::waiting(common, "measuring on people not fitted to");
    let options = AdaptOptions { folds: command.folds, far: command.far, seed: command.seed };
    let (projection, report) = adapt(&rows, &people, &options)?;
    waiting.finish_and_clear();
    let written = own_weights::keeping(&out, || Ok(projection.write(&store.load(&base)?, &out)?))?;
    if common.json {
        output::json(&json!({ "base": base, "written": written, "measured": report, "gain": report.gain() }))?;
        return Ok(DONE);
    }
    output::line(&format!(
        "{}: {base}, adapted to {} people with {} faces ({} people with one face say nothing)",
        spelled(&written.path),
        report.people,
        report.faces,
        report.single
    ));
    output::line(&format!(
        "people not fitted to: true accept rate {:.4} at a false accept rate of {}, {:.4} before; gain {:+.4}, standard error \
         {:.4}, from {} genuine and {} impostor pairs",
        report.after,
        report.far,
        report.before,
        report.gain(),
        report.error,
        report.genuine,
        report.impostor
    ));
    output::line(&format!(
        "next: `kith reembed --gallery {gallery} --model {0}`, then `kith calibrate --model {0}` on labelled photos",
        command.name
    ));
    Ok(DONE)
}

/// A person's name, and the vector of a face of theirs.
type Vector = (String, Vec<f32>);

/// Model and vectors of a gallery.
fn enrolled(database: &Database, gallery: &str) -> anyhow::Result<(String, Vec<Vector>)> {
    let unknown = || crate::error::GalleryError::UnknownGallery { gallery: gallery.to_string() };
    let (model, vectors) = database.named_vectors(gallery)?.ok_or_else(|| crate::Error::from(unknown()))?;
    Ok((model, vectors.into_iter().map(|(name, _, vector)| (name, vector)).collect()))
}

/// `kith train triplet`
pub(super) fn run_triplet(common: &Common, command: &TrainTriplet, photos: &[LabelledPhoto]) -> anyhow::Result<u8> {
    let network = known(common.model.as_deref().unwrap_or("tiny"))?;
    let out = match &command.output {
        Some(path) => path.clone(),
        None => {
            let name = command.name.as_deref().unwrap_or(network.name());
            own_weights::place(common, name)?
        }
    };
    // --model is what is to be trained; faces are found without it.
    let engine = common.builder()?.model(common.profile.unwrap_or_default().model()).build()?;
    let bar = output::bar(common, photos.len(), "cutting faces");
    let (choice, kept) = (command.face.choice(), command.chips.as_deref());
    let (all, failures) = chips_of(&engine, &network, photos, choice, &common.limits(), kept, &|| bar.inc(1))?;
    bar.finish_and_clear();
    failures.iter().for_each(output::complain);
    let (faces, held_out) = match command.held_out > 0.0 {
        true => all.hold_out(command.held_out, command.seed),
        false => (all, FaceSet::default()),
    };
    let mut trainer = Trainer::new(network.name(), &faces, command.options(), common.device)?;
    if let Some(name) = &command.from {
        let taken = trainer.begin_from(&WeightStore::new(common.weights.clone()).load(name)?)?;
        anyhow::ensure!(taken > 0, "{name} has no tensor of network {}", network.name());
    }
    if let Some(path) = command.checkpoint.as_ref().filter(|path| path.is_file()) {
        trainer.resume(path)?;
    }
    let measured = Some(&held_out).filter(|h| !h.is_empty());
    let ending = watched(common, &mut trainer, &faces, measured, command)?;
    if ending == Ending::Interrupted {
        let next = match &command.checkpoint {
            Some(path) => format!("{} has the run; the same command goes on with it", spelled(path)),
            None => "nothing is kept of it; say --checkpoint FILE the next time".to_string(),
        };
        anyhow::bail!("interrupted after {} of {} steps: {next}", trainer.steps_done(), trainer.steps());
    }
    let written = own_weights::keeping(&out, || Ok(trainer.write(&out)?))?;
    let card = ModelCard {
        network: network.name(),
        written: &written,
        faces: (faces.sha256(), faces.len(), faces.people_count()),
        held_out: (held_out.len(), held_out.people_count()),
        options: &command.options(),
        epochs: trainer.epochs(),
        from: command.from.as_deref(),
    };
    let card = card.write()?;
    if common.json {
        output::json(&json!({
            "written": written,
            "card": spelled(&card),
            "ending": ending,
            "faces": faces.len(),
            "people": faces.people_count(),
            "failures": failures,
            "epochs": trainer.epochs(),
        }))?;
    } else {
        output::line(&format!(
            "{}: {} dimensions, learnt from {} faces of {} people in {} epochs; {} says how",
            spelled(&written.path),
            network.dimension(),
            faces.len(),
            faces.people_count(),
            trainer.epochs().len(),
            spelled(&card)
        ));
    }
    Ok(if written.tensors > 0 { DONE } else { FAILED })
}

/// Runs with a bar, a line an epoch, and an ear for ctrl-C.
fn watched(
    common: &Common,
    trainer: &mut Trainer,
    faces: &FaceSet,
    held_out: Option<&FaceSet>,
    command: &TrainTriplet,
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
        format!("epoch {}: loss {:.4}{tar}{rest}", e.epoch + 1, e.loss)
    };
    let (title, about) =
        (format!("Training {}", trainer.network()), format!("{} faces, seed {}", faces.len(), command.seed));
    let mut drawn: Vec<TrainingEpoch> = trainer.epochs().iter().map(curve).collect();
    let draw = |drawn: &[TrainingEpoch], goes_on: bool| {
        let Some(path) = &command.html else { return None };
        let page = training_page(&title, &about, drawn, goes_on).map_err(anyhow::Error::from);
        let written = page.and_then(|page| Ok(write_whole(path, page.as_bytes(), Audience::Umask)?));
        written.err().map(|e| format!("{}: {e}", spelled(path)))
    };
    let ending = trainer.run(faces, held_out, command.checkpoint.as_deref(), &mut |event| {
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
        number: epoch.epoch + 1,
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

/// Set by the first ctrl-C. A build without the service has no ear for it: the process ends, and the last checkpoint stays.
fn asked_to_stop() -> Arc<AtomicBool> {
    let asked = Arc::new(AtomicBool::new(false));
    #[cfg(feature = "serve")]
    {
        let heard = Arc::clone(&asked);
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            if runtime.is_ok_and(|r| r.block_on(tokio::signal::ctrl_c()).is_ok()) {
                heard.store(true, Ordering::Relaxed);
            }
        });
    }
    asked
}
