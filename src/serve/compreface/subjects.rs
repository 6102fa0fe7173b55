//! `/api/v1/recognition/subjects`: who is enrolled.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;

use super::super::audit::Event;
use super::super::auth::{AtHome, Enroll, Read};
use super::super::input::{Object, Path};
use super::super::problem::Problem;
use super::super::state::Service;
use super::super::terms::Name;
use super::alike::or_none_yet;
use super::views::{Deleted, Subject, Subjects, Updated};
use crate::error::{Error, GalleryError};
use crate::json::json;
use crate::{Database, PersonFilter};

/// Everybody in the collection
#[utoipa::path(get, path = "/api/v1/recognition/subjects", tag = "compreface", operation_id = "compreface_list_subjects",
    responses((status = 200, body = Subjects)))]
pub(super) async fn list(
    State(service): State<Arc<Service>>,
    AtHome(may): AtHome<Read>,
) -> Result<Json<Subjects>, Problem> {
    let subjects = service.with_searches(move |s| names(s.database(), &may.gallery)).await?;
    Ok(Json(Subjects { subjects }))
}

/// Everybody in the collection; some clients end the path so
#[utoipa::path(get, path = "/api/v1/recognition/subjects/", tag = "compreface", operation_id = "compreface_list_subjects_at_slash",
    responses((status = 200, body = Subjects)))]
pub(super) async fn list_at_slash(state: State<Arc<Service>>, home: AtHome<Read>) -> Result<Json<Subjects>, Problem> {
    list(state, home).await
}

fn names(database: &Database, gallery: &str) -> Result<Vec<String>, Problem> {
    let people = or_none_yet(database.people(gallery, &PersonFilter::default()))?;
    Ok(people.into_iter().map(|p| p.name).collect())
}

/// Puts somebody into the collection, before their first face
#[utoipa::path(post, path = "/api/v1/recognition/subjects", tag = "compreface", operation_id = "compreface_add_subject", request_body = Subject,
    responses((status = 201, body = Subject)))]
pub(super) async fn add(
    State(service): State<Arc<Service>>,
    AtHome(may): AtHome<Enroll>,
    Object(Subject { subject }, _): Object<Subject>,
) -> Result<(StatusCode, Json<Subject>), Problem> {
    let event = may.event_about("add person", &subject);
    let work = move |s: &Service| {
        let (model, dimension) = (s.engine().model(), s.engine().dimension());
        let person = s.database().add_person(&may.gallery, &subject, &[], &BTreeMap::new(), model, dimension)?;
        Ok(Subject { subject: person.name })
    };
    Ok((StatusCode::CREATED, Json(service.in_time(service.audited_write(event, work, |_, _| {})).await?)))
}

/// Gives somebody another name; where another subject has it, the two become one
#[utoipa::path(put, path = "/api/v1/recognition/subjects/{subject}", tag = "compreface", operation_id = "compreface_rename_subject",
    params(("subject" = inline(Name), Path, description = "The name now")), request_body = Subject,
    responses((status = 200, body = Updated)))]
pub(super) async fn rename(
    State(service): State<Arc<Service>>,
    AtHome(may): AtHome<Enroll>,
    Path(name): Path<String>,
    Object(Subject { subject: to }, _): Object<Subject>,
) -> Result<Json<Updated>, Problem> {
    let event = Event { evidence: json!({ "name": to }), ..may.event_about("change person", &name) };
    let target = to.clone();
    let work = move |s: &Service| match s.database().rename(&may.gallery, &name, &to) {
        Err(Error::Gallery(GalleryError::NameTaken { .. })) => {
            s.database().merge(&may.gallery, &name, &to)?;
            Ok(true)
        }
        renamed => Ok(renamed.map(|_| false)?),
    };
    let told = move |merged: &bool, event: &mut Event| event.evidence = json!({ "name": target, "merged": merged });
    service.in_time(service.audited_write(event, work, told)).await?;
    Ok(Json(Updated { updated: true }))
}

/// Forgets somebody, with all their faces
#[utoipa::path(delete, path = "/api/v1/recognition/subjects/{subject}", tag = "compreface", operation_id = "compreface_delete_subject",
    params(("subject" = inline(Name), Path, description = "The name")), responses((status = 200, body = Subject)))]
pub(super) async fn delete(
    State(service): State<Arc<Service>>,
    AtHome(may): AtHome<Enroll>,
    Path(name): Path<String>,
) -> Result<Json<Subject>, Problem> {
    let event = may.event_about("forget person", &name);
    let subject = name.clone();
    let work = move |s: &Service| Ok(s.database().forget(&may.gallery, &name, true)?);
    let told = |faces: &usize, event: &mut Event| event.evidence = json!({ "faces": faces });
    service.in_time(service.audited_write(event, work, told)).await?;
    Ok(Json(Subject { subject }))
}

/// Forgets everybody
#[utoipa::path(delete, path = "/api/v1/recognition/subjects", tag = "compreface", operation_id = "compreface_delete_subjects",
    responses((status = 200, body = Deleted)))]
pub(super) async fn delete_all(
    State(service): State<Arc<Service>>,
    AtHome(may): AtHome<Enroll>,
) -> Result<Json<Deleted>, Problem> {
    let event = may.event("forget everybody");
    let work = move |s: &Service| {
        let names = names(s.database(), &may.gallery)?;
        for (i, name) in names.iter().enumerate() {
            // The store's files are rewritten once, when the last of them is gone.
            s.database().forget(&may.gallery, name, i + 1 == names.len())?;
        }
        Ok(names)
    };
    let told = |names: &Vec<String>, event: &mut Event| event.evidence = json!({ "people": names });
    let names = service.in_time(service.audited_write(event, work, told)).await?;
    Ok(Json(Deleted { deleted: names.len() }))
}
