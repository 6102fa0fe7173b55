//! `kith enroll`

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::args::common::Common;
use super::args::people::Enroll;
use super::codes::{DONE, FAILED};
use super::people_folder::{Found, Passed, Task, look};
use super::{notes, output};
use crate::files::spelled;
use crate::json::json;
use crate::{Database, Engine, EnrolOptions, Enrolled, EnrolmentStatus, Error, NewFace, PersonChange, Photo};

/// Photos that are looked at, enrolled and made durable together.
const TOGETHER: usize = 64;

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
    let found = match (&command.dir, &command.name) {
        (Some(folder), _) => look(folder)?,
        (None, Some(name)) => {
            let tasks = command.images.iter().map(|path| Task { name: name.clone(), path: path.clone() });
            Found { tasks: tasks.collect(), ..Found::default() }
        }
        (None, None) => anyhow::bail!("say NAME and photos, or --dir PEOPLE"),
    };
    let tasks = &found.tasks;
    if tasks.is_empty() {
        return report(common, &found, &[]);
    }
    let database = command.place.open(true)?;
    let engine = common.engine_for(&database, &command.place.gallery)?;
    command.way.prepare(common, &database, &command.place.gallery)?;
    let options = command.options();

    let bar = output::bar(common, tasks.len(), "enrolling");
    let mut outcomes: Vec<Outcome> = Vec::with_capacity(tasks.len());
    let mut marked = BTreeSet::new();
    for together in tasks.chunks(TOGETHER) {
        let prepared: Vec<Prepared> = engine.of_each(together, |task| {
            let answer = prepare(&engine, &database, common, command, &options, task);
            bar.inc(1);
            answer.unwrap_or_else(Prepared::Refused)
        });
        // In the order of the photos, so that the same command gives the same gallery.
        let mut pending = None;
        let mut reached = Vec::with_capacity(together.len());
        for (task, prepared) in together.iter().zip(prepared) {
            reached.push(match prepared {
                Prepared::Known(enrolled) => {
                    if marked.insert(enrolled.person) {
                        mark(&database, &command.place.gallery, &enrolled.name, &options)?;
                    }
                    Outcome::Enrolled(enrolled)
                }
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
    report(common, &found, &outcomes)
}

/// Gives a person whose photo is known already the groups and labels that are said of them.
fn mark(database: &Database, gallery: &str, name: &str, options: &EnrolOptions) -> Result<(), Error> {
    let EnrolOptions { groups, labels, .. } = options;
    if groups.is_empty() && labels.is_empty() {
        return Ok(());
    }
    let change = PersonChange { join: groups.clone(), set: labels.clone(), ..PersonChange::default() };
    database.label(gallery, name, &change).map(drop)
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
    let photo = Photo::from_bytes(&bytes, &spelled(&task.path), &limits)?;
    Ok(Prepared::Face(Box::new(engine.prepare(&photo, options)?)))
}

fn report(common: &Common, found: &Found, outcomes: &[Outcome]) -> anyhow::Result<u8> {
    let (tasks, passed) = (&found.tasks, &found.passed);
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
    for line in found.notes.iter().cloned().chain(passed.iter().map(Passed::line)) {
        output::complain(&line);
    }
    for (_, error) in &refused {
        output::complain(notes::with_face(error));
    }
    let failed = !refused.is_empty() || passed.iter().any(Passed::fails);
    if common.json {
        let rows: Vec<Value> = tasks
            .iter()
            .zip(outcomes)
            .map(|(task, outcome)| match outcome {
                Outcome::Enrolled(e) => json!({ "photo": spelled(&task.path), "enrolled": e }),
                Outcome::Refused(e) => json!({
                    "photo": spelled(&task.path), "name": task.name,
                    "error": { "code": e.code(), "message": e.to_string() },
                }),
            })
            .collect();
        let refused = refused.len();
        let passed: Vec<Value> = passed.iter().map(Passed::object).collect();
        output::json(&json!({
            "added": added, "known": known, "refused": refused, "photos": rows, "passed_over": passed,
        }))?;
    } else {
        output::line(&format!(
            "{added} face{} enrolled, {known} known already, {} refused{}",
            if added == 1 { "" } else { "s" },
            refused.len(),
            if passed.is_empty() { String::new() } else { format!(", {} passed over", passed.len()) }
        ));
        let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
        for (_, error) in &refused {
            *reasons.entry(error.code()).or_default() += 1;
        }
        for (reason, count) in reasons.iter().filter(|_| refused.len() > 1) {
            output::line(&format!("  {count} x {reason}"));
        }
    }
    Ok(if failed { FAILED } else { DONE })
}
