//! Errors of the service's start, and of what it keeps beside the database: keys, audit log, policies.

/// Why the service could not start, or its keys or audit log could not be used.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The file system or the network refused.
    #[error("{place}: {doing}: {reason}")]
    Io {
        /// The file, folder or address.
        place: String,
        /// What was being done.
        doing: &'static str,
        /// What the operating system said.
        reason: String,
    },
    /// A file beside the database is not what it should be.
    #[error("{path}: {what}")]
    Malformed {
        /// The file.
        path: String,
        /// What is wrong with it, and what to do.
        what: String,
    },
    /// Others could reach the service, and it would not know who they are or could be listened to.
    #[error("refusing to listen on {listen}, which others can reach: {missing}; or say --insecure")]
    Exposed {
        /// The address.
        listen: String,
        /// What is missing, and how to get it.
        missing: String,
    },
    /// A value of the configuration is out of range.
    #[error("{option} is {received}: {expected}")]
    BadOption {
        /// Its name.
        option: String,
        /// What was given.
        received: String,
        /// What is accepted.
        expected: String,
    },
    /// A policy asks for what this program cannot do.
    #[error("{path}: policy {policy:?} cannot be kept: {reason}")]
    Policy {
        /// The file.
        path: String,
        /// The policy.
        policy: String,
        /// Why not, and what to do.
        reason: String,
    },
    /// There is no such key.
    #[error("{path}: there is no key {id:?}; `kith keys list` shows which there are")]
    UnknownKey {
        /// The file.
        path: String,
        /// The id asked for.
        id: String,
    },
    /// Another process writes the audit log.
    #[error("{path}: another service writes this audit log; stop it, or say --state elsewhere")]
    AuditHeld {
        /// The file.
        path: String,
    },
    /// The audit log has been changed by something else than the service.
    #[error("{path}: line {line}: {what}; keep the file as evidence, and start a new one with --state elsewhere")]
    AuditBroken {
        /// The file.
        path: String,
        /// The first line that does not fit, counted from 1.
        line: u64,
        /// What is wrong there.
        what: String,
    },
}

impl ServeError {
    /// The stable name of the error.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Io { .. } => "serve.io",
            Self::Malformed { .. } => "serve.malformed",
            Self::Exposed { .. } => "serve.exposed",
            Self::BadOption { .. } => "serve.bad_option",
            Self::Policy { .. } => "serve.policy",
            Self::UnknownKey { .. } => "serve.unknown_key",
            Self::AuditHeld { .. } => "serve.audit_held",
            Self::AuditBroken { .. } => "serve.audit_broken",
        }
    }
}
