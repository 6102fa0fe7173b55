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
use std::time::Duration;

use axum_server::tls_rustls::RustlsAcceptor;
use axum_server::{Handle, Server};
use tokio::net::{TcpListener, TcpSocket};

use super::bounded::Bounds;
use super::state::Service;
use super::tls::{keep_fresh, load_tls};
use crate::Result;
use crate::error::ServeError;

/// Files that a service has open beside its connections: the database, logs, what it reads.
const OTHER_FILES: usize = 256;
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
    runtime.block_on(service.ledger().last_words());
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
        service.gate().connections().bound(places);
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
        service.ledger().look_after().await;
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
