//! The running service: its parts, which handlers take singly (`State<Arc<Gate>>`) or together (`State<Arc<Service>>`).

mod facts;
mod readiness;
mod unready;
mod writing;

pub(super) use facts::{DiskRoom, Work};
use unready::Unready;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Instant, SystemTime};

use axum::extract::FromRef;

use super::access::{CoolDowns, Policies, PolicyRoom};
use super::audit::{Event, check_rotation};
use super::auth::{Gate, KeyFile, Keys};
use super::carried::Carried;
use super::config::ServeOptions;
use super::files::{is_open_to_others, make_private_folder};
use super::idempotency::Repeats;
use super::input::Intake;
use super::ledger::Ledger;
use super::limits::ServeLimits;
use super::memory::Memory;
use super::metrics::Metrics;
use super::pools::Pools;
use super::problem::Problem;
use super::rank::Rank;
use super::shelf::Shelf;
use crate::{Database, Engine, GalleryStats, Result};

/// A face service over one engine and one database: [`super::router`] makes its routes, [`super::run`]
/// serves them.
#[derive(Debug)]
pub struct Service {
    engine: Engine,
    database: Database,
    options: ServeOptions,
    pools: Arc<Pools>,
    gate: Arc<Gate>,
    intake: Arc<Intake>,
    ledger: Arc<Ledger>,
    metrics: Arc<Metrics>,
    repeats: Arc<Repeats>,
    carried: Carried,
    policies: Policies,
    cool_downs: CoolDowns,
    shelf: Shelf,
    /// When it was last seen why the service is not ready, and what was seen.
    looked: tokio::sync::Mutex<Option<(Instant, Vec<Unready>)>>,
    stopping: AtomicBool,
    began: SystemTime,
}

/// The routes' state, of which each handler and extractor takes the part that it needs and knows no other.
#[derive(Debug, Clone)]
pub(super) struct Parts(pub Arc<Service>);

impl FromRef<Parts> for Arc<Service> {
    fn from_ref(parts: &Parts) -> Self {
        parts.0.clone()
    }
}

macro_rules! parts {
    ($($part:ident: $name:ident),*) => {
        $(impl FromRef<Parts> for Arc<$part> {
            fn from_ref(parts: &Parts) -> Self {
                parts.0.$name.clone()
            }
        })*
    };
}
parts!(Pools: pools, Gate: gate, Intake: intake, Ledger: ledger, Metrics: metrics);

impl Service {
    /// Gets a service ready; nothing listens yet.
    ///
    /// # Errors
    /// [`crate::error::ServeError`] for options that cannot be kept, an address that others reach without keys and TLS,
    /// or files that cannot be read.
    pub fn new(engine: Engine, database: Database, options: ServeOptions) -> Result<Arc<Self>> {
        let limits = &options.limits;
        limits.check()?;
        make_private_folder(&options.state)?;
        if is_open_to_others(&options.state) {
            tracing::warn!(folder = %options.state.display(), "others may write into the service's folder: chmod 700 it");
        }
        let keys = Arc::new(Keys::open(KeyFile::in_folder(&options.state))?);
        options.check_exposure(!keys.keyless())?;
        let policies = match &options.policies {
            Some(path) => Policies::load(path)?,
            None => Policies::default(),
        };
        check_rotation(options.audit_bytes)?;
        for room in policies.rooms(&engine, Some(&database), None) {
            match room.enough {
                true => tracing::info!("{room}"),
                false => tracing::warn!("{room}"),
            }
        }
        let ledger = Arc::new(Ledger::open(&options.state, options.audit_bytes, keys.clone(), limits.work())?);
        let metrics = Arc::new(Metrics::new());
        let pools = Arc::new(Pools::new(limits, metrics.clone())?);
        let way_in = (options.listen.ip().is_loopback(), options.tls.is_some());
        let (memory, dimension) = (Memory::of(limits), engine.dimension());
        Ok(Arc::new(Self {
            gate: Arc::new(Gate::new(keys, ledger.clone(), limits, way_in)),
            intake: Arc::new(Intake { limits: limits.clone(), memory, pools: pools.clone(), dimension }),
            pools,
            ledger,
            metrics,
            repeats: Repeats::open(&options.state, database.writes())?,
            carried: Carried::default(),
            policies,
            cool_downs: CoolDowns::default(),
            shelf: Shelf::default(),
            looked: tokio::sync::Mutex::default(),
            stopping: AtomicBool::new(false),
            began: SystemTime::now(),
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

    pub(super) fn gate(&self) -> &Arc<Gate> {
        &self.gate
    }

    pub(super) fn ledger(&self) -> &Arc<Ledger> {
        &self.ledger
    }

    pub(super) fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    pub(super) fn policies(&self) -> &Policies {
        &self.policies
    }

    /// How many faces each policy supports and has; of those for one gallery, where one is named.
    pub(super) fn rooms(&self, gallery: Option<&str>) -> Vec<PolicyRoom> {
        self.policies.rooms(&self.engine, Some(&self.database), gallery)
    }

    /// The photo library.
    pub(super) fn shelf(&self) -> &Shelf {
        &self.shelf
    }

    pub(super) fn cool_downs(&self) -> &CoolDowns {
        &self.cool_downs
    }

    pub(super) fn carried(&self) -> &Carried {
        &self.carried
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
        self.pools.stop();
        self.ledger.stop();
        self.repeats.stop();
    }

    /// [`Ledger::audited`].
    pub(super) async fn audited<T>(
        &self,
        event: Event,
        work: impl Future<Output = Result<T, Problem>>,
        told: impl FnOnce(&T, &mut Event),
    ) -> Result<T, Problem> {
        self.ledger.audited(event, work, told).await
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
        let service = self.clone();
        self.pools.networks(rank, move || work(&service)).await
    }

    /// Runs what reads and searches.
    pub(super) async fn with_searches<T: Send + 'static, E: Into<Problem> + Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Service) -> Result<T, E> + Send + 'static,
    ) -> Result<T, Problem> {
        let service = self.clone();
        self.pools.searches(move || work(&service)).await
    }

    /// Runs what waits for the disk, to its end: a write that was begun cannot be taken back.
    pub(super) async fn with_disk<T: Send + 'static, E: Into<Problem> + Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Service) -> Result<T, E> + Send + 'static,
    ) -> Result<T, Problem> {
        let service = self.clone();
        self.pools.disk(move || work(&service)).await
    }

    /// The counts that are read off when somebody asks for them; the galleries' are answered.
    pub(super) fn measure(&self) -> Result<Vec<GalleryStats>> {
        self.pools.measure();
        self.metrics.audit(self.ledger.audit_lines(), self.ledger.is_writable());
        Ok(self.database.stats()?.galleries)
    }
}
