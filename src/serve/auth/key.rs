//! What a key is: `kith_ID_SECRET`, an id of 8 hex digits that logs may show, and 256 random bits as 64 hex
//! digits, shown once. What is kept of it is the SHA-256 of the secret. A slow hash would add nothing: 256
//! random bits cannot be guessed from their digest.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::Database;
use crate::error::ServeError;
use crate::files::{hex, now_ms};

/// Milliseconds that a key may live, at most: a hundred years.
const LONGEST_LIFE: u64 = 100 * 365 * 86_400_000;
/// Requests a second that a key may be bound to: from one in a thousand seconds on.
const RATES: std::ops::RangeInclusive<f64> = 1e-3..=1e6;
/// Requests at once that a key may be bound to.
const CONCURRENT: std::ops::RangeInclusive<usize> = 1..=65_536;

/// What every key starts with, so that leaked ones can be searched for.
pub(super) const PREFIX: &str = "kith_";

/// What a key may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Role {
    /// Everything.
    Admin,
    /// Enrol, rename, merge, label and forget.
    Enroll,
    /// Identify, verify, compare, detect, embed, search.
    Identify,
    /// Ask for access decisions.
    Decide,
    /// List and look at people, galleries, calibration and statistics.
    Read,
}

impl Role {
    /// Every role, by its name.
    pub const NAMES: [(&str, Role); 5] = [
        ("admin", Role::Admin),
        ("enroll", Role::Enroll),
        ("identify", Role::Identify),
        ("decide", Role::Decide),
        ("read", Role::Read),
    ];

    /// The role's name.
    pub fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(_, r)| *r == self).map_or("", |(name, _)| name)
    }
}

/// A key as it is kept: everything but the key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApiKey {
    /// The part of the key that is no secret.
    pub id: String,
    /// What it is for.
    pub name: String,
    /// SHA-256 of the secret part, in hex digits.
    pub(super) sha256: String,
    /// What it may do.
    pub roles: BTreeSet<Role>,
    /// The galleries that it may do it in; all, when not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub galleries: Option<BTreeSet<String>>,
    /// When it was made: milliseconds since 1970.
    pub created_ms: u64,
    /// When it ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_ms: Option<u64>,
    /// When it was revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_ms: Option<u64>,
    /// Requests a second, in place of the service's bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<f64>,
    /// Requests at once, in place of the service's bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrent: Option<usize>,
}

impl ApiKey {
    /// Everything but the secret, for the audit log; `fingerprint` changes when the secret does.
    pub(in super::super) fn facts(&self) -> serde_json::Value {
        crate::json::json!({
            "id": self.id, "name": self.name, "roles": self.roles, "galleries": self.galleries,
            "created_ms": self.created_ms, "expires_ms": self.expires_ms, "revoked_ms": self.revoked_ms,
            "rate": self.rate, "concurrent": self.concurrent,
            "fingerprint": hex(&Sha256::digest(self.sha256.as_bytes())[..6]),
        })
    }

    /// Whether it opens anything at that time.
    pub fn is_valid_at(&self, ms: u64) -> bool {
        self.revoked_ms.is_none() && self.expires_ms.is_none_or(|end| ms < end)
    }
}

/// A key to make.
#[derive(Debug, Clone, Default)]
pub struct NewKey {
    /// What it is for.
    pub name: String,
    /// What it may do.
    pub roles: BTreeSet<Role>,
    /// The galleries that it may do it in; all, when not said.
    pub galleries: Option<BTreeSet<String>>,
    /// When it ends: milliseconds since 1970.
    pub expires_ms: Option<u64>,
    /// Requests a second, in place of the service's bound.
    pub rate: Option<f64>,
    /// Requests at once, in place of the service's bound.
    pub concurrent: Option<usize>,
}

impl NewKey {
    /// When a key ends that is made now and lives so many days: above 0 and at most 36500, a hundred years.
    ///
    /// # Errors
    /// [`ServeError::BadOption`] for any other number of days.
    pub fn ends_after(days: f64) -> Result<u64, ServeError> {
        let ms = days * 86_400_000.0;
        if !(ms >= 1.0 && ms <= LONGEST_LIFE as f64) {
            return Err(bad("days", days.to_string(), "above 0, and at most 36500 (a hundred years)".to_string()));
        }
        // Within the bounds above the conversion loses less than a millisecond.
        Ok(now_ms() + ms as u64)
    }

    /// Whether the key could do what it is made for.
    ///
    /// # Errors
    /// [`ServeError::BadOption`] that names what is out of range.
    pub(in super::super) fn check(&self) -> Result<(), ServeError> {
        if self.roles.is_empty() {
            return Err(bad("role", "not said".to_string(), "a key needs at least one role".to_string()));
        }
        if self.galleries.as_ref().is_some_and(BTreeSet::is_empty) {
            return Err(bad("only", "no gallery".to_string(), "at least one, or not said for all".to_string()));
        }
        // As people's names are: nothing that is not seen, or that turns the text beside it.
        let no_name = |text: &str| !Database::is_name(text);
        let galleries = self.galleries.iter().flatten().map(|gallery| ("only", gallery));
        for (option, name) in std::iter::once(("name", &self.name)).chain(galleries) {
            if no_name(name) {
                let expected =
                    "1 to 200 bytes, without characters that cannot be seen or that turn the direction of text";
                return Err(bad(option, format!("{name:?}"), expected.to_string()));
            }
        }
        if let Some(rate) = self.rate.filter(|r| !RATES.contains(r)) {
            let expected = format!("requests a second, {} to {}", RATES.start(), RATES.end());
            return Err(bad("rate", rate.to_string(), expected));
        }
        if let Some(concurrent) = self.concurrent.filter(|c| !CONCURRENT.contains(c)) {
            let expected = format!("requests at once, {} to {}", CONCURRENT.start(), CONCURRENT.end());
            return Err(bad("concurrent", concurrent.to_string(), expected));
        }
        let now = now_ms();
        if let Some(end) = self.expires_ms.filter(|end| *end <= now || end - now > LONGEST_LIFE + 1) {
            let expected = "milliseconds since 1970, after now and within a hundred years".to_string();
            return Err(bad("expires_ms", end.to_string(), expected));
        }
        Ok(())
    }
}

fn bad(option: &str, received: String, expected: String) -> ServeError {
    ServeError::BadOption { option: option.to_string(), received, expected }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_life_that_is_no_time_or_overflows_is_refused() {
        for days in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e-300, 36_501.0, 1e20, 1e300] {
            assert_eq!(NewKey::ends_after(days).unwrap_err().code(), "serve.bad_option", "{days}");
        }
        for days in [1e-3, 1.0, 36_500.0] {
            let roles = [Role::Read].into();
            let end = NewKey::ends_after(days).unwrap();
            assert!(end > now_ms() && end - now_ms() <= (days * 86_400_000.0) as u64);
            assert!(NewKey { name: "a".into(), roles, expires_ms: Some(end), ..NewKey::default() }.check().is_ok());
        }
    }
}
