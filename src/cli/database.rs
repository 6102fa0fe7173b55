//! `kith stats`, `check`, `reindex`, `backup`, `restore`, `export` and `import`

use std::path::Path;

use super::args::common::Common;
use super::args::index::{Reindex, with_bar};
use super::args::people::{BackupArgs, Check, RestoreArgs};
use super::args::place::Place;
use super::args::store::{ExportArgs, ImportArgs};
use super::codes::{DONE, FAILED, LOST};
use super::output;
use crate::error::{Error, StoreError};
use crate::files::spelled;
use crate::json::json;
use crate::{CheckReport, Database, DatabaseOptions, IndexChoice, IndexStats, check_export, repair};

pub(super) fn stats(common: &Common, place: &Place) -> anyhow::Result<u8> {
    let stats = place.open(false)?.stats()?;
    if common.json {
        output::json(&stats)?;
        return Ok(DONE);
    }
    output::line(&format!(
        "{}: format {}, {}, {} writes, {:.1} MB on disk",
        spelled(&stats.path),
        stats.format,
        if stats.encrypted { "encrypted" } else { "not encrypted" },
        stats.writes,
        stats.bytes as f64 / 1e6
    ));
    for g in &stats.galleries {
        output::line(&format!(
            "  gallery {}: {}, {} of {} dimensions by {}",
            g.name,
            output::people(g.people),
            output::faces(g.faces),
            g.dimension,
            g.model
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
    let waiting = output::waiting(common, if command.repair { "repairing" } else { "reading every record" });
    let report: CheckReport = if command.repair {
        command.place.alone(&command.place.options(false)?, |folder, options| repair(folder, options))?
    } else {
        command.place.open(false)?.check()?
    };
    waiting.finish_and_clear();
    if common.json {
        output::json(&report)?;
    } else {
        if command.repair {
            let told = |what: &&String| !report.repaired.contains(what) && !report.lost.contains(what);
            report.faults.iter().filter(told).for_each(|what| output::line(&format!("found: {what}")));
            report.repaired.iter().for_each(|what| output::line(&format!("mended: {what}")));
            report.lost.iter().for_each(|what| output::line(&format!("lost: {what}")));
        } else {
            report.faults.iter().for_each(|fault| output::line(fault));
        }
        let verdict = match (report.is_clean(), command.repair) {
            (true, _) => "all is well",
            (false, true) if report.lost.is_empty() => "repaired; nothing is lost",
            (false, true) => "repaired; what is lost is listed above, and may be in a backup",
            (false, false) => "damaged; `kith check --repair` keeps what is sound",
        };
        output::line(&format!("{} records: {verdict}", report.records));
    }
    Ok(match (report.is_clean(), command.repair) {
        (true, _) => DONE,
        (false, true) if report.lost.is_empty() => DONE,
        (false, true) => LOST,
        (false, false) => FAILED,
    })
}

pub(super) fn backup(common: &Common, command: &BackupArgs) -> anyhow::Result<u8> {
    let database = command.place.open(false)?;
    let encrypted = database.stats()?.encrypted;
    let none = "this database is not encrypted: there is no key ring to copy; leave --ring away";
    anyhow::ensure!(encrypted || command.ring.is_none(), none);
    let shown = spelled(&command.file);
    anyhow::ensure!(
        command.force || !command.file.exists(),
        "{shown}: there is a file here already; name another one, or say --force to write over it"
    );
    let waiting = output::waiting(common, "copying");
    let done = database.backup(&command.file, command.ring.as_deref())?;
    waiting.finish_and_clear();
    if common.json {
        output::json(&json!({
            "file": spelled(&command.file), "ring": command.ring.as_ref().map(spelled), "encrypted": encrypted,
            "entries": done.entries, "bytes": done.bytes,
        }))?;
        return Ok(DONE);
    }
    output::line(&format!("{}: {} records, {} bytes", spelled(&command.file), done.entries, done.bytes));
    match &command.ring {
        Some(ring) => output::line(&format!("{}: the key ring, in place of any older copy", spelled(ring))),
        None if encrypted => {
            output::line(
                "the key ring is not in it, and without that nothing opens it: keep a copy of the ring with --ring FILE",
            );
        }
        None => {}
    }
    Ok(DONE)
}

pub(super) fn restore(common: &Common, command: &RestoreArgs) -> anyhow::Result<u8> {
    let folder = command.place.folder()?;
    let options = command.place.options(false)?;
    let waiting = output::waiting(common, "restoring");
    let restore = |folder: &Path, options: &DatabaseOptions| {
        Database::restore(&command.file, folder, options.key.as_ref(), command.ring.as_deref())
    };
    let done = command.place.alone(&options, restore)?;
    waiting.finish_and_clear();
    // A restored database is one that opens.
    let stats = command.place.open(false)?.stats()?;
    if common.json {
        output::json(&json!({
            "path": spelled(&folder), "entries": done.entries, "forgotten": done.forgotten, "galleries": stats.galleries,
        }))?;
    } else {
        let faces: usize = stats.galleries.iter().map(|g| g.faces).sum();
        let restored = done.entries - done.forgotten;
        output::line(&format!("{}: {restored} records restored, {faces} faces", spelled(&folder)));
        if done.forgotten > 0 {
            output::line(&format!("{} records are of people forgotten since, and stay unread", done.forgotten));
        }
    }
    Ok(DONE)
}

pub(super) fn export(common: &Common, command: &ExportArgs) -> anyhow::Result<u8> {
    let database = command.place.open(false)?;
    let gallery = command.place.gallery.as_str();
    let faces = database.stats()?.galleries.iter().filter(|g| g.name == gallery).map(|g| g.faces).sum();
    let bar = output::bar(common, faces, "exporting");
    let done = database.export(gallery, &command.folder, command.chips, &|| bar.inc(1))?;
    bar.finish_and_clear();
    let shown = spelled(&command.folder);
    if common.json {
        output::json(&json!({ "folder": spelled(&command.folder), "exported": done }))?;
    } else {
        output::line(&format!(
            "{shown}: {}, {}, {}, not encrypted",
            output::people(done.people),
            output::faces(done.faces),
            output::counted(done.chips, "chip", "chips")
        ));
    }
    Ok(DONE)
}

/// The database to import into. A new one is made only for a whole export: a failed import leaves none behind.
fn open_for(command: &ImportArgs) -> anyhow::Result<Database> {
    let is_missing = |e: &anyhow::Error| matches!(e.downcast_ref(), Some(Error::Store(StoreError::NotFound { .. })));
    match command.place.open(false) {
        Err(e) if is_missing(&e) => {
            check_export(&command.folder)?;
            command.place.open(true)
        }
        opened => opened,
    }
}

pub(super) fn import(common: &Common, command: &ImportArgs) -> anyhow::Result<u8> {
    let database = open_for(command)?;
    let bar = output::spinner(common, "importing");
    let done = database.import(&command.place.gallery, &command.folder, &|| bar.inc(1))?;
    bar.finish_and_clear();
    if common.json {
        output::json(
            &json!({ "folder": spelled(&command.folder), "gallery": command.place.gallery, "imported": done }),
        )?;
    } else {
        let (people, added) = (done.people, done.added);
        output::line(&format!("{people} people: {added} faces enrolled, {} known already", done.known));
    }
    Ok(DONE)
}
