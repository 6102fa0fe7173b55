//! Sessions of the page: a cookie that stands for a key, and a token that only the page's own scripts know.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::http::{HeaderMap, HeaderValue, header};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::super::bounded_map::{BoundedMap, Bounds, Kept};
use super::super::problem::Problem;
use super::super::random::random_hex;

/// The header in which the page sends its token.
pub(in super::super) const CSRF_HEADER: &str = "x-csrf-token";
const COOKIE: &str = "kith_session";
/// A session that is not used for this long is over.
const IDLE: Duration = Duration::from_secs(2 * 3600);
/// No session lasts longer.
const LIFE: Duration = Duration::from_secs(12 * 3600);
/// More than these are not kept; the one that was used longest ago goes.
const MOST: usize = 4096;

/// A session.
#[derive(Debug, Clone)]
pub(in super::super) struct Session {
    /// Id of the key that it was opened with.
    pub key: String,
    /// What the page sends with whatever is not a mere look.
    pub csrf: String,
    begun: Instant,
    used: Instant,
}

/// By the digest of the cookie, so that the cookie itself is nowhere in memory.
#[derive(Debug)]
pub(in super::super) struct Sessions {
    open: Mutex<BoundedMap<[u8; 32], Session>>,
}

impl Default for Sessions {
    fn default() -> Self {
        Self { open: Mutex::new(BoundedMap::new(Bounds { entries: MOST, weight: usize::MAX, spare: 0 })) }
    }
}

impl Kept for Session {
    type Time = Instant;
    type Order = Instant;

    fn is_over(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.used) > IDLE || now.saturating_duration_since(self.begun) > LIFE
    }

    fn order(&self, _: Instant) -> Option<Instant> {
        Some(self.used)
    }
}

fn digest(cookie: &str) -> [u8; 32] {
    Sha256::digest(cookie.as_bytes()).into()
}

impl Session {
    /// Whether the token is this session's.
    pub(in super::super) fn knows(&self, token: &str) -> bool {
        self.csrf.as_bytes().ct_eq(token.as_bytes()).into()
    }
}

impl Sessions {
    /// Opens a session: the cookie, and what is known of it.
    pub(in super::super) fn open(&self, key: &str, now: Instant) -> Result<(String, Session), Problem> {
        let (cookie, csrf) = (random_hex::<32>()?, random_hex::<32>()?);
        let session = Session { key: key.to_string(), csrf, begun: now, used: now };
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.make_room(now);
        open.put(digest(&cookie), session.clone());
        Ok((cookie, session))
    }

    /// The session of a cookie, which is used by asking.
    pub(in super::super) fn of(&self, cookie: &str, now: Instant) -> Option<Session> {
        let digest = digest(cookie);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let session = open.get_mut(&digest)?;
        if session.is_over(now) {
            open.remove(&digest);
            return None;
        }
        session.used = now;
        Some(session.clone())
    }

    /// Ends a session.
    pub(in super::super) fn close(&self, cookie: &str) {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).remove(&digest(cookie));
    }
}

/// The session's cookie among the request's.
pub(in super::super) fn cookie_of(headers: &HeaderMap) -> Option<String> {
    headers.get_all(header::COOKIE).iter().filter_map(|v| v.to_str().ok()).flat_map(|v| v.split(';')).find_map(|c| {
        let (name, value) = c.trim().split_once('=')?;
        (name == COOKIE).then(|| value.to_string())
    })
}

/// The header that gives a browser the cookie: to no script, and in no request from elsewhere.
pub(in super::super) fn set_cookie(cookie: &str, tls: bool) -> Option<HeaderValue> {
    let secure = if tls { "; Secure" } else { "" };
    let text = format!("{COOKIE}={cookie}; Path=/; HttpOnly; SameSite=Strict; Max-Age={}{secure}", LIFE.as_secs());
    HeaderValue::from_str(&text).ok()
}

/// The header that takes it away again.
pub(in super::super) fn clear_cookie(tls: bool) -> HeaderValue {
    HeaderValue::from_static(match tls {
        true => "kith_session=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0; Secure",
        false => "kith_session=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_ends_when_closed_unused_or_old() {
        let (sessions, start) = (Sessions::default(), Instant::now());
        let (cookie, session) = sessions.open("key", start).unwrap();
        assert!(session.knows(&session.csrf) && !session.knows("") && !session.knows(&cookie));
        assert!(sessions.of("another", start).is_none());
        let mut at = start;
        // Used every hour it lives, until it is too old.
        while at.duration_since(start) < LIFE {
            assert_eq!(sessions.of(&cookie, at).unwrap().key, "key");
            at += Duration::from_secs(3600);
        }
        assert!(sessions.of(&cookie, at + Duration::from_secs(1)).is_none());
        let (cookie, _) = sessions.open("key", start).unwrap();
        assert!(sessions.of(&cookie, start + IDLE + Duration::from_secs(1)).is_none());
        let (cookie, _) = sessions.open("key", start).unwrap();
        sessions.close(&cookie);
        assert!(sessions.of(&cookie, start).is_none());
    }

    #[test]
    fn sessions_are_bounded_and_the_oldest_goes() {
        let (sessions, start) = (Sessions::default(), Instant::now());
        let (first, _) = sessions.open("first", start).unwrap();
        for i in 1..=MOST as u64 {
            sessions.open("more", start + Duration::from_millis(i)).unwrap();
        }
        assert!(sessions.of(&first, start).is_none());
        assert_eq!(sessions.open.lock().unwrap().len(), MOST);
    }

    #[test]
    fn the_cookie_is_found_among_others() {
        let mut headers = HeaderMap::new();
        headers.append(header::COOKIE, HeaderValue::from_static("a=b; kith_session=abc; c=d"));
        assert_eq!(cookie_of(&headers).as_deref(), Some("abc"));
        headers.clear();
        headers.append(header::COOKIE, HeaderValue::from_static("xkith_session=abc"));
        assert_eq!(cookie_of(&headers), None);
        let set = set_cookie("abc", true).unwrap();
        assert_eq!(set.to_str().unwrap().matches("HttpOnly; SameSite=Strict").count(), 1);
        assert!(set.to_str().unwrap().ends_with("; Secure"));
    }
}
