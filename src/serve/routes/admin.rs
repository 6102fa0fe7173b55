//! `/v1/galleries`, `/v1/calibration`, `/v1/stats`, `/v1/backup`, `/v1/audit`, `/v1/audit/check`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::backups::{self, BackupFile};
use crate::GalleryStats;
use crate::json::json;
use crate::serve::access::PolicyRoom;
use crate::serve::audit::{AuditCheck, Event, Sought, find_lines};
use crate::serve::auth::{Admin, Known, Read};
use crate::serve::files::{io, make_private_folder};
use crate::serve::idempotency::Once;
use crate::serve::input::{NoBody, Options, flag};
use crate::serve::ledger::Ledger;
use crate::serve::pools::Pools;
use crate::serve::problem::Problem;
use crate::serve::state::{DiskRoom, Service, Work};

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
    /// Room on the disk that the service's own folder is on; null where the system does not say.
    disk: Option<DiskRoom>,
    /// The newest backup in the service's own folder; null where there is none. Those that `kith backup` writes elsewhere
    /// are not known here.
    last_backup: Option<BackupFile>,
    /// When the audit log was last read from its first line to its last, and what came of it.
    audit_checked: AuditCheck,
    /// What was answered since the service began.
    work: Work,
}

/// The service and what it holds, in numbers
#[utoipa::path(get, path = "/v1/stats", tag = "service", responses((status = 200, body = StatsView)))]
pub(super) async fn stats(State(service): State<Arc<Service>>, known: Known<Read>) -> Result<Json<StatsView>, Problem> {
    let looked = service.with_searches(|s| {
        let last = backups::found(&backups::folder(s), false)?.into_iter().next();
        Ok::<_, Problem>((s.database().stats()?, s.rooms(None), last))
    });
    let (stats, rooms, last_backup) = looked.await?;
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
        disk: service.disk_room(),
        last_backup,
        audit_checked: service.ledger().audit_checked(),
        work: service.worked(),
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
    _: Once,
    Options(With { ring }): Options<With>,
    _: NoBody,
) -> Result<(StatusCode, Json<BackupView>), Problem> {
    if known.caller.galleries.is_some() {
        let detail = "a backup holds every gallery, and this key does not reach them all";
        return Err(Problem::new(StatusCode::FORBIDDEN, "auth.gallery", detail));
    }
    let work = move |s: &Service| -> Result<BackupView, Problem> {
        let folder = backups::folder(s);
        make_private_folder(&folder)?;
        let now = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%S%.6fZ");
        let file = folder.join(format!("{}{now}{}", backups::BEGINS, backups::ENDS));
        let ring = ring.then(|| folder.join(backups::RING));
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
    /// Only lines before this one: the `next` of an earlier answer, or the `seq` of the last line seen.
    #[param(format = "uint64")]
    before: Option<u64>,
    /// How many at most, 1 to 1000; 50 when not said.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
    /// Only lines of this action, as the log calls it: `identify`, `enroll`, `log in`.
    action: Option<String>,
    /// Only lines about somebody whose name holds this, in whatever case.
    person: Option<String>,
    /// Only lines of the key of this id, or of keys whose name holds this, in whatever case.
    key: Option<String>,
    /// Only lines from then on: a time as RFC 3339 says it, with its offset.
    #[param(format = "date-time")]
    from: Option<String>,
    /// Only lines before then.
    #[param(format = "date-time")]
    to: Option<String>,
}

fn time(name: &str, said: Option<String>) -> Result<Option<jiff::Timestamp>, Problem> {
    let parsed = said.map(|text| text.parse::<jiff::Timestamp>().map_err(|_| text));
    parsed.transpose().map_err(|text| {
        let detail = format!("{name} {text:?} is no time: say it as 2026-01-31T09:30:00Z");
        Problem::bad("request.bad_option", detail)
    })
}

/// Lines of the audit log.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AuditLines {
    /// Newest first, as they stand in the log.
    #[schema(value_type = Vec<Object>)]
    lines: Vec<Value>,
    /// What to send as `before` for the rest; null at the end of the log. There may be fewer lines than were asked for,
    /// or none, and more to come: one answer looks at a bounded part of the log.
    next: Option<u64>,
}

fn sees_all(known: &Known<Admin>) -> Result<(), Problem> {
    if known.caller.galleries.is_none() {
        return Ok(());
    }
    let detail = "the audit log is of every gallery, and this key does not reach them all";
    Err(Problem::new(StatusCode::FORBIDDEN, "auth.gallery", detail))
}

/// The audit log, newest line first
#[utoipa::path(get, path = "/v1/audit", tag = "service", params(Lines), responses((status = 200, body = AuditLines)))]
pub(super) async fn audit(
    State(service): State<Arc<Service>>,
    known: Known<Admin>,
    Options(asked): Options<Lines>,
) -> Result<Json<AuditLines>, Problem> {
    let limit = asked.limit.unwrap_or(50);
    if !(1..=1000).contains(&limit) {
        return Err(Problem::bad("request.bad_option", "limit must be 1 to 1000"));
    }
    sees_all(&known)?;
    let sought = Sought {
        action: asked.action,
        person: asked.person,
        key: asked.key,
        from: time("from", asked.from)?,
        to: time("to", asked.to)?,
    };
    let before = asked.before;
    let found =
        service.with_searches(move |s| Ok::<_, Problem>(find_lines(&s.options().state, &sought, before, limit)?));
    let found = found.await?;
    Ok(Json(AuditLines { lines: found.lines, next: found.next }))
}

/// Reads the whole audit log and checks that every line is in its place and unchanged
#[utoipa::path(post, path = "/v1/audit/check", tag = "service", operation_id = "check_audit",
    responses((status = 200, body = AuditCheck)))]
pub(super) async fn check_audit(
    State(ledger): State<Arc<Ledger>>,
    State(pools): State<Arc<Pools>>,
    known: Known<Admin>,
) -> Result<Json<AuditCheck>, Problem> {
    sees_all(&known)?;
    let whole = ledger.clone();
    let work = pools.disk(move || Ok::<_, Problem>(whole.check_audit()));
    let told = |c: &AuditCheck, e: &mut Event| e.evidence = json!({ "sound": c.sound, "lines": c.lines });
    Ok(Json(ledger.audited(known.caller.event("check audit"), work, told).await?))
}
