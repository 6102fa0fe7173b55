//! The HTTP service: routes over one [`Engine`](crate::Engine) and one [`Database`](crate::Database).
//!
//! ```text
//! connection -> [listen: TLS, bounds] -> [request: id, log, time] -> [auth: key, role, gallery, rate]
//!            -> [input: photo, options] -> handler -> [pool: networks | searches | disk] -> [audit] -> answer
//! ```
//!
//! 1. The async threads parse what is small and wait; large bodies, the networks, searches and the disk have threads of
//!    their own, with queues that refuse when they are full.
//! 2. Whatever is asked is in the audit log, on disk, before it is answered; whatever is changed, before it is.
//! 3. Handlers parse, call, format. Errors become answers in one place ([`Problem`]).
//! 4. No log holds a photo, a template or a key.
//! 5. Whatever can run out (connections, memory, threads) goes to doors first, then to callers with a key, then to
//!    strangers (`rank`).
//! 6. Commands of the service's own user come in by a socket of their own (`local`), and not through the routes.

mod access;
mod audit;
mod auth;
mod bodies;
mod bounded;
mod bounded_map;
mod carried;
mod compreface;
mod config;
mod connections;
mod context;
mod files;
mod idempotency;
mod input;
mod ledger;
mod limits;
mod listen;
#[cfg(unix)]
mod local;
mod memory;
mod metrics;
mod page;
mod pool;
mod pools;
mod problem;
mod random;
mod ranged;
mod rank;
mod request;
mod routes;
mod shelf;
mod state;
mod terms;
mod tls;
mod toml_file;
mod views;
mod work;

pub use access::PolicyRoom;
pub use audit::{AuditHead, AuditReport, ROTATE_BYTES, last_lines, make_key, note_keys, verify_log};
pub use auth::{ApiKey, KeyFile, NewKey, Role};
pub use config::ServeOptions;
pub use limits::ServeLimits;
pub use listen::{Listening, run};
pub use problem::Problem;
pub use routes::router;
pub use state::Service;
pub use tls::TlsFiles;
#[cfg(feature = "cli")]
pub(crate) use toml_file::{line_of, nearest};
