//! `kith library` and `kith find`

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::args::common::Common;
use super::args::library::{Find, LibraryAction, LibraryArgs};
use super::asking::agreed;
use super::codes::{DIFFERENT, DONE, FAILED};
use super::output;
use super::targets::{distinct_names, spare};
use crate::error::LibraryError;
use crate::files::{Audience, path_of, spelled};
use crate::json::json;
use crate::{Database, Engine, FoundPhoto, Hanging, Library, PhotoFilter, ScanOptions, Scanned};

pub(super) fn run(common: &Common, command: &LibraryArgs) -> anyhow::Result<u8> {
    let place = &command.place;
    match &command.action {
        LibraryAction::Add { folders, watch, every, again } => {
            let engine = common.engine()?;
            let options = ScanOptions { limits: common.limits(), again: *again };
            let open = place.opener(true)?;
            let scan = || -> anyhow::Result<Scanned> { add(common, &open()?, &engine, folders, &options) };
            let first = scan()?;
            said(common, &first)?;
            if !*watch {
                return Ok(if first.refused.is_empty() { DONE } else { FAILED });
            }
            loop {
                // The database is closed meanwhile, so that other commands have their turn.
                std::thread::sleep(Duration::try_from_secs_f64(*every).unwrap_or(Duration::from_secs(5)));
                let scanned = scan()?;
                if has_news(&scanned) {
                    said(common, &scanned)?;
                }
            }
        }
        LibraryAction::List => {
            let photos = Library::of(&place.open(false)?).find(&PhotoFilter::default())?;
            list(common, &photos)?;
            Ok(DONE)
        }
        LibraryAction::Remove { paths, missing, yes, no_scrub } => {
            let open = place.opener(false)?;
            if !yes {
                let hanging = Library::of(&open()?).hanging_on(paths, *missing)?;
                sure(common, &hanging)?;
            }
            let (photos, faces) = Library::of(&open()?).remove(paths, *missing, !no_scrub)?;
            if common.json {
                output::json(&json!({ "photos": photos, "faces": faces, "scrubbed": !no_scrub }))?;
            } else {
                let (photos, faces) = (output::counted(photos, "photo", "photos"), output::faces(faces));
                output::line(&format!("{photos} forgotten, with {faces}; the files are where they were"));
            }
            Ok(DONE)
        }
        LibraryAction::Duplicates => {
            let sets = Library::of(&place.open(false)?).duplicates()?;
            if common.json {
                output::json(&json!({ "duplicates": sets }))?;
                return Ok(DONE);
            }
            for set in &sets {
                output::line(if set.same_bytes { "the same bytes:" } else { "the same picture:" });
                set.files.iter().for_each(|file| output::line(&format!("  {}", on_one_line(file))));
            }
            output::line(&format!("{} saved more than once", output::counted(sets.len(), "picture", "pictures")));
            Ok(DONE)
        }
        LibraryAction::Status => {
            let s = Library::of(&place.open(false)?).status()?;
            if common.json {
                output::json(&s)?;
                return Ok(DONE);
            }
            let (photos, files) =
                (output::counted(s.photos, "photo", "photos"), output::counted(s.files, "file", "files"));
            output::line(&format!("{photos} in {files}, {} missing, {} unreadable", s.missing, s.unreadable));
            output::line(&format!(
                "{} in {}; {} too poor to tell people by, {} said to be none",
                output::faces(s.faces),
                output::counted(s.with_faces, "photo", "photos"),
                s.poor_faces,
                s.no_faces
            ));
            output::line(&format!("{}, {} with a name", output::counted(s.groups, "group", "groups"), s.named));
            for (model, faces) in &s.models {
                output::line(&format!("  {faces} of {model}"));
            }
            Ok(DONE)
        }
    }
}

/// Asks before photos are forgotten; without somebody to ask, that is refused.
fn sure(common: &Common, Hanging { photos, faces, names }: &Hanging) -> anyhow::Result<()> {
    let (photos, faces) = (*photos, *faces);
    if photos == 0 {
        return Ok(());
    }
    let refusal = LibraryError::Unsure { photos, faces, names: names.len() };
    let (photos, faces) = (output::counted(photos, "photo", "photos"), output::faces(faces));
    let named = match names.as_slice() {
        [] => "no name hangs on them alone".to_string(),
        [one] => format!("and the name {}", Database::name_shown(one)),
        names => format!("and the names of {} people", names.len()),
    };
    agreed(common, refusal, &format!("{photos} with {faces}, {named}"), "Forget them? The files stay")
}

fn add(
    common: &Common,
    database: &Database,
    engine: &Engine,
    folders: &[PathBuf],
    options: &ScanOptions,
) -> anyhow::Result<Scanned> {
    let bar = output::bar(common, usize::MAX, "looking at photos");
    let told = |done: usize, all: usize, faces: usize| {
        bar.set_length(all as u64);
        bar.set_position(done as u64);
        if faces > 0 {
            bar.set_message(format!("{} found, looking at photos", output::faces(faces)));
        }
    };
    let scanned = Library::of(database).scan(engine, folders, options, &told)?;
    bar.finish_and_clear();
    Ok(scanned)
}

/// Whether anything is otherwise than the scan before left it.
fn has_news(s: &Scanned) -> bool {
    s.added + s.changed + s.looked_again + s.moved + s.copies + s.returned + s.missing > 0
}

fn said(common: &Common, s: &Scanned) -> anyhow::Result<()> {
    for refused in &s.refused {
        output::complain(&refused.message);
    }
    if common.json {
        return output::json(s);
    }
    output::line(&format!(
        "{}: {} new, {} unchanged, {} changed, {} moved, {} more copies, {} back, {} missing, {} could not be read",
        output::counted(s.photos, "photo", "photos"),
        s.added,
        s.unchanged,
        s.changed,
        s.moved,
        s.copies,
        s.returned,
        s.missing,
        s.refused.len()
    ));
    if s.looked_again > 0 {
        output::line(&format!("{} looked at again, with this model", s.looked_again));
    }
    for (kind, count) in &s.passed_over {
        output::line(&format!("{count} passed over: {kind}"));
    }
    if cfg!(not(feature = "heic")) && s.passed_over.contains_key("HEIC") {
        output::line("HEIC is read by a kith built with `--features heic`; or save these photos as JPEG");
    }
    output::line(&format!(
        "{} found in {:.1} s, {:.1} photos a second",
        output::faces(s.faces),
        s.seconds,
        s.photos_per_second
    ));
    Ok(())
}

pub(super) fn find(common: &Common, command: &Find) -> anyhow::Result<u8> {
    command.html.as_ref().map_or(Ok(()), |page| spare(page, &[], false))?;
    let database = command.place.open(false)?;
    let library = Library::of(&database);
    let mut who = vec![command.person.clone()];
    who.extend(command.with.iter().cloned());
    let photos = library.find(&PhotoFilter { who, from: command.from.clone(), to: command.to.clone() })?;
    if let Some(folder) = &command.output {
        let linked = link(folder, &photos)?;
        if !common.json {
            output::line(&format!("{} in {}", output::counted(linked, "link", "links"), spelled(folder)));
        }
    }
    if let Some(page) = &command.html {
        let title = std::iter::once(&command.person).chain(&command.with).map(String::as_str).collect::<Vec<_>>();
        output::page(page, &library.photos_page(&title.join(" and "), &photos)?, Audience::Owner)?;
    }
    list(common, &photos)?;
    Ok(if photos.is_empty() { DIFFERENT } else { DONE })
}

fn list(common: &Common, photos: &[FoundPhoto]) -> anyhow::Result<()> {
    if common.json {
        return output::json(&json!({ "photos": photos }));
    }
    for photo in photos {
        let known = photo.faces.iter().filter_map(|f| f.who.as_ref());
        let names: Vec<String> =
            known.map(|w| w.name.as_deref().map_or_else(|| format!("#{}", w.group), Database::name_shown)).collect();
        let who = if names.is_empty() { output::faces(photo.faces.len()) } else { names.join(", ") };
        let taken = photo.taken.as_deref().unwrap_or("-").replace('T', " ");
        let file = photo.files.first().map_or("", String::as_str);
        let said = on_one_line(photo.fault.as_deref().unwrap_or(&who));
        output::line(&format!("{taken:<19}  {}: {said}", on_one_line(file)));
    }
    output::line(&output::counted(photos.len(), "photo", "photos"));
    Ok(())
}

/// A path as it is printed: what would begin another line, or steer the terminal, is spelled.
pub(super) fn on_one_line(path: &str) -> String {
    let spelled = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    path.chars().map(spelled).collect()
}

/// Puts a link to each photo into a folder; how many are there then.
fn link(folder: &Path, photos: &[FoundPhoto]) -> anyhow::Result<usize> {
    std::fs::create_dir_all(folder).map_err(|e| anyhow::anyhow!("{}: {e}", spelled(folder)))?;
    let files: Vec<PathBuf> = photos.iter().filter_map(|p| p.files.first()).map(|f| path_of(f)).collect();
    for (file, name) in files.iter().zip(distinct_names(&files)) {
        let at = folder.join(name);
        match make_link(file, &at) {
            // From before: it is the same link, or somebody's own file, which is left.
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {
                let same = std::fs::canonicalize(&at).ok() == std::fs::canonicalize(file).ok();
                anyhow::ensure!(same, "{}: is there already and is no link to {}", spelled(&at), spelled(file));
            }
            made => made.map_err(|e| anyhow::anyhow!("{}: {e}", spelled(&at)))?,
        }
    }
    Ok(files.len())
}

#[cfg(unix)]
fn make_link(file: &Path, at: &Path) -> std::io::Result<()> {
    std::os::unix::fs::symlink(file, at)
}

#[cfg(not(unix))]
fn make_link(file: &Path, at: &Path) -> std::io::Result<()> {
    std::fs::hard_link(file, at)
}
