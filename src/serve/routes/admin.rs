//! `/v1/galleries`, `/v1/calibration`, `/v1/stats`, `/v1/backup`, `/v1/audit`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use crate::GalleryStats;
use crate::json::json;
use crate::serve::access::PolicyRoom;
use crate::serve::audit::{Event, last_lines};
use crate::serve::auth::{Admin, Known, Read};
use crate::serve::files::{io, make_private_folder};
use crate::serve::input::{Options, flag};
use crate::serve::problem::Problem;
use crate::serve::state::Service;

/// A gallery in numbers.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct GalleryView {
    name: String,
    /// Model id of its faces.
    model: String,
    /// Numbers in each vector.
    dimension: usize,
    people: usize,
    faces: usize,
    /// What answers its searches: `exact`, `graph` or `hnsw`.
    index: Value,
    /// Bytes that the index takes in memory.
    index_bytes: usize,
    /// Faces that the graph does not link yet: they are scanned.
    index_waiting: usize,
}

impl From<GalleryStats> for GalleryView {
    fn from(g: GalleryStats) -> Self {
        Self {
            name: g.name,
            model: g.model,
            dimension: g.dimension,
            people: g.people,
            faces: g.faces,
            index: json!(g.index.kind),
            index_bytes: g.index.bytes,
            index_waiting: g.index.waiting,
        }
    }
}

/// The galleries that the key reaches.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Galleries {
    galleries: Vec<GalleryView>,
}

/// The galleries that the key reaches
#[utoipa::path(get, path = "/v1/galleries", tag = "service", responses((status = 200, body = Galleries)))]
pub(super) async fn galleries(
    State(service): State<Arc<Service>>,
    known: Known<Read>,
) -> Result<Json<Galleries>, Problem> {
    let stats = service.with_searches(|s| s.database().stats()).await?;
    let reached = stats.galleries.into_iter().filter(|g| known.caller.reaches(&g.name));
    Ok(Json(Galleries { galleries: reached.map(Into::into).collect() }))
}

/// The service in numbers.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct StatsView {
    /// Version of kith.
    version: &'static str,
    model: String,
    detector: String,
    /// `cpu`, `cuda:N` or `metal`.
    device: String,
    /// The numbers that the embedder is computed in: `f32`, `f16` or `int16`.
    precision: &'static str,
    /// Id of the calibration record; null where the model has none.
    calibration: Option<String>,
    /// Whether the database is encrypted.
    encrypted: bool,
    /// Number of the database's last write.
    writes: u64,
    /// Bytes on disk.
    bytes: u64,
    galleries: Vec<GalleryView>,
    /// How many faces each access policy supports, and how many there are; of the galleries that the key reaches.
    policies: Vec<PolicyRoom>,
}

/// The service and what it holds, in numbers
#[utoipa::path(get, path = "/v1/stats", tag = "service", responses((status = 200, body = StatsView)))]
pub(super) async fn stats(State(service): State<Arc<Service>>, known: Known<Read>) -> Result<Json<StatsView>, Problem> {
    let (stats, rooms) = service.with_searches(|s| s.database().stats().map(|stats| (stats, s.rooms(None)))).await?;
    let engine = service.engine();
    let reached = stats.galleries.into_iter().filter(|g| known.caller.reaches(&g.name));
    Ok(Json(StatsView {
        version: env!("CARGO_PKG_VERSION"),
        model: engine.model().to_string(),
        detector: engine.detector().to_string(),
        device: engine.device(),
        precision: engine.precision(),
        calibration: engine.calibration().map(crate::Calibration::id),
        encrypted: stats.encrypted,
        writes: stats.writes,
        bytes: stats.bytes,
        galleries: reached.map(Into::into).collect(),
        policies: rooms.into_iter().filter(|r| known.caller.reaches(&r.gallery)).collect(),
    }))
}

/// A threshold and the error rates measured at it.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PointView {
    /// Share of impostor pairs that it lets through, at most.
    fmr: f64,
    /// The threshold: Euclidean distance between unit vectors.
    distance: f32,
    /// Share of genuine pairs that it turns away.
    fnmr: f64,
    /// Impostor pairs that the rate rests on.
    impostors_below: u64,
    /// The similarity in percent that the threshold is.
    similarity: f32,
}

/// What is known of the model's errors.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct CalibrationView {
    id: String,
    model: String,
    detector: String,
    /// Which photos it was measured on, and how.
    source: String,
    genuine_pairs: u64,
    impostor_pairs: u64,
    failures_to_acquire: u64,
    /// Distance at which similarity is 50%.
    midpoint: f32,
    /// Steepness of the similarity scale, per unit of distance.
    slope: f32,
    points: Vec<PointView>,
}

/// What is known of the model's errors: a threshold for every false-match rate that was measured
#[utoipa::path(get, path = "/v1/calibration", tag = "service",
    responses((status = 200, body = CalibrationView), (status = 404, body = Problem, content_type = "application/problem+json")))]
pub(super) async fn calibration(
    State(service): State<Arc<Service>>,
    _: Known<Read>,
) -> Result<Json<CalibrationView>, Problem> {
    let Some(c) = service.engine().calibration() else {
        let detail = format!("{} has no calibration on this service", service.engine().model());
        return Err(Problem::new(StatusCode::NOT_FOUND, "refusal.not_calibrated", detail));
    };
    let point = |p: &crate::verify::OperatingPoint| PointView {
        fmr: p.fmr,
        distance: p.distance,
        fnmr: p.fnmr,
        impostors_below: p.impostors_below,
        similarity: c.similarity(p.distance),
    };
    Ok(Json(CalibrationView {
        id: c.id(),
        model: c.model.clone(),
        detector: c.detector().to_string(),
        source: c.source.clone(),
        genuine_pairs: c.genuine_pairs,
        impostor_pairs: c.impostor_pairs,
        failures_to_acquire: c.failures_to_acquire,
        midpoint: c.midpoint,
        slope: c.slope,
        points: c.points.iter().map(point).collect(),
    }))
}

/// What goes with the backup.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct With {
    /// Copy the key ring of an encrypted database too, in place of the copy that is there.
    #[serde(default, deserialize_with = "flag")]
    ring: bool,
}

/// A backup that was written.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct BackupView {
    /// Where it is on the service's machine.
    file: String,
    /// Where the copy of the key ring is.
    ring: Option<String>,
    entries: u64,
    bytes: u64,
}

/// Writes the whole database, as of one moment, into a new file in the service's own folder
#[utoipa::path(post, path = "/v1/backup", tag = "service", params(With),
    responses((status = 201, body = BackupView)))]
pub(super) async fn backup(
    State(service): State<Arc<Service>>,
    known: Known<Admin>,
    Options(With { ring }): Options<With>,
) -> Result<(StatusCode, Json<BackupView>), Problem> {
    if known.caller.galleries.is_some() {
        let detail = "a backup holds every gallery, and this key does not reach them all";
        return Err(Problem::new(StatusCode::FORBIDDEN, "auth.gallery", detail));
    }
    let work = move |s: &Service| -> Result<BackupView, Problem> {
        let folder = s.options().state.join("backups");
        make_private_folder(&folder)?;
        let now = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%S%.6fZ");
        let file = folder.join(format!("kith-{now}.bak"));
        let ring = ring.then(|| folder.join("kith.ring"));
        let done = s.database().backup(&file, ring.as_deref())?;
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let private = std::fs::Permissions::from_mode(0o600);
            std::fs::set_permissions(&file, private).map_err(|e| io(&file, "making it private", &e))?;
        }
        let shown = |p: &std::path::Path| p.display().to_string();
        Ok(BackupView {
            file: shown(&file),
            ring: ring.as_deref().map(shown),
            entries: done.entries,
            bytes: done.bytes,
        })
    };
    let told = |b: &BackupView, e: &mut Event| e.evidence = json!({ "file": b.file, "entries": b.entries });
    let done = service.in_time(service.audited_write(known.caller.event("backup"), work, told)).await?;
    Ok((StatusCode::CREATED, Json(done)))
}

/// Which lines of the audit log.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Lines {
    /// Only lines before this one: the `seq` of the last one seen.
    #[param(format = "uint64")]
    before: Option<u64>,
    /// How many at most, 1 to 1000; 50 when not said.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
}

/// Lines of the audit log.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AuditLines {
    /// Newest first, as they stand in the log.
    #[schema(value_type = Vec<Object>)]
    lines: Vec<Value>,
}

/// The audit log, newest line first
#[utoipa::path(get, path = "/v1/audit", tag = "service", params(Lines), responses((status = 200, body = AuditLines)))]
pub(super) async fn audit(
    State(service): State<Arc<Service>>,
    known: Known<Admin>,
    Options(Lines { before, limit }): Options<Lines>,
) -> Result<Json<AuditLines>, Problem> {
    let limit = limit.unwrap_or(50);
    if !(1..=1000).contains(&limit) {
        return Err(Problem::bad("request.bad_option", "limit must be 1 to 1000"));
    }
    if known.caller.galleries.is_some() {
        let detail = "the audit log is of every gallery, and this key does not reach them all";
        return Err(Problem::new(StatusCode::FORBIDDEN, "auth.gallery", detail));
    }
    let lines = service.with_searches(move |s| Ok::<_, Problem>(last_lines(&s.options().state, before, limit)?));
    Ok(Json(AuditLines { lines: lines.await? }))
}
