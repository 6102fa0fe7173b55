//! `/v1/people`: who is enrolled.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::error::GalleryError;
use crate::json::json;
use crate::serve::audit::Event;
use crate::serve::auth::{Enroll, May, Read};
use crate::serve::idempotency::Again;
use crate::serve::input::{Object, Options, Path, flag};
use crate::serve::problem::Problem;
use crate::serve::state::Service;
use crate::serve::terms::{LabelSought, Name};
use crate::serve::views::{FaceView, PeopleList, PersonDetail, PersonView};
use crate::{Calibration, PeopleOrder, PersonChange, PersonFilter};

/// People in a list when not said, and at most.
const PAGE: usize = 50;
const LONGEST_PAGE: usize = 1000;
const MOST_SKIPPED: usize = 1_000_000_000;

/// Which people.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Which {
    /// Only people whose name holds this, in whatever case.
    q: Option<String>,
    /// Only people in this group; said again, in all of them.
    #[serde(default)]
    group: Vec<String>,
    /// Only people with this label, as `key=value`; said again, with all of them.
    #[serde(default)]
    #[param(value_type = Vec<LabelSought>, inline)]
    label: Vec<String>,
    /// How many at most, 1 to 1000; 50 when not said.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
    /// Go on after an earlier answer by name: its `next`.
    after: Option<String>,
    /// In which order: `name` (code point by code point; when not said), `newest` or `faces` (most first).
    #[param(pattern = "^(name|newest|faces)$")]
    sort: Option<String>,
    /// Leave out so many at the beginning; not with `after`.
    #[serde(default)]
    #[param(value_type = u64, maximum = 1000000000)]
    skip: usize,
}

/// `key=value` pairs.
pub(super) fn labels(given: &[String]) -> Result<BTreeMap<String, String>, Problem> {
    let pair = |text: &String| match text.split_once('=') {
        Some((key, value)) => Ok((key.to_string(), value.to_string())),
        None => Err(Problem::bad("request.bad_option", format!("label {text:?}: a label is key=value"))),
    };
    given.iter().map(pair).collect()
}

fn cursor(after: &str) -> Result<String, Problem> {
    let bytes = URL_SAFE_NO_PAD.decode(after).ok();
    let name = bytes.and_then(|b| String::from_utf8(b).ok());
    name.ok_or_else(|| Problem::bad("request.bad_cursor", "after must be the next of an earlier answer"))
}

fn order(said: Option<&str>) -> Result<PeopleOrder, Problem> {
    match said {
        None | Some("name") => Ok(PeopleOrder::Name),
        Some("newest") => Ok(PeopleOrder::Newest),
        Some("faces") => Ok(PeopleOrder::Faces),
        Some(other) => Err(Problem::bad("request.bad_option", format!("sort is name, newest or faces, not {other:?}"))),
    }
}

/// The people of a gallery
#[utoipa::path(get, path = "/v1/people", tag = "people", operation_id = "list_people", params(("gallery" = inline(Option<Name>), Query), Which),
    responses((status = 200, body = PeopleList)))]
pub(super) async fn list(
    State(service): State<Arc<Service>>,
    may: May<Read>,
    Options(which): Options<Which>,
) -> Result<Json<PeopleList>, Problem> {
    let limit = which.limit.unwrap_or(PAGE);
    if !(1..=LONGEST_PAGE).contains(&limit) {
        return Err(Problem::bad("request.bad_option", format!("limit must be 1 to {LONGEST_PAGE}")));
    }
    let after = which.after.as_deref().map(cursor).transpose()?;
    let (order, skip) = (order(which.sort.as_deref())?, which.skip);
    if skip > MOST_SKIPPED {
        return Err(Problem::bad("request.bad_option", format!("skip must be at most {MOST_SKIPPED}")));
    }
    if after.is_some() && (skip > 0 || order != PeopleOrder::Name) {
        return Err(Problem::bad("request.bad_option", "after goes on by name: say neither sort nor skip with it"));
    }
    let filter = PersonFilter { groups: which.group, labels: labels(&which.label)? };
    let q = which.q.filter(|q| !q.is_empty());
    let listing = service.with_searches(move |s| {
        let (database, gallery) = (s.database(), &may.gallery);
        let (people, more, total) = match &after {
            Some(after) => {
                let page = database.people_page(gallery, &filter, q.as_deref(), Some(after), limit)?;
                (page.people, page.more, None)
            }
            None => {
                let slice = database.people_slice(gallery, &filter, q.as_deref(), order, (skip, limit))?;
                let more = order == PeopleOrder::Name && skip.saturating_add(slice.people.len()) < slice.total;
                (slice.people, more, Some(slice.total))
            }
        };
        let last = people.last().filter(|_| more);
        let next = last.map(|p| URL_SAFE_NO_PAD.encode(&p.name));
        let shown = people.into_iter().map(|p| PersonView::shown(database, gallery, p));
        Ok::<_, Problem>(PeopleList { people: shown.collect::<Result<_, _>>()?, next, total })
    });
    Ok(Json(listing.await?))
}

/// Somebody to enrol, before their first face.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::serve) struct NewPerson {
    /// Unique in the gallery.
    #[schema(value_type = Name)]
    name: String,
    #[serde(default)]
    #[schema(value_type = Vec<Name>)]
    groups: Vec<String>,
    #[serde(default)]
    #[schema(value_type = BTreeMap<Name, Name>)]
    labels: BTreeMap<String, String>,
}

/// Puts somebody into the gallery, before their first face; makes the gallery where there is none
#[utoipa::path(post, path = "/v1/people", tag = "people", operation_id = "add_person", params(("gallery" = inline(Option<Name>), Query)),
    request_body = NewPerson, responses((status = 201, body = PersonView)))]
pub(super) async fn add(
    State(service): State<Arc<Service>>,
    may: May<Enroll>,
    again: Again,
    Object(new, body): Object<NewPerson>,
) -> Result<Response, Problem> {
    let (caller, event) = (may.caller.id.clone(), may.event_about("add person", &new.name));
    let write = service.audited_write(
        event,
        move |s| {
            let (model, dimension) = (s.engine().model(), s.engine().dimension());
            let person =
                s.database().add_person(&may.gallery, &new.name, &new.groups, &new.labels, model, dimension)?;
            PersonView::shown(s.database(), &may.gallery, person)
        },
        |_, _| {},
    );
    service.once(&caller, again, body, StatusCode::CREATED, write).await
}

/// A person and their faces
#[utoipa::path(get, path = "/v1/people/{name}", tag = "people", operation_id = "show_person",
    params(("name" = inline(Name), Path), ("gallery" = inline(Option<Name>), Query)),
    responses((status = 200, body = PersonDetail)))]
pub(super) async fn show(
    State(service): State<Arc<Service>>,
    may: May<Read>,
    Path(name): Path<String>,
) -> Result<Json<PersonDetail>, Problem> {
    let detail = service.with_searches(move |s| {
        let (person, faces) = s.database().person(&may.gallery, &name)?;
        let faces = faces.into_iter().map(|f| FaceView::new(&may.gallery, f)).collect();
        Ok::<_, Problem>(PersonDetail { person: PersonView::shown(s.database(), &may.gallery, person)?, faces })
    });
    Ok(Json(detail.await?))
}

/// A change of a person.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::serve) struct Change {
    /// The new name.
    #[schema(value_type = Option<Name>)]
    name: Option<String>,
    /// Groups to join.
    #[serde(default)]
    #[schema(value_type = Vec<Name>)]
    join: Vec<String>,
    /// Groups to leave.
    #[serde(default)]
    leave: Vec<String>,
    /// Labels to set.
    #[serde(default)]
    #[schema(value_type = BTreeMap<Name, Name>)]
    set: BTreeMap<String, String>,
    /// Labels to take off.
    #[serde(default)]
    unset: Vec<String>,
}

/// Renames a person, or changes their groups and labels
#[utoipa::path(patch, path = "/v1/people/{name}", tag = "people", operation_id = "change_person",
    params(("name" = inline(Name), Path), ("gallery" = inline(Option<Name>), Query)),
    request_body = Change, responses((status = 200, body = PersonView)))]
pub(super) async fn change(
    State(service): State<Arc<Service>>,
    may: May<Enroll>,
    again: Again,
    Path(name): Path<String>,
    Object(change, body): Object<Change>,
) -> Result<Response, Problem> {
    let caller = may.caller.id.clone();
    let event = Event { evidence: json!({ "name": change.name }), ..may.event_about("change person", &name) };
    let write = service.audited_write(
        event,
        move |s| {
            let Change { name: to, join, leave, set, unset } = change;
            // Labels first: the name is then still the one that was asked for.
            let labelled = s.database().label(&may.gallery, &name, &PersonChange { join, leave, set, unset })?;
            let person = match to.filter(|to| *to != name) {
                Some(to) => s.database().rename(&may.gallery, &name, &to)?,
                None => labelled,
            };
            PersonView::shown(s.database(), &may.gallery, person)
        },
        |person, event| event.evidence = json!({ "name": person.name }),
    );
    service.once(&caller, again, body, StatusCode::OK, write).await
}

/// Who takes the faces over.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::serve) struct Merge {
    /// Who gets the faces, groups and labels.
    into: String,
    /// Make them one also where their nearest faces are too far apart for one person's.
    #[serde(default)]
    far_apart: bool,
}

/// Makes two people one: `name` is no more, and its faces are those of `into`
#[utoipa::path(post, path = "/v1/people/{name}/merge", tag = "people", operation_id = "merge_people",
    params(("name" = inline(Name), Path), ("gallery" = inline(Option<Name>), Query)),
    request_body = Merge, responses((status = 200, body = PersonView)))]
pub(super) async fn merge(
    State(service): State<Arc<Service>>,
    may: May<Enroll>,
    again: Again,
    Path(name): Path<String>,
    Object(Merge { into, far_apart }, body): Object<Merge>,
) -> Result<Response, Problem> {
    let caller = may.caller.id.clone();
    let event = Event { evidence: json!({ "into": into }), ..may.event_about("merge person", &name) };
    let write = service.audited_write(
        event,
        move |s| {
            if !far_apart {
                alike(s, &may.gallery, &name, &into)?;
            }
            let merged = s.database().merge(&may.gallery, &name, &into)?;
            PersonView::shown(s.database(), &may.gallery, merged)
        },
        |person, event| event.evidence = json!({ "into": person.name }),
    );
    service.once(&caller, again, body, StatusCode::OK, write).await
}

/// Refuses two people whose nearest faces are too far apart for one person's; unknown is far.
fn alike(service: &Service, gallery: &str, from: &str, into: &str) -> Result<(), Problem> {
    let Some(distance) = service.database().distance_between(gallery, from, into)? else { return Ok(()) };
    let threshold = service.engine().calibration().map_or(0.0, |c| c.farthest_apart(Calibration::MOST_APART));
    if distance <= threshold {
        return Ok(());
    }
    let (from, into) = (from.to_string(), into.to_string());
    Err(GalleryError::FarApart { from, into, distance, threshold }.into())
}

/// Which merge is taken back.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::serve) struct Part {
    /// Who was merged; the last one, when not said.
    taken: Option<String>,
    /// What they are called now; their own name, when not said.
    #[schema(value_type = Option<Name>)]
    called: Option<String>,
}

/// Two people who were one.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::serve) struct PartedView {
    /// Who has their faces again.
    person: PersonView,
    /// Who had them meanwhile.
    from: PersonView,
}

/// Takes a merge back: whoever was merged into `name` has their faces again
#[utoipa::path(post, path = "/v1/people/{name}/split", tag = "people", operation_id = "split_people",
    params(("name" = inline(Name), Path), ("gallery" = inline(Option<Name>), Query)),
    request_body = Part, responses((status = 200, body = PartedView)))]
pub(super) async fn split(
    State(service): State<Arc<Service>>,
    may: May<Enroll>,
    again: Again,
    Path(name): Path<String>,
    Object(Part { taken, called }, body): Object<Part>,
) -> Result<Response, Problem> {
    let caller = may.caller.id.clone();
    let evidence = json!({ "taken": taken, "called": called });
    let event = Event { evidence, ..may.event_about("split person", &name) };
    let write = service.audited_write(
        event,
        move |s| {
            let database = s.database();
            let parted = database.split(&may.gallery, &name, taken.as_deref(), called.as_deref())?;
            let shown = |person| PersonView::shown(database, &may.gallery, person);
            Ok(PartedView { person: shown(parted.person)?, from: shown(parted.from)? })
        },
        |parted, event| event.evidence = json!({ "person": parted.person.name }),
    );
    service.once(&caller, again, body, StatusCode::OK, write).await
}

/// Whether the store's files are rewritten too.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::serve) struct Scrub {
    /// Rewrite the store's files, so that nothing of the forgotten stands in them; true when not said.
    #[serde(default = "yes", deserialize_with = "flag")]
    pub scrub: bool,
}

fn yes() -> bool {
    true
}

/// What was forgotten.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::serve) struct Forgotten {
    name: String,
    /// How many faces went.
    faces: usize,
}

/// Forgets a person, with all their faces
#[utoipa::path(delete, path = "/v1/people/{name}", tag = "people", operation_id = "forget_person",
    params(("name" = inline(Name), Path), ("gallery" = inline(Option<Name>), Query), Scrub),
    responses((status = 200, body = Forgotten)))]
pub(super) async fn forget(
    State(service): State<Arc<Service>>,
    may: May<Enroll>,
    again: Again,
    Path(name): Path<String>,
    Options(Scrub { scrub }): Options<Scrub>,
) -> Result<Response, Problem> {
    let (caller, event) = (may.caller.id.clone(), may.event_about("forget person", &name));
    let write = service.audited_write(
        event,
        move |s| {
            let faces = s.database().forget(&may.gallery, &name, scrub)?;
            Ok(Forgotten { name, faces })
        },
        |gone, event| event.evidence = json!({ "faces": gone.faces }),
    );
    service.once(&caller, again, [0; 32], StatusCode::OK, write).await
}
