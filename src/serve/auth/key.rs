//! What a key is: `kith_ID_SECRET`, an id of 8 hex digits that logs may show, and 256 random bits as 64 hex
//! digits, shown once. What is kept of it is the SHA-256 of the secret. A slow hash would add nothing: 256
//! random bits cannot be guessed from their digest.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::super::files::hex;

/// What every key starts with, so that leaked ones can be searched for.
pub(super) const PREFIX: &str = "kith_";

/// What a key may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
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
