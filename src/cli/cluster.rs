//! `kith cluster`

use super::args::common::Common;
use super::args::library::{Cluster, ClusterAction};
use super::args::place::Place;
use super::asking::agreed;
use super::codes::DONE;
use super::library::on_one_line;
use super::output;
use super::targets::spare;
use crate::error::LibraryError;
use crate::files::Audience;
use crate::json::json;
use crate::{Correction, Database, GroupSummary, Library, PhotoFilter};

pub(super) fn run(common: &Common, command: &Cluster) -> anyhow::Result<u8> {
    command.html.as_ref().map_or(Ok(()), |page| spare(page, &[], false))?;
    if let Some(ClusterAction::Name { group, name: Some(name), merge, .. }) = &command.action {
        return told(common, &named(common, &command.place, group, name, *merge)?);
    }
    let database = command.place.open(false)?;
    let library = Library::of(&database);
    let corrected = match &command.action {
        None => {
            let working = output::waiting(common, "grouping faces");
            let own = common.calibration_record()?;
            let grouped = library.group(Some(&command.place.gallery), own.as_ref(), command.poor_faces)?;
            working.finish_and_clear();
            sheet(command, &library, &grouped.groups)?;
            if common.json {
                output::json(&grouped)?;
                return Ok(DONE);
            }
            print(&grouped.groups);
            output::line(&format!(
                "{} in {}, {} of nobody else; left out: {} too poor to tell people by, {} of other models",
                output::faces(grouped.faces),
                output::counted(grouped.groups.len(), "group", "groups"),
                grouped.alone,
                grouped.poor,
                grouped.other_model
            ));
            if grouped.enrolled_other_model > 0 {
                output::line(&format!(
                    "{} enrolled in {} gave no name: their faces are another model's; `kith reembed --gallery {}` makes \
                     them this one's",
                    output::counted(grouped.enrolled_other_model, "person", "people"),
                    command.place.gallery,
                    command.place.gallery
                ));
            }
            output::line(&format!(
                "one person from a cosine of {:.3} between two faces on, {:.3} between large groups",
                grouped.line.0, grouped.line.1
            ));
            return Ok(DONE);
        }
        Some(ClusterAction::List) => {
            let groups = library.group_list()?;
            sheet(command, &library, &groups)?;
            if common.json {
                output::json(&json!({ "groups": groups }))?;
            } else {
                print(&groups);
            }
            return Ok(DONE);
        }
        Some(ClusterAction::Questions { most }) => return questions(common, &library, *most),
        Some(ClusterAction::Different { one, other }) => library.different(one, other)?,
        Some(ClusterAction::Show { group }) => return show(common, &library, group),
        Some(ClusterAction::Name { group, face: Some(face), .. }) => library.name_face(*face, group)?,
        Some(ClusterAction::Name { .. }) => anyhow::bail!("say the group and its name, or --face FACE and the name"),
        Some(ClusterAction::Unname { group }) => library.unname(group)?,
        Some(ClusterAction::Merge { from, into }) => library.merge(from, into)?,
        Some(ClusterAction::Split { group, faces }) => library.split(group, faces)?,
        Some(ClusterAction::NotPerson { face }) => library.not_this_person(*face)?,
        Some(ClusterAction::NotFace { face, undo: false }) => library.not_a_face(*face)?,
        Some(ClusterAction::NotFace { face, undo: true }) => {
            let again = library.a_face_again(*face)?;
            if !common.json {
                output::line(&format!("face {face} is one again; `kith cluster` groups it"));
                return Ok(DONE);
            }
            again
        }
        Some(ClusterAction::NoFaces) => return no_faces(common, &library),
        Some(ClusterAction::Hide { group, undo }) => library.hide(group, !undo)?,
    };
    told(common, &corrected)
}

/// Names a group. Where another has the name, somebody at a terminal is asked whether the two are one person's.
fn named(common: &Common, place: &Place, group: &str, name: &str, merge: bool) -> anyhow::Result<Correction> {
    let open = place.opener(false)?;
    let answer = Library::of(&open()?).name(group, name, merge);
    let refusal = match answer {
        Err(crate::Error::Library(refusal @ LibraryError::SameName { .. })) => refusal,
        answer => return Ok(answer?),
    };
    if let LibraryError::SameName { group, into, name } = &refusal {
        let what = format!("group {into} is {} already", Database::name_shown(name));
        let question = format!("Is group {group} the same person? The two are one then");
        agreed(common, refusal.clone(), &what, &question)?;
    }
    Ok(Library::of(&open()?).name(group, name, true)?)
}

fn sheet(command: &Cluster, library: &Library, groups: &[GroupSummary]) -> anyhow::Result<()> {
    let Some(page) = &command.html else { return Ok(()) };
    let shown: Vec<GroupSummary> = groups.iter().filter(|g| !g.hidden).cloned().collect();
    output::page(page, &library.groups_page(&shown)?, Audience::Owner)
}

fn told(common: &Common, c: &Correction) -> anyhow::Result<u8> {
    if common.json {
        output::json(c)?;
        return Ok(DONE);
    }
    match c.group {
        None => output::line("remembered: no face"),
        Some(group) => {
            let name = c.name.as_deref().map_or_else(|| "nobody named yet".to_string(), Database::name_shown);
            let gone = c.gone.map_or_else(String::new, |gone| format!("; group {gone} is no more"));
            output::line(&format!("group {group}: {name}, {}{gone}", output::faces(c.faces)));
        }
    }
    Ok(DONE)
}

fn print(groups: &[GroupSummary]) {
    for g in groups.iter().filter(|g| !g.hidden) {
        let name = g.name.as_deref().map_or_else(|| "-".to_string(), Database::name_shown);
        let photos = output::counted(g.photos, "photo", "photos");
        let best = g.best_face.map_or_else(String::new, |f| format!(", best face {f}"));
        output::line(&format!("{:>8}  {name}: {} in {photos}{best}", g.id, output::faces(g.faces)));
    }
}

fn no_faces(common: &Common, library: &Library) -> anyhow::Result<u8> {
    let album = library.album()?;
    let faces = album.no_faces();
    if common.json {
        output::json(&json!({ "faces": faces }))?;
        return Ok(DONE);
    }
    for face in &faces {
        let photo = album.photo(face.photo)?;
        let crate::geometry::BBox { x0, y0, x1, y1 } = face.bbox;
        let file = on_one_line(photo.files.first().map_or("", String::as_str));
        output::line(&format!("face {}: {file}: {x0:.0},{y0:.0} to {x1:.0},{y1:.0}", face.id));
    }
    output::line(&format!(
        "{} said to be none; `kith cluster not-face FACE --undo` takes it back",
        output::faces(faces.len())
    ));
    Ok(DONE)
}

fn questions(common: &Common, library: &Library, most: usize) -> anyhow::Result<u8> {
    let mut questions = library.album()?.questions(common.calibration_record()?.as_ref())?;
    let total = questions.len();
    questions.truncate(most);
    if common.json {
        output::json(&json!({ "questions": questions, "total": total }))?;
        return Ok(DONE);
    }
    let called = |g: &GroupSummary| {
        let name = g.name.as_deref().map_or_else(String::new, |n| format!(" {}", Database::name_shown(n)));
        format!("{}{name} ({})", g.id, output::faces(g.faces))
    };
    for q in &questions {
        let (one, other) = (called(&q.one), called(&q.other));
        output::line(&format!("{one} and {other}: {:.3} alike, one person from {:.3} on", q.likeness, q.line));
    }
    output::line(&output::counted(total, "question", "questions"));
    Ok(DONE)
}

fn show(common: &Common, library: &Library, group: &str) -> anyhow::Result<u8> {
    let photos = library.find(&PhotoFilter { who: vec![group.to_string()], ..PhotoFilter::default() })?;
    if common.json {
        output::json(&json!({ "photos": photos }))?;
        return Ok(DONE);
    }
    let key = Database::name_key(group);
    let is_meant = |w: &crate::Who| {
        w.name.as_deref().is_some_and(|n| Database::name_key(n) == key)
            || w.group.to_string() == group.trim_start_matches('#')
    };
    for photo in &photos {
        for face in photo.faces.iter().filter(|f| f.who.as_ref().is_some_and(is_meant)) {
            let crate::geometry::BBox { x0, y0, x1, y1 } = face.bbox;
            let file = photo.files.first().map_or("", String::as_str);
            let file = on_one_line(file);
            output::line(&format!("face {}: {file}: {x0:.0},{y0:.0} to {x1:.0},{y1:.0}", face.id));
        }
    }
    Ok(DONE)
}
