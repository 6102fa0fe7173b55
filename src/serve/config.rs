//! What a service is started with: addresses, files, and limits.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::access::{Policies, PolicyRoom};
use super::audit::{ROTATE_BYTES, check_rotation};
use super::auth::KeyFile;
use super::files::is_open_to_others;
use super::limits::ServeLimits;
use super::tls::{TlsFiles, check_tls};
use crate::error::ServeError;
use crate::{Database, Engine};

/// What a service is started with.
#[derive(Debug, Clone, PartialEq)]
pub struct ServeOptions {
    /// Where to listen.
    pub listen: SocketAddr,
    /// The folder beside the database for keys and the audit log.
    pub state: PathBuf,
    /// TLS.
    pub tls: Option<TlsFiles>,
    /// Listen where others can reach it even without keys or TLS.
    pub insecure: bool,
    /// The file of access policies.
    pub policies: Option<PathBuf>,
    /// Keep a chip and a thumbnail of each enrolled face.
    pub keep_chips: bool,
    /// Bytes after which the audit log goes on in a new file: 64 KiB to 1 TiB. The old ones are kept.
    pub audit_bytes: u64,
    /// Bounds.
    pub limits: ServeLimits,
}

impl ServeOptions {
    /// The default address: this machine alone.
    pub const LISTEN: &str = "127.0.0.1:8321";

    /// Options for a service on this machine alone.
    pub fn new(state: impl Into<PathBuf>) -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8321)),
            state: state.into(),
            tls: None,
            insecure: false,
            policies: None,
            keep_chips: true,
            audit_bytes: ROTATE_BYTES,
            limits: ServeLimits::default(),
        }
    }

    /// Everything in the options and their files that keeps a service from starting; nothing is started.
    pub fn faults(&self) -> Vec<ServeError> {
        let keys = KeyFile::in_folder(&self.state).list();
        let exposure = keys.as_ref().map_or(Ok(()), |keys| self.check_exposure(!keys.is_empty()));
        let policies = self.policies.as_ref().map_or(Ok(()), |path| Policies::load(path).map(drop));
        let tls = self.tls.as_ref().map_or(Ok(()), check_tls);
        let audit = check_rotation(self.audit_bytes);
        [self.limits.check(), audit, keys.map(drop), exposure, policies, tls]
            .into_iter()
            .filter_map(Result::err)
            .collect()
    }

    /// What keeps no service from starting and is likely not meant: policies that this engine's model or
    /// calibration does not fit, so that they let nobody in; a service without keys.
    pub fn warnings(&self, engine: &Engine) -> Vec<String> {
        let policies = self.policies.as_ref().and_then(|path| Policies::load(path).ok()).unwrap_or_default();
        let mut warnings = policies.unfit(engine);
        if is_open_to_others(&self.state) {
            let folder = self.state.display();
            warnings.push(format!("others may write into {folder}, and so replace keys and log: chmod 700 it"));
        }
        if KeyFile::in_folder(&self.state).list().is_ok_and(|keys| keys.is_empty()) {
            warnings.push("there are no keys: whoever reaches the service may do everything".to_string());
        }
        warnings
    }

    /// How many faces each policy supports with this engine, and how many the database has, where there is one to ask.
    pub fn policy_rooms(&self, engine: &Engine, database: Option<&Database>) -> Vec<PolicyRoom> {
        let policies = self.policies.as_ref().and_then(|path| Policies::load(path).ok()).unwrap_or_default();
        policies.rooms(engine, database, None)
    }

    /// Refuses to be reached by others without keys and TLS, unless told to.
    pub(super) fn check_exposure(&self, has_keys: bool) -> Result<(), ServeError> {
        if self.listen.ip().is_loopback() || self.insecure {
            return Ok(());
        }
        let missing = match (has_keys, self.tls.is_some()) {
            (true, true) => return Ok(()),
            (false, false) => "make a key (`kith keys new`) and name a certificate (--tls-cert, --tls-key)",
            (false, true) => "make a key (`kith keys new`)",
            (true, false) => "name a certificate (--tls-cert, --tls-key), since keys and photos would go in the clear",
        };
        Err(ServeError::Exposed { listen: self.listen.to_string(), missing: missing.to_string() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_may_come_without_keys_and_tls() {
        let mut options = ServeOptions::new("nowhere");
        assert!(options.check_exposure(false).is_ok());
        options.listen = "[::1]:1".parse().unwrap();
        assert!(options.check_exposure(false).is_ok());
        for open in ["0.0.0.0:8321", "192.168.1.2:80", "[::]:443"] {
            options.listen = open.parse().unwrap();
            for (keys, tls) in [(false, false), (true, false), (false, true)] {
                options.tls = tls.then(|| TlsFiles { cert: "c".into(), key: "k".into() });
                assert_eq!(options.check_exposure(keys).unwrap_err().code(), "serve.exposed");
                let forced = ServeOptions { insecure: true, ..options.clone() };
                assert!(forced.check_exposure(keys).is_ok());
            }
            options.tls = Some(TlsFiles { cert: "c".into(), key: "k".into() });
            assert!(options.check_exposure(true).is_ok());
        }
    }
}
