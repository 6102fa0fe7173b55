//! `kith people` and `kith forget`

use super::args::Common;
use super::gallery_args::{Forget, People, PeopleAction};
use super::{DONE, output};
use crate::json::json;
use crate::{Person, PersonChange};

pub(super) fn run(common: &Common, command: &People) -> anyhow::Result<u8> {
    let database = command.place.open(false)?;
    let gallery = command.place.gallery.as_str();
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
                let [yaw, pitch, roll] = f.pose;
                output::line(&format!(
                    "  face {}: {}, eyes {:.0} pixels apart, sharpness {:.3}, brightness {:.2}, turned {yaw:.0}/{pitch:.0}/{roll:.0} degrees{}",
                    f.id,
                    f.source,
                    f.eye_distance,
                    f.sharpness,
                    f.brightness,
                    if f.chip { ", chip kept" } else { "" }
                ));
            }
            return Ok(DONE);
        }
        Some(PeopleAction::Rename { name, to }) => database.rename(gallery, name, to)?,
        Some(PeopleAction::Merge { from, into }) => database.merge(gallery, from, into)?,
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
            if common.json {
                output::json(&json!({ "forgotten": name, "faces": faces, "scrubbed": scrub }))?;
            } else {
                output::line(&format!("{name} is forgotten, with {faces} face{}", if faces == 1 { "" } else { "s" }));
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

fn print(person: &Person) {
    let groups = match person.groups.as_slice() {
        [] => String::new(),
        groups => format!("  [{}]", groups.join(", ")),
    };
    let labels: String = person.labels.iter().map(|(k, v)| format!("  {k}={v}")).collect();
    let plural = if person.faces == 1 { "" } else { "s" };
    output::line(&format!("{}: {} face{plural}{groups}{labels}", person.name, person.faces));
}
