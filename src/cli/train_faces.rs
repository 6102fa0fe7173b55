//! `kith train adapt`, `kith train preview` and `kith train networks`.

use super::args::common::Common;
use super::args::train::{TrainAdapt, TrainPreview};
use super::codes::DONE;
use super::train_networks::known;
use super::{output, own_weights};
use crate::files::spelled;
use crate::json::json;
use crate::nn::weights::WeightStore;
use crate::train::{AdaptedCard, Augmentation, Network, adapt, chips_of, networks, preview};
use crate::{Database, LabelledPhoto};

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
    let options = command.options();
    let (projection, report) = adapt(&rows, &people, &options)?;
    waiting.finish_and_clear();
    let written = own_weights::keeping(&out, || Ok(projection.write(&store.load(&base)?, &out)?))?;
    let card = AdaptedCard { written: &written, base: &base, report: &report, options: &options }.write()?;
    if common.json {
        let (card, method) = (spelled(&card), options.method);
        output::json(&json!({
            "base": base,
            "method": method,
            "written": written,
            "card": card,
            "measured": report,
            "gain": report.gain(),
        }))?;
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
