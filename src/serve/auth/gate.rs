//! Who comes in: what a request is held against before any handler sees it.

use std::sync::Arc;
use std::time::Instant;

use super::super::connections::Connections;
use super::super::ledger::Ledger;
use super::super::limits::ServeLimits;
use super::super::problem::Problem;
use super::super::rank::Rank;
use super::known_keys::Keys;
use super::rate::{Permit, Rates};
use super::session::Sessions;

/// The part of the service that lets callers in: keys, sessions of the page, rates, places of connections.
#[derive(Debug)]
pub(in super::super) struct Gate {
    keys: Arc<Keys>,
    sessions: Sessions,
    rates: Rates,
    connections: Arc<Connections>,
    ledger: Arc<Ledger>,
    key_rate: Option<f64>,
    key_concurrent: usize,
    is_local: bool,
    has_tls: bool,
}

impl Gate {
    /// A gate of a service that listens on this machine alone (`is_local`) or not, with TLS or without.
    pub(in super::super) fn new(
        keys: Arc<Keys>,
        ledger: Arc<Ledger>,
        limits: &ServeLimits,
        (is_local, has_tls): (bool, bool),
    ) -> Self {
        Self {
            keys,
            sessions: Sessions::default(),
            rates: Rates::default(),
            connections: Connections::new(limits.connections, limits.address_connections),
            ledger,
            key_rate: limits.key_rate,
            key_concurrent: limits.key_concurrent,
            is_local,
            has_tls,
        }
    }

    pub(in super::super) fn keys(&self) -> &Keys {
        &self.keys
    }

    pub(in super::super) fn sessions(&self) -> &Sessions {
        &self.sessions
    }

    pub(in super::super) fn connections(&self) -> &Arc<Connections> {
        &self.connections
    }

    pub(in super::super) fn is_local(&self) -> bool {
        self.is_local
    }

    pub(in super::super) fn has_tls(&self) -> bool {
        self.has_tls
    }

    /// See [`Ledger::keys_noted`].
    pub(in super::super) async fn keys_noted(&self) -> Result<(), Problem> {
        self.ledger.keys_noted().await
    }

    /// A place among the requests of a key, within its own bounds or the service's.
    pub(super) fn place(
        &self,
        key: &str,
        rank: Rank,
        rate: Option<f64>,
        concurrent: Option<usize>,
    ) -> Result<Permit, Problem> {
        let (rate, concurrent) = (rate.or(self.key_rate), concurrent.unwrap_or(self.key_concurrent));
        self.rates.take(key, rank, rate, concurrent, Instant::now())
    }
}
