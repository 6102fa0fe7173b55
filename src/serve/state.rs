//! The running service: what every handler holds.

mod noting;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::access::{CoolDowns, Policies};
use super::audit::{Audit, Refusals};
use super::auth::{KeyFile, Keys, Rates, Sessions};
use super::carried::Carried;
use super::config::ServeOptions;
use super::connections::Connections;
use super::files::make_private_folder;
use super::idempotency::Repeats;
use super::limits::ServeLimits;
use super::memory::Memory;
use super::metrics::Metrics;
use super::pool::Pool;
use super::problem::Problem;
use super::rank::Rank;
use crate::error::ServeError;
use crate::{Database, Engine, GalleryStats, Result};

/// Threads that read large bodies.
const BODY_THREADS: usize = 2;
/// Threads that search and list.
const SEARCH_THREADS: usize = 2;
/// Threads that wait for the disk; several, so that their writes share a sync.
const DISK_THREADS: usize = 8;
/// How long it stays true, for whoever asks, that the database takes reads.
const LOOK: Duration = Duration::from_millis(100);
/// Bodies, searches and writes that may wait.
const QUICK_QUEUE: usize = 256;

/// A face service over one engine and one database: [`super::router`] makes its routes, [`super::run`]
/// serves them.
#[derive(Debug)]
pub struct Service {
    engine: Engine,
    database: Database,
    options: ServeOptions,
    bodies: Pool,
    networks: Pool,
    searches: Pool,
    disk: Pool,
    keys: Keys,
    sessions: Sessions,
    rates: Rates,
    metrics: Metrics,
    audit: Audit,
    refusals: Refusals,
    repeats: Arc<Repeats>,
    carried: Carried,
    policies: Policies,
    cool_downs: CoolDowns,
    memory: Arc<Memory>,
    connections: Arc<Connections>,
    /// When it was last seen whether the database takes reads, and what was seen.
    looked: tokio::sync::Mutex<Option<(Instant, Result<(), Problem>)>>,
    stopping: AtomicBool,
}

impl Service {
    /// Gets a service ready; nothing listens yet.
    ///
    /// # Errors
    /// [`ServeError`] for options that cannot be kept, an address that others reach without keys and TLS,
    /// or files that cannot be read.
    pub fn new(engine: Engine, database: Database, options: ServeOptions) -> Result<Arc<Self>> {
        let limits = &options.limits;
        limits.check()?;
        make_private_folder(&options.state)?;
        let keys = Keys::open(KeyFile::in_folder(&options.state))?;
        options.check_exposure(!keys.keyless())?;
        let policies = match &options.policies {
            Some(path) => Policies::load(path)?,
            None => Policies::default(),
        };
        let audit = Audit::open(&options.state)?;
        let pool = |name: &str, threads, queue, door| {
            Pool::new(name, threads, queue, door).map_err(|e| ServeError::Io {
                place: name.to_string(),
                doing: "starting threads",
                reason: e.to_string(),
            })
        };
        Ok(Arc::new(Self {
            bodies: pool("bodies", BODY_THREADS, QUICK_QUEUE, true)?,
            networks: pool("networks", limits.workers, limits.queue, true)?,
            searches: pool("searches", SEARCH_THREADS, QUICK_QUEUE, false)?,
            disk: pool("disk", DISK_THREADS, QUICK_QUEUE, false)?,
            keys,
            sessions: Sessions::default(),
            rates: Rates::default(),
            metrics: Metrics::new(),
            audit,
            refusals: Refusals::default(),
            repeats: Repeats::open(&options.state)?,
            carried: Carried::default(),
            policies,
            cool_downs: CoolDowns::default(),
            memory: Memory::of(limits),
            connections: Connections::new(limits.connections, limits.address_connections),
            looked: tokio::sync::Mutex::default(),
            stopping: AtomicBool::new(false),
            engine,
            database,
            options,
        }))
    }

    pub(super) fn engine(&self) -> &Engine {
        &self.engine
    }

    pub(super) fn database(&self) -> &Database {
        &self.database
    }

    pub(super) fn options(&self) -> &ServeOptions {
        &self.options
    }

    pub(super) fn limits(&self) -> &ServeLimits {
        &self.options.limits
    }

    pub(super) fn keys(&self) -> &Keys {
        &self.keys
    }

    pub(super) fn sessions(&self) -> &Sessions {
        &self.sessions
    }

    pub(super) fn rates(&self) -> &Rates {
        &self.rates
    }

    pub(super) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    pub(super) fn policies(&self) -> &Policies {
        &self.policies
    }

    pub(super) fn cool_downs(&self) -> &CoolDowns {
        &self.cool_downs
    }

    pub(super) fn carried(&self) -> &Carried {
        &self.carried
    }

    pub(super) fn has_tls(&self) -> bool {
        self.options.tls.is_some()
    }

    /// Whether new requests should go elsewhere.
    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    pub(super) fn begin_to_stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    /// Ends the threads, when what they have is done.
    pub(super) fn stop(&self) {
        self.begin_to_stop();
        for pool in [&self.bodies, &self.networks, &self.searches, &self.disk] {
            pool.stop();
        }
        self.audit.stop();
        self.repeats.stop();
    }

    pub(super) fn memory(&self) -> &Arc<Memory> {
        &self.memory
    }

    pub(super) fn connections(&self) -> &Arc<Connections> {
        &self.connections
    }

    async fn on<T: Send + 'static, E: Into<Problem> + Send + 'static>(
        self: &Arc<Self>,
        pool: &Pool,
        rank: Rank,
        within: Option<Duration>,
        work: impl FnOnce(&Service) -> Result<T, E> + Send + 'static,
    ) -> Result<T, Problem> {
        let service = self.clone();
        let wait = within.map_or(self.limits().queue_wait(), |w| self.limits().queue_wait().min(w));
        let deadline = within.map(|w| Instant::now() + w);
        pool.run(rank, wait, deadline, move || work(&service)).await?.map_err(Into::into)
    }

    /// Runs what reads a large body.
    pub(super) async fn with_bodies<T: Send + 'static>(
        self: &Arc<Self>,
        rank: Rank,
        work: impl FnOnce() -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        self.on(&self.bodies, rank, Some(self.limits().work()), move |_| work()).await
    }

    /// Runs what needs the networks.
    pub(super) async fn with_networks<T: Send + 'static, E: Into<Problem> + Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Service) -> Result<T, E> + Send + 'static,
    ) -> Result<T, Problem> {
        self.with_networks_as(Rank::Keyed, work).await
    }

    /// [`Service::with_networks`] for callers of that rank.
    pub(super) async fn with_networks_as<T: Send + 'static, E: Into<Problem> + Send + 'static>(
        self: &Arc<Self>,
        rank: Rank,
        work: impl FnOnce(&Service) -> Result<T, E> + Send + 'static,
    ) -> Result<T, Problem> {
        self.on(&self.networks, rank, Some(self.limits().queue_wait() + self.limits().work()), work).await
    }

    /// Runs what reads and searches.
    pub(super) async fn with_searches<T: Send + 'static, E: Into<Problem> + Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Service) -> Result<T, E> + Send + 'static,
    ) -> Result<T, Problem> {
        self.on(&self.searches, Rank::Keyed, Some(self.limits().work()), work).await
    }

    /// Whether the database takes reads, as of a moment ago. Anybody may ask that, as often as they like: however many
    /// do, there is one look at a time, and few in a second.
    pub(super) async fn readable(self: &Arc<Self>) -> Result<(), Problem> {
        let mut looked = self.looked.lock().await;
        match looked.as_ref() {
            Some((at, found)) if at.elapsed() < LOOK => found.clone(),
            _ => {
                let found = self.with_searches(|s| s.database().stats().map(drop)).await;
                *looked = Some((Instant::now(), found.clone()));
                found
            }
        }
    }

    /// Runs what waits for the disk, to its end: a write that was begun cannot be taken back.
    pub(super) async fn with_disk<T: Send + 'static, E: Into<Problem> + Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Service) -> Result<T, E> + Send + 'static,
    ) -> Result<T, Problem> {
        self.on(&self.disk, Rank::Keyed, None, work).await
    }

    /// The counts that are read off when somebody asks for them; the galleries' are answered.
    pub(super) fn measure(&self) -> Result<Vec<GalleryStats>> {
        let pools = [
            ("bodies", &self.bodies),
            ("networks", &self.networks),
            ("searches", &self.searches),
            ("disk", &self.disk),
        ];
        for (name, pool) in pools {
            self.metrics.pool(name, pool.waiting(), pool.running());
        }
        self.metrics.audit(self.audit.lines());
        Ok(self.database.stats()?.galleries)
    }
}
