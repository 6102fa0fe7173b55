//! The caller of a request, and the extractors by which a handler says what it needs.
//!
//! A handler that takes [`May`] gets its gallery from there and nowhere else, so that none can forget to
//! ask whether the key reaches it.

use std::collections::BTreeSet;
use std::marker::PhantomData;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use axum::extract::{ConnectInfo, FromRef, FromRequestParts};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode, header};

use super::super::audit::Event;
use super::super::context::came_with;
use super::super::input::gallery_of;
use super::super::problem::Problem;
use super::super::rank::{Asker, Rank};
use super::gate::Gate;
use super::key::{ApiKey, Role};
use super::known_keys::Standing;
use super::rate::Permit;
use super::session::{CSRF_HEADER, Session, cookie_of};
use crate::DEFAULT_GALLERY;

/// What a service without keys calls its callers.
const LOCAL: &str = "local";

/// Who is asking.
#[derive(Debug, Clone)]
pub(in super::super) struct Caller {
    /// The key's id, or `local` where there are no keys.
    pub id: String,
    /// What the key is for.
    pub name: String,
    pub roles: BTreeSet<Role>,
    pub galleries: Option<BTreeSet<String>>,
    /// The session, where the caller came with a cookie.
    pub session: Option<Session>,
    rate: Option<f64>,
    concurrent: Option<usize>,
}

impl Caller {
    pub(in super::super) fn of(key: ApiKey, session: Option<Session>) -> Self {
        let ApiKey { id, name, roles, galleries, rate, concurrent, .. } = key;
        Self { id, name, roles, galleries, session, rate, concurrent }
    }

    pub(in super::super) fn local() -> Self {
        Self {
            id: LOCAL.to_string(),
            name: "whoever reaches the service: there are no keys".to_string(),
            roles: [Role::Admin].into(),
            galleries: None,
            session: None,
            rate: None,
            concurrent: None,
        }
    }

    pub(in super::super) fn may(&self, role: Role) -> bool {
        self.roles.contains(&Role::Admin) || self.roles.contains(&role)
    }

    pub(in super::super) fn reaches(&self, gallery: &str) -> bool {
        self.galleries.as_ref().is_none_or(|g| g.contains(gallery))
    }

    pub(in super::super) fn need(&self, role: Role) -> Result<(), Problem> {
        if self.may(role) {
            return Ok(());
        }
        let detail = format!("this key lacks the role {}", role.name());
        Err(Problem::new(StatusCode::FORBIDDEN, "auth.role", detail).with("role", role.name()))
    }

    pub(in super::super) fn need_gallery(&self, gallery: &str) -> Result<(), Problem> {
        if self.reaches(gallery) {
            return Ok(());
        }
        let detail = format!("this key does not reach gallery {gallery:?}");
        Err(Problem::new(StatusCode::FORBIDDEN, "auth.gallery", detail))
    }

    /// Something that this caller did, for the audit log.
    pub(in super::super) fn event(&self, action: &'static str) -> Event {
        Event::new(&self.id, &self.name, action)
    }

    /// A place among the requests of this key.
    pub(in super::super) fn place(&self, gate: &Gate, rank: Rank) -> Result<Permit, Problem> {
        gate.place(&self.id, rank, self.rate, self.concurrent)
    }
}

/// The key in the headers: `Authorization: Bearer KEY`, or `x-api-key: KEY`.
fn presented(headers: &HeaderMap) -> Option<&str> {
    let bearer = headers.get(header::AUTHORIZATION).and_then(|v| v.to_str().ok());
    let bearer = bearer.and_then(|v| {
        let (scheme, key) = v.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
    });
    bearer.or_else(|| headers.get("x-api-key").and_then(|v| v.to_str().ok()).map(str::trim))
}

/// The caller with that key.
fn caller_with(gate: &Gate, key: &str, headers: &HeaderMap) -> Result<Caller, Problem> {
    match gate.keys().check(key) {
        Standing::Valid(key) => Ok(Caller::of(key, None)),
        Standing::Refused(_) if gate.keys().keyless() => from_here(gate, headers),
        Standing::Refused(known) => {
            if let Some(key) = known {
                came_with(&key.id, &key.name);
            }
            let detail = "this key is unknown, expired or revoked";
            Err(Problem::new(StatusCode::UNAUTHORIZED, "auth.wrong_key", detail))
        }
        Standing::Unreadable => {
            let detail = "the keys cannot be read, so nobody is let in; the log says why";
            Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "auth.keys_unreadable", detail))
        }
    }
}

/// Who sent these headers.
///
/// # Errors
/// 401 for no key, a wrong one, or one that is no longer valid; 403 for a cookie without its token, or a
/// page of another origin; 503 when the keys cannot be read.
pub(in super::super) fn caller_of(gate: &Gate, method: &Method, headers: &HeaderMap) -> Result<Caller, Problem> {
    let unauthorized = |code, detail| Err(Problem::new(StatusCode::UNAUTHORIZED, code, detail));
    let caller = if let Some(key) = presented(headers) {
        caller_with(gate, key, headers)?
    } else if let Some(cookie) = cookie_of(headers)
        && let Some(session) = gate.sessions().of(&cookie, Instant::now())
    {
        let Some(key) = gate.keys().valid(&session.key) else {
            came_with(&session.key, "");
            gate.sessions().close(&cookie);
            return unauthorized("auth.wrong_key", "the key of this session is no longer valid; log in again");
        };
        let token = headers.get(CSRF_HEADER).and_then(|v| v.to_str().ok()).unwrap_or_default();
        if !matches!(*method, Method::GET | Method::HEAD) && !session.knows(token) {
            came_with(&key.id, &key.name);
            let detail = format!("a request with the session's cookie needs its token in {CSRF_HEADER}");
            return Err(Problem::new(StatusCode::FORBIDDEN, "auth.csrf", detail));
        }
        Caller::of(key, Some(session))
    } else if gate.keys().keyless() {
        from_here(gate, headers)?
    } else {
        return unauthorized("auth.no_key", "send a key as Authorization: Bearer KEY, or as x-api-key: KEY");
    };
    came_with(&caller.id, &caller.name);
    Ok(caller)
}

/// A caller without a key, where there are none. A browser on this machine would let any page that it
/// shows ask too: one of another origin is refused, and so is a name that was made to lead here.
fn from_here(gate: &Gate, headers: &HeaderMap) -> Result<Caller, Problem> {
    let text = |name| headers.get(name).and_then(|v| v.to_str().ok());
    let refused = |detail: &str| Err(Problem::new(StatusCode::FORBIDDEN, "auth.origin", detail));
    let host = text(header::HOST).unwrap_or_default();
    if gate.is_local() && !host.is_empty() && !names_this_machine(host) {
        return refused("there are no keys, so only requests to localhost are answered");
    }
    let own = |origin: &str| origin.split_once("://").is_some_and(|(_, authority)| authority == host);
    if text(header::ORIGIN).is_some_and(|origin| !own(origin)) {
        return refused("there are no keys, so pages of other origins are not answered");
    }
    if matches!(text(header::HeaderName::from_static("sec-fetch-site")), Some("cross-site" | "same-site")) {
        return refused("there are no keys, so pages of other origins are not answered");
    }
    Ok(Caller::local())
}

fn names_this_machine(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// A role as a type, for [`May`] and [`Known`].
pub(in super::super) trait Needs: Send {
    const ROLE: Role;
}

macro_rules! roles {
    ($($name:ident),*) => {
        $(
            #[derive(Debug)]
            pub(in super::super) struct $name;
            impl Needs for $name {
                const ROLE: Role = Role::$name;
            }
        )*
    };
}
roles!(Admin, Enroll, Identify, Decide, Read);

/// A caller with the role, who reaches the gallery that the query names.
#[derive(Debug)]
pub(in super::super) struct May<R> {
    pub caller: Caller,
    pub gallery: String,
    _place: Permit,
    _role: PhantomData<R>,
}

impl<R> May<R> {
    /// Something that the caller did in the gallery, for the audit log.
    pub(in super::super) fn event(&self, action: &'static str) -> Event {
        Event { gallery: Some(self.gallery.clone()), ..self.caller.event(action) }
    }

    /// [`May::event`] about somebody.
    pub(in super::super) fn event_about(&self, action: &'static str, person: &str) -> Event {
        Event { person: Some(person.to_string()), ..self.event(action) }
    }
}

impl<R: Needs, S> FromRequestParts<S> for May<R>
where
    S: Send + Sync,
    Arc<Gate>: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Known { caller, place, .. } = Known::<R>::from_request_parts(parts, state).await?;
        let gallery = gallery_of(parts.uri.query().unwrap_or_default())?;
        caller.need_gallery(&gallery)?;
        Ok(Self { caller, gallery, _place: place, _role: PhantomData })
    }
}

/// A caller with the role, for what is of no gallery.
#[derive(Debug)]
pub(in super::super) struct Known<R> {
    pub caller: Caller,
    place: Permit,
    _role: PhantomData<R>,
}

impl<R: Needs, S> FromRequestParts<S> for Known<R>
where
    S: Send + Sync,
    Arc<Gate>: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let gate = Arc::<Gate>::from_ref(state);
        gate.keys_noted().await?;
        let known = Self::of(&gate, caller_of(&gate, &parts.method, &parts.headers)?)?;
        if let Some(ConnectInfo(peer)) = parts.extensions.get::<ConnectInfo<SocketAddr>>() {
            gate.connections().known(*peer, Self::RANK);
        }
        parts.extensions.insert(Asker { rank: Self::RANK, key: known.caller.id.clone() });
        Ok(known)
    }
}

impl<R: Needs> Known<R> {
    /// Only calls for access decisions need that role.
    const RANK: Rank = if matches!(R::ROLE, Role::Decide) { Rank::Door } else { Rank::Keyed };

    fn of(gate: &Gate, caller: Caller) -> Result<Self, Problem> {
        caller.need(R::ROLE)?;
        let place = caller.place(gate, Self::RANK)?;
        Ok(Self { caller, place, _role: PhantomData })
    }

    /// The caller whose key is in the path: an `<img>` sends no header.
    pub(in super::super) async fn by_key(gate: &Gate, key: &str, headers: &HeaderMap) -> Result<Self, Problem> {
        gate.keys_noted().await?;
        let caller = caller_with(gate, key, headers)?;
        came_with(&caller.id, &caller.name);
        Self::of(gate, caller)
    }

    /// The caller in the gallery that the key is for: its only one, else the default one.
    pub(in super::super) fn at_home(self) -> Result<May<R>, Problem> {
        let Known { caller, place, .. } = self;
        let only = caller.galleries.as_ref().filter(|g| g.len() == 1).and_then(|g| g.first());
        let gallery = only.map_or(DEFAULT_GALLERY, String::as_str).to_string();
        caller.need_gallery(&gallery)?;
        Ok(May { caller, gallery, _place: place, _role: PhantomData })
    }
}

/// A caller with the role whose key is for every gallery, for what is of none and shows people of all.
#[derive(Debug)]
pub(in super::super) struct Everywhere<R> {
    pub caller: Caller,
    /// The gallery that the query names.
    pub gallery: String,
    _place: Permit,
    _role: PhantomData<R>,
}

impl<R> Everywhere<R> {
    /// Something that the caller did, for the audit log.
    pub(in super::super) fn event(&self, action: &'static str) -> Event {
        self.caller.event(action)
    }
}

impl<R: Needs, S> FromRequestParts<S> for Everywhere<R>
where
    S: Send + Sync,
    Arc<Gate>: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Known { caller, place, .. } = Known::<R>::from_request_parts(parts, state).await?;
        if caller.galleries.is_some() {
            let detail = "the photo library is of no gallery: a key for some galleries does not reach it";
            return Err(Problem::new(StatusCode::FORBIDDEN, "auth.gallery", detail));
        }
        let gallery = gallery_of(parts.uri.query().unwrap_or_default())?;
        Ok(Self { caller, gallery, _place: place, _role: PhantomData })
    }
}

/// [`May`] for calls that name no gallery: see [`Known::at_home`].
#[derive(Debug)]
pub(in super::super) struct AtHome<R>(pub May<R>);

impl<R: Needs, S> FromRequestParts<S> for AtHome<R>
where
    S: Send + Sync,
    Arc<Gate>: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        Known::<R>::from_request_parts(parts, state).await?.at_home().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_this_machine_lead_here() {
        for own in ["localhost", "localhost:8321", "127.0.0.1:1", "127.8.0.1", "[::1]:8321", "LOCALHOST"] {
            assert!(names_this_machine(own), "{own}");
        }
        for other in ["example.org", "localhost.example.org:80", "192.168.0.1:8321", "[2001:db8::1]", "", "[::1"] {
            assert_eq!(names_this_machine(other), other == "[::1", "{other}");
        }
    }
}
