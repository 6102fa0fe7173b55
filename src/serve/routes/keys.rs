//! `/v1/keys`: keys made, listed and revoked by an admin, as `kith keys` does on the service's machine.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::json::json;
use crate::serve::audit::Event;
use crate::serve::auth::{Admin, ApiKey, Caller, Gate, Known, NewKey, Role};
use crate::serve::idempotency::Once;
use crate::serve::input::{Object, Path};
use crate::serve::pools::Pools;
use crate::serve::problem::Problem;
use crate::serve::state::Service;
use crate::serve::terms::Name;

/// A key, without what opens.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct KeyView {
    id: String,
    /// What it is for.
    name: String,
    roles: BTreeSet<Role>,
    /// The galleries that it reaches; null is all.
    galleries: Option<BTreeSet<String>>,
    /// When it was made: milliseconds since 1970.
    created_ms: u64,
    /// When it ends; null is never.
    expires_ms: Option<u64>,
    /// When it was revoked.
    revoked_ms: Option<u64>,
    /// Requests a second; null is the service's own bound.
    rate: Option<f64>,
    /// Requests at once; null is the service's own bound.
    #[schema(value_type = Option<u64>)]
    concurrent: Option<usize>,
    /// Whether it opens now.
    valid: bool,
}

impl From<ApiKey> for KeyView {
    fn from(key: ApiKey) -> Self {
        let valid = key.is_valid_at(crate::files::now_ms());
        let ApiKey { id, name, roles, galleries, created_ms, expires_ms, revoked_ms, rate, concurrent, .. } = key;
        Self { id, name, roles, galleries, created_ms, expires_ms, revoked_ms, rate, concurrent, valid }
    }
}

/// The keys of the service.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct KeyList {
    /// Revoked and expired ones too, the newest first.
    keys: Vec<KeyView>,
}

/// A key of one gallery must not make itself one of all.
fn reaches_all(caller: &Caller) -> Result<(), Problem> {
    if caller.galleries.is_none() {
        return Ok(());
    }
    let detail = "keys are of every gallery, and this key does not reach them all";
    Err(Problem::new(StatusCode::FORBIDDEN, "auth.gallery", detail))
}

/// The keys, without what opens
#[utoipa::path(get, path = "/v1/keys", tag = "service", operation_id = "list_keys",
    responses((status = 200, body = KeyList)))]
pub(super) async fn list(
    State(gate): State<Arc<Gate>>,
    State(pools): State<Arc<Pools>>,
    known: Known<Admin>,
) -> Result<Json<KeyList>, Problem> {
    reaches_all(&known.caller)?;
    let keys = pools.searches(move || gate.keys().file().list()).await?;
    Ok(Json(KeyList { keys: keys.into_iter().rev().map(Into::into).collect() }))
}

/// A key to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct WantedKey {
    /// What it is for.
    #[schema(value_type = Name)]
    name: String,
    /// What it may do.
    #[schema(value_type = Vec<Role>, min_items = 1)]
    roles: BTreeSet<Role>,
    /// The galleries that it reaches; all when not said.
    #[schema(value_type = Option<Vec<Name>>, min_items = 1)]
    galleries: Option<BTreeSet<String>>,
    /// Days until it ends, above 0 and at most 36500; never when not said.
    #[schema(minimum = 0.001, maximum = 36500)]
    days: Option<f64>,
    /// Requests a second, 0.001 to 1000000; the service's own bound when not said.
    #[schema(minimum = 0.001, maximum = 1000000)]
    rate: Option<f64>,
    /// Requests at once, 1 to 65536; the service's own bound when not said.
    #[schema(value_type = Option<u64>, minimum = 1, maximum = 65536)]
    concurrent: Option<usize>,
}

/// A key that was made.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct MadeKey {
    /// What opens. It is answered this once and kept nowhere.
    secret: String,
    key: KeyView,
}

/// Makes a key. What opens is in the answer, and nowhere afterwards
#[utoipa::path(post, path = "/v1/keys", tag = "service", operation_id = "make_key", request_body = WantedKey,
    responses((status = 201, body = MadeKey)))]
pub(super) async fn make(
    State(service): State<Arc<Service>>,
    known: Known<Admin>,
    _: Once,
    Object(wanted, _): Object<WantedKey>,
) -> Result<(StatusCode, Json<MadeKey>), Problem> {
    reaches_all(&known.caller)?;
    let WantedKey { name, roles, galleries, days, rate, concurrent } = wanted;
    if service.gate().keys().keyless() && !roles.contains(&Role::Admin) {
        let detail = "the first key must have the role admin: after it nobody without a key may make another";
        return Err(Problem::bad("request.first_key", detail));
    }
    let expires_ms = days.map(NewKey::ends_after).transpose()?;
    let new = NewKey { name, roles, galleries, expires_ms, rate, concurrent };
    let event = Event { evidence: json!({ "name": new.name, "roles": new.roles }), ..known.caller.event("make key") };
    let work = move |s: &Service| -> Result<MadeKey, Problem> {
        let (key, secret) = s.gate().keys().file().add(new)?;
        Ok(MadeKey { secret: secret.to_string(), key: key.into() })
    };
    let told = |made: &MadeKey, e: &mut Event| {
        e.evidence = json!({ "id": made.key.id, "name": made.key.name, "roles": made.key.roles });
    };
    let made = service.in_time(service.audited_write(event, work, told)).await?;
    Ok((StatusCode::CREATED, Json(made)))
}

/// Revokes a key, from the next request on
#[utoipa::path(delete, path = "/v1/keys/{id}", tag = "service", operation_id = "revoke_key",
    params(("id" = String, Path)), responses((status = 200, body = KeyView)))]
pub(super) async fn revoke(
    State(service): State<Arc<Service>>,
    known: Known<Admin>,
    Path(id): Path<String>,
) -> Result<Json<KeyView>, Problem> {
    reaches_all(&known.caller)?;
    let event = Event { evidence: json!({ "id": id }), ..known.caller.event("end key") };
    let work = move |s: &Service| -> Result<KeyView, Problem> { Ok(s.gate().keys().file().revoke(&id)?.into()) };
    let told = |key: &KeyView, e: &mut Event| e.evidence = json!({ "id": key.id, "name": key.name });
    Ok(Json(service.in_time(service.audited_write(event, work, told)).await?))
}
