//! What commands ask and change, in the service's audit log like what its other callers do.

use serde_json::Value;
use tokio::runtime::Handle;

use super::super::audit::Event;
use super::super::problem::Problem;
use super::super::state::Service;
use crate::database::{LARGEST_REQUEST, Request, decode};
use crate::error::StoreError;
use crate::json::json;
use crate::{Enrolled, Result};

/// What the log calls a command, in the place of a key's id.
const COMMAND: &str = "command";

/// Whose command it is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Whose {
    pub user: u32,
    pub process: Option<i32>,
}

impl Whose {
    /// `user grace (1000), process 4711`
    fn named(&self) -> String {
        let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
        let id = self.user.to_string();
        let name = users.lines().find_map(|line| {
            let mut fields = line.split(':');
            let (name, _, user) = (fields.next()?, fields.next()?, fields.next()?);
            (user == id).then(|| name.to_string())
        });
        let user = name.map_or_else(|| id.clone(), |name| format!("{name} ({id})"));
        let process = self.process.map_or_else(String::new, |process| format!(", process {process}"));
        format!("user {user}{process}")
    }
}

/// Does what a request asks, and puts it into the audit log before it is answered, and before it is done where it changes
/// something; where it is for the log.
///
/// # Errors
/// What `work` fails with; what the service's callers are told when the log cannot be written.
pub(super) fn noted(
    service: &Service,
    runtime: &Handle,
    whose: &Whose,
    request: Request,
    work: impl FnOnce(Request) -> Result<Vec<u8>>,
) -> Result<Vec<u8>> {
    let Some(deed) = Deed::of(&request) else { return work(request) };
    let mut event = Event::of_itself(COMMAND, &whose.named(), deed.action);
    (event.gallery, event.person, event.evidence) = (deed.gallery, deed.person, deed.evidence);
    let (evidence, changes) = (deed.from_answer, deed.changes);
    let told = |answered: &Result<Vec<u8>>, event: &mut Event| match answered {
        Ok(answer) => {
            if let Some(seen) = evidence.and_then(|evidence| evidence(answer)) {
                event.evidence = seen;
            }
        }
        Err(error) => {
            event.result = "refused".to_string();
            event.code = Some(error.code().to_string());
        }
    };
    let work = async { Ok::<_, Problem>(work(request)) };
    let audited = runtime.block_on(async {
        match changes {
            true => service.ledger().noted_write(event, work, told).await,
            false => service.audited(event, work, told).await,
        }
    });
    audited.unwrap_or_else(|problem| {
        let (code, text) = (crate::error::lasting(problem.code()), problem.detail().to_string());
        Err(StoreError::Answered { code, text }.into())
    })
}

/// From an answer to the evidence in it.
type Shows = fn(&[u8]) -> Option<Value>;

/// What of a request is for the log.
struct Deed {
    action: &'static str,
    gallery: Option<String>,
    person: Option<String>,
    evidence: Value,
    /// Whether it changes something, so that its line comes first.
    changes: bool,
    /// What the answer shows.
    from_answer: Option<Shows>,
}

impl Deed {
    /// None for what the log does not hold of other callers either: lists, numbers, indexes, and the pieces that a
    /// whole is made of.
    fn of(request: &Request) -> Option<Self> {
        let deed = |action, gallery: &String, person: Option<&String>, evidence| {
            let (gallery, person) = (Some(gallery.clone()), person.cloned());
            Some(Self { action, gallery, person, evidence, changes: true, from_answer: None })
        };
        let question = |deed: Option<Self>| deed.map(|deed| Self { changes: false, ..deed });
        let none = Value::Null;
        match request {
            Request::Enroll { gallery, name, .. } => Some(Self {
                action: "enroll",
                gallery: Some(gallery.clone()),
                person: Some(name.clone()),
                evidence: none,
                changes: true,
                from_answer: Some(|answer| {
                    let done: Enrolled = decode::<_, LARGEST_REQUEST>(answer)?;
                    Some(json!({ "face": done.face, "status": done.status }))
                }),
            }),
            Request::Nearest { gallery, .. } => Some(Self {
                action: "search",
                gallery: Some(gallery.clone()),
                person: None,
                evidence: none,
                changes: false,
                // Where the line is drawn, the command decides.
                from_answer: Some(|answer| {
                    let found: crate::database::Nearest = decode::<_, LARGEST_REQUEST>(answer)?;
                    let nearest = found.people.first();
                    Some(json!({ "nearest": nearest.map(|p| &p.name), "distance": nearest.map(|p| p.distance) }))
                }),
            }),
            Request::NearestFaceOf { gallery, name, .. } => question(deed("verify person", gallery, Some(name), none)),
            Request::DistanceToFace { gallery, face, .. } => {
                question(deed("verify person", gallery, None, json!({ "face": face })))
            }
            Request::AddPerson { gallery, name, .. } => deed("add person", gallery, Some(name), none),
            Request::Rename { gallery, name, to } => deed("change person", gallery, Some(name), json!({ "name": to })),
            Request::Label { gallery, name, .. } => deed("change person", gallery, Some(name), none),
            Request::Merge { gallery, from, into } => {
                deed("merge person", gallery, Some(from), json!({ "into": into }))
            }
            Request::Split { gallery, name, taken, called } => {
                deed("split person", gallery, Some(name), json!({ "taken": taken, "called": called }))
            }
            Request::Forget { gallery, name, .. } => deed("forget person", gallery, Some(name), none),
            Request::ForgetFace { gallery, face, .. } => deed("forget face", gallery, None, json!({ "face": face })),
            Request::Export { gallery, folder, .. } => {
                deed("export", gallery, None, json!({ "folder": folder.shown() }))
            }
            Request::Import { gallery, folder } => deed("import", gallery, None, json!({ "folder": folder.shown() })),
            Request::ReembedStart { gallery, model, .. } => {
                deed("begin to reembed", gallery, None, json!({ "model": model }))
            }
            Request::ReembedFinish { change, .. } => deed("reembed", &change.gallery, None, none),
            Request::Backup { file, .. } => Some(Self {
                action: "backup",
                gallery: None,
                person: None,
                evidence: json!({ "file": file.shown() }),
                changes: true,
                from_answer: None,
            }),
            Request::ChangeLibrary { change } => Some(Self {
                action: "change library",
                gallery: None,
                person: None,
                evidence: json!({ "photos": change.photos.len(), "groups": change.groups.len() }),
                changes: true,
                from_answer: None,
            }),
            Request::Galleries
            | Request::Stats
            | Request::ModelOf { .. }
            | Request::DetectorOf { .. }
            | Request::Impostors { .. }
            | Request::People { .. }
            | Request::PeoplePage { .. }
            | Request::FacesPage { .. }
            | Request::Person { .. }
            | Request::Face { .. }
            | Request::Thumbnail { .. }
            | Request::PicturedFace { .. }
            | Request::HasPhoto { .. }
            | Request::DistanceBetween { .. }
            | Request::Searched { .. }
            | Request::Settle
            | Request::Check
            | Request::UseIndex { .. }
            | Request::Reindex { .. }
            | Request::ReembedLeft { .. }
            | Request::ReembedFace { .. }
            | Request::ReembedPut { .. }
            | Request::LibraryPhotos { .. }
            | Request::LibraryGroups
            | Request::LibraryPictures { .. }
            | Request::NamedVectors { .. } => None,
        }
    }
}
