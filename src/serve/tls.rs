//! The certificate: read, checked, and read again when its files change.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum_server::tls_rustls::RustlsConfig;
use serde::Deserialize;

use crate::error::ServeError;

/// How often certificates are looked at for a change.
const RENEWAL: Duration = Duration::from_secs(2);

/// A certificate chain and its private key, as PEM files.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsFiles {
    /// The chain, the service's own certificate first.
    pub cert: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

pub(super) async fn load_tls(files: &TlsFiles) -> Result<RustlsConfig, ServeError> {
    // Fails only where another provider is installed already, which then serves as well.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let settings = read_tls(files).await.map_err(|e| ServeError::Io {
        place: format!("{} and {}", files.cert.display(), files.key.display()),
        doing: "reading the certificate and its key",
        reason: e.to_string(),
    })?;
    Ok(RustlsConfig::from_config(settings))
}

/// Whether a service could use these files.
pub(super) fn check_tls(files: &TlsFiles) -> Result<(), ServeError> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().map_err(|e| ServeError::Io {
        place: files.cert.display().to_string(),
        doing: "starting a thread to read it",
        reason: e.to_string(),
    })?;
    runtime.block_on(load_tls(files)).map(drop)
}

/// What the files say, with HTTP/1.1 alone offered: clients that are offered HTTP/2 choose it, and nobody here
/// speaks it.
async fn read_tls(files: &TlsFiles) -> io::Result<Arc<rustls::ServerConfig>> {
    let read = RustlsConfig::from_pem_file(&files.cert, &files.key).await?.get_inner();
    let mut settings = rustls::ServerConfig::clone(&read);
    settings.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(settings))
}

/// Loads the certificate again when its files change; one that cannot be used leaves the old one.
pub(super) async fn keep_fresh(config: RustlsConfig, files: TlsFiles) {
    let stamp = |files: &TlsFiles| -> [Option<SystemTime>; 2] {
        [&files.cert, &files.key].map(|p| std::fs::metadata(p).and_then(|m| m.modified()).ok())
    };
    let mut known = stamp(&files);
    loop {
        tokio::time::sleep(RENEWAL).await;
        let now = stamp(&files);
        if now == known {
            continue;
        }
        match read_tls(&files).await {
            Ok(settings) => {
                config.reload_from_config(settings);
                known = now;
                tracing::info!("the certificate was read again");
            }
            // Half-way through a change the two do not fit; the next look finds them whole.
            Err(e) => tracing::warn!(error = %e, "the changed certificate cannot be used; the old one stays"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn over_tls_only_the_http_that_is_spoken_is_offered() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tls");
        let files = TlsFiles { cert: folder.join("cert.pem"), key: folder.join("key.pem") };
        assert_eq!(load_tls(&files).await.unwrap().get_inner().alpn_protocols, [b"http/1.1"]);
        let swapped = TlsFiles { cert: folder.join("key.pem"), key: folder.join("cert.pem") };
        assert!(load_tls(&swapped).await.unwrap_err().to_string().contains("cert.pem"));
    }
}
