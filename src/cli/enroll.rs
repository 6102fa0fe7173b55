//! `kith enroll`

use std::path::{Path, PathBuf};

use rayon::prelude::*;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::args::Common;
use super::gallery_args::Enroll;
use super::{DONE, FAILED, notes, output};
use crate::json::json;
use crate::{Database, Engine, EnrolOptions, Enrolled, EnrolmentStatus, Error, NewFace, Photo};

/// Photos that are looked at, enrolled and made durable together.
const TOGETHER: usize = 32;
/// Endings of files that are taken for photos in a folder.
const ENDINGS: [&str; 9] = ["jpg", "jpeg", "png", "webp", "bmp", "gif", "tif", "tiff", "jfif"];

/// A photo to enrol, and under which name.
struct Task {
    name: String,
    path: PathBuf,
}

/// What became of a task.
enum Outcome {
    Enrolled(Enrolled),
    Refused(Error),
}

/// A photo after everything that needs no turn at the database.
enum Prepared {
    Known(Enrolled),
    Face(Box<NewFace>),
    Refused(Error),
}

pub(super) fn run(common: &Common, command: &Enroll) -> anyhow::Result<u8> {
    let tasks = match (&command.dir, &command.name) {
        (Some(folder), _) => tasks_in(folder)?,
        (None, Some(name)) => {
            command.images.iter().map(|path| Task { name: name.clone(), path: path.clone() }).collect()
        }
        (None, None) => anyhow::bail!("say NAME and photos, or --dir PEOPLE"),
    };
    let builder = common.builder()?;
    let (engine, database) = rayon::join(|| builder.build(), || command.place.open(true));
    let (engine, database) = (engine?, database?);
    command.way.prepare(common, &database, &command.place.gallery)?;
    let options = command.options();

    let bar = output::bar(common, tasks.len(), "enrolling");
    let mut outcomes: Vec<Outcome> = Vec::with_capacity(tasks.len());
    for together in tasks.chunks(TOGETHER) {
        let prepared: Vec<Prepared> = together
            .par_iter()
            .map(|task| {
                let answer = prepare(&engine, &database, common, command, &options, task);
                bar.inc(1);
                answer.unwrap_or_else(Prepared::Refused)
            })
            .collect();
        // In the order of the photos, so that the same command gives the same gallery.
        let mut pending = None;
        let mut reached = Vec::with_capacity(together.len());
        for (task, prepared) in together.iter().zip(prepared) {
            reached.push(match prepared {
                Prepared::Known(enrolled) => Outcome::Enrolled(enrolled),
                Prepared::Refused(error) => Outcome::Refused(error),
                Prepared::Face(face) => {
                    let place = &command.place.gallery;
                    match engine.enroll_prepared(&database, place, &task.name, *face, &options) {
                        Ok((enrolled, write)) => {
                            pending = Some(write);
                            Outcome::Enrolled(enrolled)
                        }
                        // The database itself has failed: nothing of this batch is reported as done.
                        Err(error @ Error::Store(_)) => return Err(error.into()),
                        Err(error) => Outcome::Refused(error),
                    }
                }
            });
        }
        if let Some(write) = pending {
            database.settle(write)?;
        }
        outcomes.extend(reached);
    }
    bar.finish_and_clear();
    report(common, &tasks, &outcomes)
}

fn prepare(
    engine: &Engine,
    database: &Database,
    common: &Common,
    command: &Enroll,
    options: &EnrolOptions,
    task: &Task,
) -> Result<Prepared, Error> {
    let limits = common.limits();
    let bytes = Photo::read(&task.path, &limits)?;
    let digest: [u8; 32] = Sha256::digest(&bytes).into();
    if let Some(known) = database.has_photo(&command.place.gallery, &task.name, &digest) {
        return Ok(Prepared::Known(known));
    }
    let photo = Photo::from_bytes(&bytes, &task.path.display().to_string(), &limits)?;
    Ok(Prepared::Face(Box::new(engine.prepare(&photo, options)?)))
}

fn report(common: &Common, tasks: &[Task], outcomes: &[Outcome]) -> anyhow::Result<u8> {
    let count = |status| {
        let is = |o: &&Outcome| matches!(o, Outcome::Enrolled(e) if e.status == status);
        outcomes.iter().filter(is).count()
    };
    let added = count(EnrolmentStatus::Added);
    let known = count(EnrolmentStatus::SamePhoto) + count(EnrolmentStatus::SameFace);
    let refused: Vec<(&Task, &Error)> = tasks
        .iter()
        .zip(outcomes)
        .filter_map(|(t, o)| match o {
            Outcome::Refused(e) => Some((t, e)),
            Outcome::Enrolled(_) => None,
        })
        .collect();
    for (_, error) in &refused {
        eprintln!("kith: {}", notes::with_largest(error));
    }
    if common.json {
        let rows: Vec<Value> = tasks
            .iter()
            .zip(outcomes)
            .map(|(task, outcome)| match outcome {
                Outcome::Enrolled(e) => json!({ "photo": task.path, "enrolled": e }),
                Outcome::Refused(e) => json!({
                    "photo": task.path, "name": task.name,
                    "error": { "code": e.code(), "message": e.to_string() },
                }),
            })
            .collect();
        let refused = refused.len();
        output::json(&json!({ "added": added, "known": known, "refused": refused, "photos": rows }))?;
    } else {
        output::line(&format!(
            "{added} face{} enrolled, {known} known already, {} refused",
            if added == 1 { "" } else { "s" },
            refused.len()
        ));
        let mut reasons: std::collections::BTreeMap<&str, usize> = Default::default();
        for (_, error) in &refused {
            *reasons.entry(error.code()).or_default() += 1;
        }
        for (reason, count) in reasons.iter().filter(|_| refused.len() > 1) {
            output::line(&format!("  {count} x {reason}"));
        }
    }
    Ok(if refused.is_empty() { DONE } else { FAILED })
}

/// The photos of a folder: in a folder for each person, or directly in it as `NAME_0001.jpg`.
fn tasks_in(folder: &Path) -> anyhow::Result<Vec<Task>> {
    let entries = |folder: &Path| -> anyhow::Result<Vec<PathBuf>> {
        let read = std::fs::read_dir(folder).and_then(|d| d.map(|e| e.map(|e| e.path())).collect());
        let mut paths: Vec<PathBuf> = read.map_err(|e| anyhow::anyhow!("{}: {e}", folder.display()))?;
        paths.sort();
        Ok(paths)
    };
    let is_photo = |path: &PathBuf| {
        let ending = path.extension().and_then(|e| e.to_str()).unwrap_or_default().to_ascii_lowercase();
        path.is_file() && ENDINGS.contains(&ending.as_str())
    };
    let mut tasks = Vec::new();
    for path in entries(folder)? {
        if path.is_dir() {
            let name = spoken(&path.file_name().unwrap_or_default().to_string_lossy());
            let photos = entries(&path)?.into_iter().filter(is_photo);
            tasks.extend(photos.map(|path| Task { name: name.clone(), path }));
        } else if is_photo(&path) {
            let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            tasks.push(Task { name: spoken(without_number(&stem)), path });
        }
    }
    anyhow::ensure!(!tasks.is_empty(), "{}: no photos in it, nor in folders in it", folder.display());
    Ok(tasks)
}

/// `Grace_Hopper` is Grace Hopper.
fn spoken(name: &str) -> String {
    name.replace('_', " ").trim().to_string()
}

/// The name before `_0001`; the whole where no such number ends it.
fn without_number(stem: &str) -> &str {
    match stem.rsplit_once(['_', '-']) {
        Some((name, number))
            if !name.is_empty() && !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()) =>
        {
            name
        }
        _ => stem,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_from_folders_and_numbered_files() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir(at("Ada_Lovelace")).unwrap();
        for file in ["Ada_Lovelace/b.jpg", "Ada_Lovelace/a.PNG", "Ada_Lovelace/notes.txt", "Grace_Hopper_0002.jpg"] {
            std::fs::write(at(file), b"x").unwrap();
        }
        std::fs::write(at("solo.jpeg"), b"x").unwrap();
        let tasks = tasks_in(folder.path()).unwrap();
        let named: Vec<(&str, String)> = tasks
            .iter()
            .map(|t| (t.name.as_str(), t.path.file_name().unwrap().to_string_lossy().into_owned()))
            .collect();
        let wanted = [
            ("Ada Lovelace", "a.PNG"),
            ("Ada Lovelace", "b.jpg"),
            ("Grace Hopper", "Grace_Hopper_0002.jpg"),
            ("solo", "solo.jpeg"),
        ];
        assert_eq!(named, wanted.map(|(n, f)| (n, f.to_string())));
        assert!(tasks_in(&at("Ada_Lovelace/notes.txt")).is_err());
        let empty = tempfile::tempdir().unwrap();
        assert!(tasks_in(empty.path()).is_err());
    }
}
