//! The door for commands of this machine: a socket in the database's folder, its owner's alone, behind which every
//! command works while the service has the database open.
//!
//! 1. Whoever holds the database's lock makes the socket, so there is one at most; it replaces what a killed service
//!    left, and is complete and private before it has its name.
//! 2. The socket can be opened by its owner alone (0600), and each caller's user is looked at besides: the owner, or
//!    root, who could open the database without the service.
//! 3. A command has a thread to itself, since what it asks may take minutes; there are at most [`MOST`]. Where there
//!    are as many, one that has not said yet whose it is gives way, the oldest first: silence keeps nobody out.
//! 4. What is at hand when the service stops is finished and answered, within the time that requests have.

mod noting;
mod talk;

use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::net::UnixListener;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use super::state::Service;
use crate::database::{Reach, SOCKET};

/// Commands that are answered at once; the next one waits its turn.
const MOST: usize = 32;
/// How often the end of what is at hand is looked for.
const LOOK: Duration = Duration::from_millis(20);
/// A listener that fails to accept tries again after this: what is short then is descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// A command that is connected.
#[derive(Debug)]
struct Caller {
    stream: UnixStream,
    /// Whether it has said who it is, and was let in.
    admitted: bool,
    /// Whether it waits for an answer.
    busy: bool,
    /// Whether it gave way to another; its thread is about to end.
    gone: bool,
}

/// The commands that are connected.
#[derive(Debug, Default)]
pub(super) struct Callers {
    next: AtomicU64,
    here: Mutex<BTreeMap<u64, Caller>>,
}

impl Callers {
    /// Lets one in; `None` where there are as many as may.
    fn enter(&self, stream: UnixStream) -> Option<u64> {
        let mut here = self.here.lock().unwrap_or_else(PoisonError::into_inner);
        if here.len() >= 2 * MOST {
            return None;
        }
        if here.values().filter(|c| !c.gone).count() >= MOST {
            let silent = here.values_mut().find(|c| !c.gone && !c.admitted)?;
            silent.gone = true;
            let _ = silent.stream.shutdown(std::net::Shutdown::Both);
        }
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        here.insert(id, Caller { stream, admitted: false, busy: false, gone: false });
        Some(id)
    }

    fn set_busy(&self, id: u64, busy: bool) {
        if let Some(caller) = self.here.lock().unwrap_or_else(PoisonError::into_inner).get_mut(&id) {
            caller.busy = busy;
        }
    }

    fn admit(&self, id: u64) {
        if let Some(caller) = self.here.lock().unwrap_or_else(PoisonError::into_inner).get_mut(&id) {
            caller.admitted = true;
        }
    }

    fn leave(&self, id: u64) {
        self.here.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
    }

    /// Sends those away who wait for no answer, or all of them; how many are left.
    fn send_away(&self, all: bool) -> usize {
        let here = self.here.lock().unwrap_or_else(PoisonError::into_inner);
        for caller in here.values().filter(|c| all || !c.busy) {
            // One who has gone already need not be told.
            let _ = caller.stream.shutdown(std::net::Shutdown::Both);
        }
        here.len()
    }
}

/// The open door.
#[derive(Debug)]
pub(super) struct Door {
    accepting: JoinHandle<()>,
    callers: Arc<Callers>,
    socket: PathBuf,
}

impl Door {
    /// Opens the door of a service; `None`, and a line in the log, where that cannot be: commands wait then until the
    /// service has stopped.
    pub(super) fn open(service: &Arc<Service>) -> Option<Self> {
        let folder = service.database().folder()?.to_path_buf();
        let opened = bind(&folder);
        let (listener, owner) = match opened {
            Ok(opened) => opened,
            Err(e) => {
                tracing::warn!(error = %e, "commands beside the service have to wait until it stops");
                return None;
            }
        };
        let callers = Arc::new(Callers::default());
        let accepting = tokio::spawn(accept(listener, owner, service.clone(), callers.clone()));
        Some(Self { accepting, callers, socket: folder.join(SOCKET) })
    }

    /// Keeps it open until the service stops; then what is at hand is answered, for at most as long as requests have.
    pub(super) async fn keep(self, service: Arc<Service>) {
        while !service.is_stopping() {
            tokio::time::sleep(LOOK).await;
        }
        // Before the database is let go: a command that finds nobody here then waits for the lock.
        let _ = std::fs::remove_file(&self.socket);
        self.accepting.abort();
        let until = Instant::now() + Duration::from_secs_f64(service.limits().drain_seconds);
        while self.callers.send_away(false) > 0 && Instant::now() < until {
            tokio::time::sleep(LOOK).await;
        }
        self.callers.send_away(true);
    }
}

/// The socket in the database's folder, and whose it is.
fn bind(folder: &std::path::Path) -> io::Result<(UnixListener, u32)> {
    let reach = Reach::to(folder)?;
    // Made in a folder that nobody else can look into, and moved to its place when it is private itself.
    let making = reach.beside("SOCKET.new");
    let _ = std::fs::remove_dir_all(&making);
    std::fs::DirBuilder::new().mode(0o700).create(&making)?;
    let made = making.join("S");
    let bound = UnixListener::bind(&made).and_then(|listener| {
        std::fs::set_permissions(&made, std::fs::Permissions::from_mode(0o600))?;
        let owner = std::fs::symlink_metadata(&made)?.uid();
        std::fs::rename(&made, reach.socket())?;
        Ok((listener, owner))
    });
    let _ = std::fs::remove_dir_all(&making);
    bound
}

async fn accept(listener: UnixListener, owner: u32, service: Arc<Service>, callers: Arc<Callers>) {
    loop {
        let stream = match listener.accept().await {
            // Nobody begins any more; whoever comes waits its turn.
            Ok(_) if service.is_stopping() => continue,
            Ok((stream, _)) => stream,
            Err(e) => {
                tracing::warn!(error = %e, "a command could not be let in");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let peer = match stream.peer_cred() {
            Ok(peer) if peer.uid() == owner || peer.uid() == 0 => peer,
            Ok(peer) => {
                tracing::warn!(user = peer.uid(), "a command of another user was turned away");
                continue;
            }
            Err(e) => {
                tracing::warn!(error = %e, "a command that does not say whose it is was turned away");
                continue;
            }
        };
        let whose = noting::Whose { user: peer.uid(), process: peer.pid() };
        let begun = begin(stream, whose, service.clone(), callers.clone());
        if let Err(e) = begun {
            tracing::warn!(error = %e, "a command could not be let in");
        }
    }
}

/// Gives a command its thread.
fn begin(
    stream: tokio::net::UnixStream,
    whose: noting::Whose,
    service: Arc<Service>,
    callers: Arc<Callers>,
) -> io::Result<()> {
    let stream = stream.into_std()?;
    stream.set_nonblocking(false)?;
    // One that is turned away is told nothing: it waits its turn, and comes again.
    let Some(id) = callers.enter(stream.try_clone()?) else { return Ok(()) };
    let (runtime, leaving) = (Handle::current(), callers.clone());
    let spawned = std::thread::Builder::new().name("kith-command".to_string()).spawn(move || {
        let told = |step| match step {
            talk::Step::Admitted => callers.admit(id),
            talk::Step::Asked => callers.set_busy(id, true),
            talk::Step::Answered => callers.set_busy(id, false),
        };
        if let Err(e) = talk::talk(&stream, &whose, &service, &runtime, &told) {
            tracing::debug!(error = %e, process = whose.process, "a command broke off");
        }
        // The entry's stream is this one's copy: both are to go for the other side to see the end.
        drop(service);
        callers.leave(id);
    });
    spawned.map(drop).inspect_err(|_| leaving.leave(id))
}
