//! `kith reembed`

use std::path::{Path, PathBuf};

use super::args::common::Common;
use super::args::store::Reembed;
use super::codes::DONE;
use super::output;
use crate::ReembedOptions;
use crate::files::spelled;
use crate::json::json;

pub(super) fn run(common: &Common, command: &Reembed) -> anyhow::Result<u8> {
    let mut photos = Vec::new();
    for folder in &command.photos {
        files_in(folder, &mut photos)?;
    }
    let builder = common.builder()?;
    let (engine, database) = rayon::join(|| builder.build(), || command.place.open(false));
    let (engine, database) = (engine?, database?);
    let options = ReembedOptions { photos, limits: common.limits(), leave_out: command.leave_out };
    let gallery = command.place.gallery.as_str();
    let bar = output::bar(common, 2, "embedding anew");
    let done = engine.reembed(&database, gallery, &options, &|count| bar.set_length(count as u64), &|| bar.inc(1))?;
    bar.finish_and_clear();
    if common.json {
        output::json(&json!({ "gallery": gallery, "model": engine.model(), "reembedded": done }))?;
        return Ok(DONE);
    }
    output::line(&format!(
        "gallery {gallery}: {} faces by {} now, {} of them from chips, {} from photos, {} done before; {} left out",
        done.before + done.from_chips + done.from_photos,
        engine.model(),
        done.from_chips,
        done.from_photos,
        done.before,
        done.left_out
    ));
    Ok(DONE)
}

/// Every file in a folder and in the folders in it.
fn files_in(folder: &Path, into: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    let entries = std::fs::read_dir(folder).map_err(|e| anyhow::anyhow!("{}: {e}", spelled(folder)))?;
    for entry in entries {
        let path = entry.map_err(|e| anyhow::anyhow!("{}: {e}", spelled(folder)))?.path();
        if path.is_dir() { files_in(&path, into)? } else { into.push(path) }
    }
    Ok(())
}
