//! `kith people` and `kith forget`

use super::args::common::Common;
use super::args::people::{Forget, People, PeopleAction};
use super::asking::agreed;
use super::codes::DONE;
use super::output;
use crate::error::GalleryError;
use crate::json::json;
use crate::{Calibration, Database, Engine, GroupSummary, Library, Person, PersonChange};

pub(super) fn run(common: &Common, command: &People) -> anyhow::Result<u8> {
    let open = command.place.opener(false)?;
    let gallery = command.place.gallery.as_str();
    if let Some(PeopleAction::Merge { from, into, yes: false }) = &command.action {
        alike(common, open()?, gallery, from, into)?;
    }
    let database = open()?;
    let changed = match &command.action {
        None => {
            let people = database.people(gallery, &command.who.filter())?;
            if common.json {
                output::json(&people)?;
            } else {
                people.iter().for_each(print);
            }
            return Ok(DONE);
        }
        Some(PeopleAction::Show { name }) => {
            let (person, faces) = database.person(gallery, name)?;
            if common.json {
                output::json(&json!({ "person": person, "faces": faces }))?;
                return Ok(DONE);
            }
            print(&person);
            for f in faces {
                let [yaw, pitch, roll] = f.quality.pose();
                output::line(&format!(
                    "  face {}: {}, eyes {:.0} pixels apart, sharpness {:.3}, brightness {:.2}, turned {yaw:.0}/{pitch:.0}/{roll:.0} degrees{}",
                    f.id,
                    f.source,
                    f.quality.eye_distance,
                    f.quality.sharpness,
                    f.quality.brightness,
                    if f.chip { ", chip kept" } else { "" }
                ));
            }
            return Ok(DONE);
        }
        Some(PeopleAction::Rename { name, to }) => database.rename(gallery, name, to)?,
        Some(PeopleAction::Merge { from, into, .. }) => database.merge(gallery, from, into)?,
        Some(PeopleAction::Split { name, taken, called }) => {
            let parted = database.split(gallery, name, taken.as_deref(), called.as_deref())?;
            if common.json {
                output::json(&parted)?;
            } else {
                print(&parted.person);
                print(&parted.from);
            }
            return Ok(DONE);
        }
        Some(PeopleAction::Label { name, join, leave, set, unset }) => {
            let change = PersonChange {
                join: join.clone(),
                leave: leave.clone(),
                set: set.iter().cloned().collect(),
                unset: unset.clone(),
            };
            database.label(gallery, name, &change)?
        }
    };
    if common.json {
        output::json(&changed)?;
    } else {
        print(&changed);
    }
    Ok(DONE)
}

pub(super) fn forget(common: &Common, command: &Forget) -> anyhow::Result<u8> {
    let database = command.place.open(false)?;
    let gallery = command.place.gallery.as_str();
    let scrub = !command.no_scrub;
    match (&command.name, command.face) {
        (Some(name), _) => {
            let faces = database.forget(gallery, name, scrub)?;
            // Said of photos, not of who is enrolled: it is somebody's work, and stays.
            let groups = Library::of(&database).group_list()?;
            let key = Database::name_key(name);
            let same_name = |g: &&GroupSummary| g.name.as_deref().is_some_and(|n| Database::name_key(n) == key);
            let group = groups.iter().find(same_name).map(|g| g.id);
            if common.json {
                let done = json!({ "forgotten": name, "faces": faces, "scrubbed": scrub, "library_group": group });
                output::json(&done)?;
            } else {
                output::line(&format!("{name} is forgotten, with {}", output::faces(faces)));
                if let Some(group) = group {
                    output::line(&format!(
                        "group {group} of the photo library still has that name: `kith cluster unname {group}` takes it away"
                    ));
                }
            }
        }
        (None, Some(face)) => {
            let person = database.forget_face(gallery, face, scrub)?;
            if common.json {
                output::json(&json!({ "forgotten_face": face, "person": person, "scrubbed": scrub }))?;
            } else {
                output::line(&format!("face {face} is forgotten"));
                print(&person);
            }
        }
        (None, None) => anyhow::bail!("say whom to forget, or --face ID"),
    }
    Ok(DONE)
}

/// Asks where two people are too far apart for one; without somebody to ask, that is refused.
fn alike(common: &Common, database: Database, gallery: &str, from: &str, into: &str) -> anyhow::Result<()> {
    let Some(distance) = database.distance_between(gallery, from, into)? else { return Ok(()) };
    let model = database.model_of(gallery);
    drop(database);
    let own = common.calibration_record()?.filter(|c| model.as_ref().is_some_and(|m| m.as_str() == c.model));
    let record = own.or_else(|| Engine::shipped_calibration(model.as_ref()?));
    // Where nothing is known of the model, everybody is asked about.
    let threshold = record.map_or(0.0, |c| c.farthest_apart(Calibration::MOST_APART));
    if distance <= threshold {
        return Ok(());
    }
    let refusal = GalleryError::FarApart { from: from.to_string(), into: into.to_string(), distance, threshold };
    let what = refusal.to_string();
    agreed(common, refusal, &what, "Make them one? (`kith people split` takes it back)")
}

fn print(person: &Person) {
    let groups = match person.groups.as_slice() {
        [] => String::new(),
        groups => format!("  [{}]", groups.join(", ")),
    };
    let labels: String = person.labels.iter().map(|(k, v)| format!("  {k}={v}")).collect();
    let plural = if person.faces == 1 { "" } else { "s" };
    let name = Database::name_shown(&person.name);
    output::line(&format!("{name}: {} face{plural}{groups}{labels}", person.faces));
}
