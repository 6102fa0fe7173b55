//! Sockets: connections in bounds, TLS, and a stop that lets the requests at hand finish.
//!
//! 1. There are never more connections than `connections`, and no address holds more than `address_connections`
//!    ([`super::connections`]).
//!    The process may open as many files as these need, and some more, or there are fewer of them: at the bound of open
//!    files nobody is let in, with a key or without.
//! 2. A client that does not send its head, or leaves an answer unread, is cut off.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum_server::tls_rustls::{RustlsAcceptor, RustlsConfig};
use axum_server::{Handle, Server};
use tokio::net::{TcpListener, TcpSocket};

use super::bounded::Bounds;
use super::config::TlsFiles;
use super::state::Service;
use crate::Result;
use crate::error::ServeError;

/// Files that a service has open beside its connections: the database, logs, what it reads.
const OTHER_FILES: usize = 256;
/// How often certificates are looked at for a change.
const RENEWAL: Duration = Duration::from_secs(2);
/// Connections that may wait to be accepted; the system may allow fewer.
const WAITING: u32 = 4096;
/// How often the keys are looked at for a change, and refusals for a count that is due.
const LOOK: Duration = Duration::from_secs(1);
/// Greatest head of a request, and what is read ahead of a body, by connection.
const BUFFER_BYTES: usize = 64 << 10;
/// Async threads: they parse and wait, no more.
const ASYNC_THREADS: usize = 2;

/// What a service that has begun to listen can be told.
#[derive(Debug, Clone)]
pub struct Listening {
    /// The address, with the port that was given where 0 was asked for.
    pub address: SocketAddr,
    handle: Handle<SocketAddr>,
    service: Arc<Service>,
}

impl Listening {
    /// Stops the service as a signal would: no new connection, and [`run`] returns when the requests at
    /// hand are answered or their time is over.
    pub fn stop(&self) {
        self.service.begin_to_stop();
        self.handle.graceful_shutdown(Some(Duration::from_secs_f64(self.service.limits().drain_seconds)));
    }
}

/// Serves until SIGINT or SIGTERM, or [`Listening::stop`]. `begun` hears when it listens.
///
/// # Errors
/// [`ServeError::Io`] for an address that cannot be had, or TLS files that cannot be used.
pub fn run(service: Arc<Service>, begun: impl FnOnce(Listening) + Send + 'static) -> Result<()> {
    let failed = |doing, e: io::Error| ServeError::Io {
        place: service.options().listen.to_string(),
        doing,
        reason: e.to_string(),
    };
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(ASYNC_THREADS).thread_name("kith-async").enable_all().build();
    let runtime = runtime.map_err(|e| failed("starting the async threads", e))?;
    let served = runtime.block_on(serve(service.clone(), begun));
    // Writes whose callers are gone, to their answers and lines.
    runtime.block_on(service.carried().ended(Duration::from_secs_f64(service.limits().drain_seconds)));
    runtime.block_on(service.last_words());
    // Jobs at hand are done before the database is let go.
    service.tell_end();
    service.stop();
    served
}

async fn serve(service: Arc<Service>, begun: impl FnOnce(Listening) + Send + 'static) -> Result<()> {
    let listen = service.options().listen;
    let failed = move |doing, e: io::Error| ServeError::Io { place: listen.to_string(), doing, reason: e.to_string() };
    let tls = match &service.options().tls {
        Some(files) => Some(load_tls(files).await?),
        None => None,
    };
    let wanted = service.limits().connections;
    let places = room_for(wanted);
    if places < wanted {
        tracing::warn!(places, "the system's bound of open files leaves room for fewer connections than {wanted}");
        service.connections().bound(places);
    }
    let listener = listen_on(listen).map_err(|e| failed("listening", e))?;
    let address = listener.local_addr().map_err(|e| failed("listening", e))?;
    let handle = Handle::new();
    let listening = Listening { address, handle: handle.clone(), service: service.clone() };
    let stopper = listening.clone();
    let signals = tokio::spawn(async move {
        signal().await;
        tracing::info!("stopping: the requests at hand are finished first");
        stopper.stop();
    });
    let head = Duration::from_secs_f64(service.limits().head_seconds);
    let bounds = Bounds::of(&service);
    let app = super::router(service.clone()).into_make_service_with_connect_info::<SocketAddr>();
    let server = Server::<SocketAddr>::from_listener(listener);
    let mut server = server.http1_only().handle(handle).first_request_timeout(head);
    server.http_builder().http1().header_read_timeout(head).max_buf_size(BUFFER_BYTES);
    let looking = tokio::spawn(look_after(service.clone()));
    #[cfg(unix)]
    let door = super::local::Door::open(&service).map(|door| tokio::spawn(door.keep(service.clone())));
    service.tell_start(address);
    begun(listening);
    let served = match tls {
        None => server.acceptor(bounds).serve(app).await,
        Some(config) => {
            if let Some(files) = &service.options().tls {
                tokio::spawn(keep_fresh(config.clone(), files.clone()));
            }
            server.acceptor(RustlsAcceptor::new(config).handshake_timeout(head).acceptor(bounds)).serve(app).await
        }
    };
    looking.abort();
    signals.abort();
    #[cfg(unix)]
    if let Some(door) = door {
        service.begin_to_stop();
        let _ = door.await;
    }
    Ok(served.map_err(|e| failed("serving", e))?)
}

/// How many of `wanted` connections this process can hold; its bound of open files is raised for them, as far as the
/// system lets it.
#[cfg(unix)]
fn room_for(wanted: usize) -> usize {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    // None is no bound.
    let needed = (wanted + OTHER_FILES) as u64;
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let Some(current) = current.filter(|c| *c < needed) else { return wanted };
    let raised = maximum.map_or(needed, |m| m.min(needed));
    let now = match setrlimit(Resource::Nofile, Rlimit { current: Some(raised), maximum }) {
        Ok(()) => raised as usize,
        Err(_) => current as usize,
    };
    now.saturating_sub(OTHER_FILES).max(now / 2).clamp(1, wanted)
}

#[cfg(not(unix))]
fn room_for(wanted: usize) -> usize {
    wanted
}

/// A socket before which a crowd may wait: with the usual 128 places a burst makes callers try again a second later.
fn listen_on(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // There it would let another program take the address over.
    if !cfg!(windows) {
        socket.set_reuseaddr(true)?;
    }
    socket.bind(address)?;
    socket.listen(WAITING)
}

/// Notes what changes without a request.
async fn look_after(service: Arc<Service>) {
    let mut turn = tokio::time::interval(LOOK);
    turn.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        turn.tick().await;
        service.look_after().await;
    }
}

/// Returns on SIGINT or SIGTERM.
async fn signal() {
    let interrupt = tokio::signal::ctrl_c();
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        match signal(SignalKind::terminate()) {
            Ok(mut terminate) => {
                tokio::select! {
                    _ = interrupt => {}
                    _ = terminate.recv() => {}
                }
            }
            Err(_) => drop(interrupt.await),
        }
    }
    #[cfg(not(unix))]
    drop(interrupt.await);
}

async fn load_tls(files: &TlsFiles) -> Result<RustlsConfig, ServeError> {
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
async fn keep_fresh(config: RustlsConfig, files: TlsFiles) {
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
