//! `kith stats`, `check`, `reindex`, `backup` and `restore`

use serde_json::json;

use super::args::{BackupArgs, Check, Common, Place, RestoreArgs};
use super::index_args::{Reindex, with_bar};
use super::{DONE, FAILED, output};
use crate::{CheckReport, Database, IndexChoice, IndexStats, repair};

pub(super) fn stats(common: &Common, place: &Place) -> anyhow::Result<u8> {
    let stats = place.open(false)?.stats()?;
    if common.json {
        output::json(&stats)?;
        return Ok(DONE);
    }
    output::line(&format!(
        "{}: format {}, {} writes, {:.1} MB on disk",
        stats.path.display(),
        stats.format,
        stats.writes,
        stats.bytes as f64 / 1e6
    ));
    for g in &stats.galleries {
        output::line(&format!(
            "  gallery {}: {} people, {} faces of {} numbers by {}",
            g.name, g.people, g.faces, g.dimension, g.model
        ));
        output::line(&format!("    index: {}", described(&g.index)));
    }
    Ok(DONE)
}

/// An index in words.
fn described(index: &IndexStats) -> String {
    let kind = match index.kind {
        IndexChoice::Graph => "graph",
        IndexChoice::Hnsw => "hnsw_rs",
        IndexChoice::Auto | IndexChoice::Exact => "exact scan",
    };
    let mut said = format!("{kind}, {:.1} MB in memory", index.bytes as f64 / 1e6);
    if let Some(width) = index.width {
        let (waiting, removed) = (index.waiting, index.removed);
        said +=
            &format!(", {width} candidates a search, {waiting} faces not linked yet, {removed} forgotten not swept");
    }
    if let Some(note) = &index.note {
        said += &format!(" ({note})");
    }
    said
}

pub(super) fn reindex(common: &Common, command: &Reindex) -> anyhow::Result<u8> {
    let (gallery, choice) = (&command.place.gallery, command.way.index.into());
    let database = command.place.open(false)?;
    let stats = with_bar(common, |told| database.reindex(gallery, choice, told))?;
    if common.json {
        output::json(&json!({ "gallery": gallery, "index": stats }))?;
    } else {
        output::line(&format!("gallery {gallery}: {}", described(&stats)));
    }
    Ok(DONE)
}

pub(super) fn check(common: &Common, command: &Check) -> anyhow::Result<u8> {
    let report: CheckReport = if command.repair {
        repair(command.place.folder()?, command.place.wait())?
    } else {
        command.place.open(false)?.check()?
    };
    if common.json {
        output::json(&report)?;
    } else {
        for line in if command.repair { &report.repaired } else { &report.faults } {
            output::line(line);
        }
        let verdict = match (report.is_clean(), command.repair) {
            (true, _) => "all is well",
            (false, true) => "repaired; what is lost is listed above",
            (false, false) => "damaged; `kith check --repair` keeps what is sound",
        };
        output::line(&format!("{} records: {verdict}", report.records));
    }
    Ok(if report.is_clean() || command.repair { DONE } else { FAILED })
}

pub(super) fn backup(common: &Common, command: &BackupArgs) -> anyhow::Result<u8> {
    let done = command.place.open(false)?.backup(&command.file)?;
    if common.json {
        output::json(&json!({ "file": command.file, "entries": done.entries, "bytes": done.bytes }))?;
    } else {
        output::line(&format!("{}: {} records, {} bytes", command.file.display(), done.entries, done.bytes));
    }
    Ok(DONE)
}

pub(super) fn restore(common: &Common, command: &RestoreArgs) -> anyhow::Result<u8> {
    let folder = command.place.folder()?;
    let done = Database::restore(&command.file, &folder)?;
    // A restored database is one that opens.
    let stats = command.place.open(false)?.stats()?;
    if common.json {
        output::json(&json!({ "path": folder, "entries": done.entries, "galleries": stats.galleries }))?;
    } else {
        let faces: usize = stats.galleries.iter().map(|g| g.faces).sum();
        output::line(&format!("{}: {} records restored, {faces} faces", folder.display(), done.entries));
    }
    Ok(DONE)
}
