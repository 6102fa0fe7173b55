//! `kith calibrate`

use std::path::{Path, PathBuf};

use super::args::{Calibrate, Common};
use super::{DONE, output};
use crate::LabelledPhoto;
use crate::media::write_whole;

pub(super) fn run(common: &Common, command: &Calibrate) -> anyhow::Result<u8> {
    let photos = labelled(&command.people)?;
    let engine = common.engine()?;
    let people = photos.last().map_or(0, |p| p.person + 1);
    let source = match &command.source {
        Some(text) => text.clone(),
        None => format!("{} photos of {people} people, detector {}", photos.len(), engine.detector()),
    };
    let bar = output::bar(common, photos.len(), "measuring");
    let measured = engine.calibrate(&photos, &source, &common.limits(), &|| bar.inc(1))?;
    bar.finish_and_clear();
    let record = &measured.calibration;
    let text = serde_json::to_string_pretty(record)? + "\n";
    write_whole(&command.output, text.as_bytes()).map_err(|e| anyhow::anyhow!("{}: {e}", command.output.display()))?;
    for e in &measured.unreadable {
        eprintln!("kith: {e}");
    }
    for path in &measured.without_face {
        eprintln!("kith: {}: no face found", path.display());
    }
    if common.json {
        output::json(record)?;
        return Ok(DONE);
    }
    output::line(&format!("{}: record {} for {}", command.output.display(), record.id(), record.model));
    output::line(&format!(
        "{} genuine and {} impostor pairs; no face in {} photos, {} unreadable",
        record.genuine_pairs,
        record.impostor_pairs,
        measured.without_face.len(),
        measured.unreadable.len()
    ));
    output::line("false-match rate   threshold   false-non-match rate   impostor pairs below");
    for p in &record.points {
        output::line(&format!("{:>16e}   {:>9.4}   {:>20.4}   {:>20}", p.fmr, p.distance, p.fnmr, p.impostors_below));
    }
    Ok(DONE)
}

/// One folder a person, in order of their names.
fn labelled(people: &Path) -> anyhow::Result<Vec<LabelledPhoto>> {
    let entries = |folder: &Path| -> anyhow::Result<Vec<PathBuf>> {
        let read = std::fs::read_dir(folder).and_then(|d| d.map(|e| e.map(|e| e.path())).collect());
        let mut paths: Vec<PathBuf> = read.map_err(|e| anyhow::anyhow!("{}: {e}", folder.display()))?;
        paths.sort();
        Ok(paths)
    };
    let mut photos = Vec::new();
    let folders: Vec<PathBuf> = entries(people)?.into_iter().filter(|p| p.is_dir()).collect();
    for (person, folder) in folders.iter().enumerate() {
        let files = entries(folder)?.into_iter().filter(|p| p.is_file());
        photos.extend(files.map(|path| LabelledPhoto { person, path }));
    }
    anyhow::ensure!(!photos.is_empty(), "{}: no folder with photos in it, one a person", people.display());
    Ok(photos)
}
