//! What Prometheus is told: requests, times, refusals by reason, decisions, what waits, what is enrolled.
//!
//! What is of one gallery (its size, the decisions of its policies) is told to keys that reach it, and so is put together
//! for each answer; the rest is the same for all.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::access::PolicyRoom;
use crate::GalleryStats;

/// Bounds of the buckets for times, in seconds.
const SECONDS: [f64; 14] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Answer {
    method: String,
    route: String,
    status: u16,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Named {
    name: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, PartialOrd, Ord, EncodeLabelSet)]
struct Decided {
    policy: String,
    decision: String,
    reason: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Policy {
    policy: String,
}

type Times = Family<Named, Histogram, fn() -> Histogram>;

/// The service's counts.
#[derive(Debug)]
pub(super) struct Metrics {
    registry: Mutex<Registry>,
    requests: Family<Answer, Counter>,
    request_seconds: Times,
    stage_seconds: Times,
    refusals: Family<Named, Counter>,
    decisions: Mutex<BTreeMap<Decided, u64>>,
    in_flight: Gauge,
    pool_waiting: Family<Named, Gauge>,
    pool_running: Family<Named, Gauge>,
    audit_lines: Gauge,
    audit_writable: Gauge,
    panics: Counter,
    connections: Gauge,
    /// Requests, those of them refused, and their time together in microseconds.
    totals: [AtomicU64; 3],
}

fn times() -> Times {
    Times::new_with_constructor(|| Histogram::new(SECONDS))
}

/// Counts a request for as long as it is held.
#[derive(Debug)]
pub(super) struct InFlight(Gauge);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}

fn named(name: &str) -> Named {
    Named { name: name.to_string() }
}

impl Metrics {
    pub(super) fn new() -> Self {
        let metrics = Self {
            registry: Mutex::new(Registry::with_prefix("kith")),
            requests: Family::default(),
            request_seconds: times(),
            stage_seconds: times(),
            refusals: Family::default(),
            decisions: Mutex::default(),
            in_flight: Gauge::<i64, AtomicI64>::default(),
            pool_waiting: Family::default(),
            pool_running: Family::default(),
            audit_lines: Gauge::default(),
            audit_writable: Gauge::default(),
            panics: Counter::default(),
            connections: Gauge::default(),
            totals: Default::default(),
        };
        let mut registry = metrics.registry.lock().unwrap_or_else(PoisonError::into_inner);
        registry.register("requests", "Requests answered", metrics.requests.clone());
        registry.register("request_seconds", "Time to an answer, by route", metrics.request_seconds.clone());
        registry.register("stage_seconds", "Time of a stage of the work", metrics.stage_seconds.clone());
        registry.register("refusals", "Problems answered, by code", metrics.refusals.clone());
        registry.register("requests_in_flight", "Requests being answered", metrics.in_flight.clone());
        registry.register("pool_waiting", "Jobs that wait for a thread", metrics.pool_waiting.clone());
        registry.register("pool_running", "Jobs that a thread is at", metrics.pool_running.clone());
        registry.register("audit_lines", "Lines in the audit log", metrics.audit_lines.clone());
        let writable = "Whether the audit log takes lines: 1, or 0 and nothing is changed or decided";
        registry.register("audit_writable", writable, metrics.audit_writable.clone());
        registry.register("panics", "Panics of handlers and jobs, each answered with 500", metrics.panics.clone());
        registry.register("connections", "Connections open", metrics.connections.clone());
        drop(registry);
        metrics
    }

    pub(super) fn in_flight(&self) -> InFlight {
        self.in_flight.inc();
        InFlight(self.in_flight.clone())
    }

    /// A connection, for as long as it is held.
    pub(super) fn connection(&self) -> InFlight {
        self.connections.inc();
        InFlight(self.connections.clone())
    }

    pub(super) fn answered(&self, method: &str, route: &str, status: u16, code: Option<&str>, taken: Duration) {
        // Methods are the caller's to invent; series are not.
        let known = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
        let method = if known.contains(&method) { method } else { "other" };
        let answer = Answer { method: method.to_string(), route: route.to_string(), status };
        self.requests.get_or_create(&answer).inc();
        let microseconds = u64::try_from(taken.as_micros()).unwrap_or(u64::MAX);
        for (total, more) in self.totals.iter().zip([1, u64::from(status >= 400), microseconds]) {
            total.fetch_add(more, Ordering::Relaxed);
        }
        self.request_seconds.get_or_create(&named(route)).observe(taken.as_secs_f64());
        if let Some(code) = code {
            self.refusals.get_or_create(&named(code)).inc();
        }
    }

    /// Requests answered, those of them with status 400 and above, and the milliseconds that all took together.
    pub(super) fn totals(&self) -> (u64, u64, u64) {
        let [answered, refused, microseconds] = self.totals.each_ref().map(|t| t.load(Ordering::Relaxed));
        (answered, refused, microseconds / 1000)
    }

    pub(super) fn stage(&self, name: &str, milliseconds: f64) {
        self.stage_seconds.get_or_create(&named(name)).observe(milliseconds / 1e3);
    }

    pub(super) fn decided(&self, policy: &str, decision: &str, reason: &str) {
        let label = Decided { policy: policy.to_string(), decision: decision.to_string(), reason: reason.to_string() };
        *self.decisions.lock().unwrap_or_else(PoisonError::into_inner).entry(label).or_default() += 1;
    }

    pub(super) fn pool(&self, name: &str, waiting: usize, running: usize) {
        self.pool_waiting.get_or_create(&named(name)).set(waiting as i64);
        self.pool_running.get_or_create(&named(name)).set(running as i64);
    }

    pub(super) fn audit(&self, lines: u64, writable: bool) {
        self.audit_lines.set(i64::try_from(lines).unwrap_or(i64::MAX));
        self.audit_writable.set(writable.into());
    }

    /// A panic that was caught.
    pub(super) fn panicked(&self) {
        self.panics.inc();
    }

    /// Everything but other galleries', as OpenMetrics text: these galleries and what these policies support, and the
    /// decisions of policies that `reached` holds for.
    pub(super) fn text(
        &self,
        galleries: &[GalleryStats],
        rooms: &[PolicyRoom],
        reached: impl Fn(&str) -> bool,
    ) -> String {
        let (people, faces, waiting) = (sizes(), sizes(), sizes());
        for g in galleries {
            people.get_or_create(&named(&g.name)).set(g.people as i64);
            faces.get_or_create(&named(&g.name)).set(g.faces as i64);
            waiting.get_or_create(&named(&g.name)).set(g.index.waiting as i64);
        }
        let decisions = Family::<Decided, Counter>::default();
        for (label, count) in self.decisions.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            if reached(&label.policy) {
                decisions.get_or_create(label).inc_by(*count);
            }
        }
        let (supported, held) = (Family::<Policy, Gauge>::default(), Family::<Policy, Gauge>::default());
        let faces_of = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        for room in rooms {
            let label = Policy { policy: room.policy.clone() };
            if let Some(supports) = room.supports_faces {
                supported.get_or_create(&label).set(faces_of(supports));
            }
            if let Some(has) = room.has_faces {
                held.get_or_create(&label).set(faces_of(has));
            }
        }
        let mut own = Registry::with_prefix("kith");
        own.register("decisions", "Access decisions", decisions);
        own.register("gallery_people", "People enrolled", people);
        own.register("gallery_faces", "Faces enrolled", faces);
        let supports = "Faces up to which the calibration supports the policy's max_fpir; beyond, all are denied";
        own.register("policy_supported_faces", supports, supported);
        own.register("policy_faces", "Faces in the policy's gallery", held);
        own.register("index_waiting", "Faces that the graph does not link yet", waiting);
        let mut text = String::new();
        let registry = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
        // Writing into a string does not fail.
        let _ = encode_registry(&mut text, &registry)
            .and_then(|()| encode_registry(&mut text, &own))
            .and_then(|()| encode_eof(&mut text));
        text
    }
}

fn sizes() -> Family<Named, Gauge> {
    Family::default()
}
