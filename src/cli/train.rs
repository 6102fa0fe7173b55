//! `kith train`

use std::collections::BTreeSet;
use std::path::Path;

use super::args::common::Common;
use super::args::train::{Train, TrainClassic, TrainWhat};
use super::codes::DONE;
use super::{output, own_weights, train_faces, train_networks};
use crate::LabelledPhoto;
use crate::eval::{people_of, photos_under};
use crate::files::spelled;
use crate::train::{ClassicKind, ClassicOptions, train_classic};

pub(super) fn run(common: &Common, command: &Train) -> anyhow::Result<u8> {
    match &command.what {
        TrainWhat::Eigenfaces { classic: c, drop, no_whitening } => {
            let options = ClassicOptions { drop: *drop, whiten: !no_whitening, ..options(c) };
            classic(common, ClassicKind::Eigenfaces, c, &options)
        }
        TrainWhat::Fisherfaces { classic: c } => classic(common, ClassicKind::Fisherfaces, c, &options(c)),
        TrainWhat::Triplet(c) => {
            let (photos, _) = photos_of(&c.people, c.except.as_deref())?;
            train_networks::run_triplet(common, c, &photos)
        }
        TrainWhat::Distil(c) => {
            let photos = match c.people {
                true => photos_of(&c.photos, None)?.0,
                false => {
                    let paths = photos_under(&c.photos)?;
                    paths.into_iter().map(|path| LabelledPhoto { person: 0, path }).collect()
                }
            };
            train_networks::run_distil(common, c, &photos)
        }
        TrainWhat::Preview(c) => train_faces::run_preview(common, c),
        TrainWhat::Adapt(c) => train_faces::run_adapt(common, c),
        TrainWhat::Networks { name } => train_faces::list(common, name.as_deref()),
    }
}

fn options(command: &TrainClassic) -> ClassicOptions {
    ClassicOptions { variance: command.variance, choice: command.face.choice(), ..ClassicOptions::default() }
}

fn classic(common: &Common, kind: ClassicKind, command: &TrainClassic, options: &ClassicOptions) -> anyhow::Result<u8> {
    let out = match &command.output {
        Some(path) => path.clone(),
        None => {
            let name = command.name.as_deref().unwrap_or(kind.name());
            own_weights::place(common, name)?
        }
    };
    let (photos, left_out) = photos_of(&command.people, command.except.as_deref())?;
    let engine = common.engine()?;
    let bar = output::bar(common, photos.len(), "finding faces");
    let trained = own_weights::keeping(&out, || {
        Ok(train_classic(&engine, kind, &photos, options, &common.limits(), &out, &|| bar.inc(1))?)
    })?;
    bar.finish_and_clear();
    for failure in &trained.failures {
        eprintln!("kith: {failure}");
    }
    if common.json {
        output::json(&trained)?;
        return Ok(DONE);
    }
    output::line(&format!(
        "{}: {} dimensions, learnt in {:.1} s from {} faces of {} people (found in {:.1} s), sha256 {}",
        spelled(&trained.path),
        trained.dimension,
        trained.seconds.1,
        trained.faces,
        trained.people,
        trained.seconds.0,
        trained.sha256
    ));
    if let Some(count) = left_out {
        output::line(&format!("{count} people named in the pairs were left out"));
    }
    Ok(DONE)
}

/// The photos of a folder's people, without those whom a list names; how many those are, where there is a list.
fn photos_of(folder: &Path, except: Option<&Path>) -> anyhow::Result<(Vec<LabelledPhoto>, Option<usize>)> {
    let left_out = except.map_or_else(|| Ok(BTreeSet::new()), named_in)?;
    let people = people_of(folder)?;
    let kept: Vec<_> = people.iter().filter(|p| !left_out.contains(&p.name)).collect();
    let photos = kept
        .iter()
        .enumerate()
        .flat_map(|(person, p)| p.photos.iter().map(move |path| LabelledPhoto { person, path: path.clone() }))
        .collect();
    Ok((photos, except.map(|_| people.len() - kept.len())))
}

/// Everybody whom a pairs.txt names.
fn named_in(list: &Path) -> anyhow::Result<BTreeSet<String>> {
    let text = std::fs::read_to_string(list).map_err(|e| anyhow::anyhow!("{}: {e}", spelled(list)))?;
    let mut names = BTreeSet::new();
    for line in text.lines().skip(1) {
        let words: Vec<&str> = line.split('\t').map(str::trim).collect();
        match words[..] {
            [name, _, _] => _ = names.insert(name.to_string()),
            [first, _, second, _] => names.extend([first.to_string(), second.to_string()]),
            _ => {}
        }
    }
    anyhow::ensure!(!names.is_empty(), "{}: no pair of LFW's pairs.txt is in it", spelled(list));
    Ok(names)
}
