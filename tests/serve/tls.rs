//! TLS over a socket: nothing in the clear, and a certificate that is changed while the service runs.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use kith::serve::TlsFiles;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, StreamOwned};

use crate::socket::{Running, all_of, begin};

fn fixture(name: &str) -> std::path::PathBuf {
    Path::new("tests/fixtures/tls").join(name)
}

fn certificate(name: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_file(fixture(name)).unwrap()
}

/// Puts files in place of others in one step, as certificate managers do.
fn place(from: &str, to: &Path) {
    let beside = to.with_extension("new");
    std::fs::copy(fixture(from), &beside).unwrap();
    std::fs::rename(&beside, to).unwrap();
}

type Line = StreamOwned<ClientConnection, TcpStream>;

/// Trusts one certificate: the fixtures are nobody's authority.
#[derive(Debug)]
struct Only(CertificateDer<'static>, Arc<CryptoProvider>);

impl ServerCertVerifier for Only {
    fn verify_server_cert(
        &self,
        shown: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        match *shown == self.0 {
            true => Ok(ServerCertVerified::assertion()),
            false => Err(CertificateError::UnknownIssuer.into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, signed, &self.1.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, signed, &self.1.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.1.signature_verification_algorithms.supported_schemes()
    }
}

/// A connection that trusts this certificate and no other.
fn connect(running: &Running, trusted: &str) -> Result<Line, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let only = Arc::new(Only(certificate(trusted), provider.clone()));
    let settings = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let settings = settings.dangerous().with_custom_certificate_verifier(only).with_no_client_auth();
    let mut client = ClientConnection::new(Arc::new(settings), ServerName::try_from("localhost").unwrap())?;
    let mut stream = running.connect();
    while client.is_handshaking() {
        if let Err(e) = client.complete_io(&mut stream) {
            return Err(match e.get_ref().and_then(|e| e.downcast_ref::<rustls::Error>()) {
                Some(e) => e.clone(),
                None => rustls::Error::General(e.to_string()),
            });
        }
    }
    Ok(StreamOwned::new(client, stream))
}

fn alive(line: &mut Line) -> bool {
    line.write_all(b"GET /healthz/live HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
    let mut bytes = [0; 4096];
    let read = line.read(&mut bytes).unwrap();
    bytes[..read].starts_with(b"HTTP/1.1 200 ")
}

#[test]
fn a_changed_certificate_is_taken_up_and_an_unusable_one_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let files = TlsFiles { cert: folder.path().join("cert.pem"), key: folder.path().join("key.pem") };
    place("cert.pem", &files.cert);
    place("key.pem", &files.key);
    let running = begin(|o| o.tls = Some(files.clone()));
    let mut first = connect(&running, "cert.pem").unwrap();
    assert!(alive(&mut first));
    assert!(connect(&running, "next_cert.pem").is_err(), "another certificate is not this one");
    let mut plain = running.connect();
    write!(plain, "GET /healthz/live HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
    assert!(!all_of(&mut plain).contains("HTTP/1.1 200"), "something was answered in the clear");

    place("next_key.pem", &files.key);
    place("next_cert.pem", &files.cert);
    let mut tries = 0;
    let mut second = loop {
        match connect(&running, "next_cert.pem") {
            Ok(line) => break line,
            Err(e) if tries > 120 => panic!("the new certificate was not taken up: {e}"),
            Err(_) => tries += 1,
        }
        std::thread::sleep(Duration::from_millis(250));
    };
    assert!(alive(&mut second) && connect(&running, "cert.pem").is_err());
    assert!(alive(&mut first), "who was connected before stays so");

    // A certificate without its key: the old pair goes on.
    std::fs::write(&files.cert, "no certificate").unwrap();
    std::thread::sleep(Duration::from_secs(3));
    assert!(alive(&mut connect(&running, "next_cert.pem").unwrap()));
    running.stop();
}
