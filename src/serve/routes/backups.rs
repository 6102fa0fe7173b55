//! `/v1/backups`: the backups in the service's own folder, listed and downloaded.

use std::fs::File;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde::Serialize;
use tokio::io::AsyncReadExt;
use utoipa::ToSchema;

use crate::json::json;
use crate::serve::audit::Event;
use crate::serve::auth::{Admin, Caller, Known};
use crate::serve::files::io;
use crate::serve::input::Path;
use crate::serve::problem::Problem;
use crate::serve::state::Service;

/// Bytes read and sent at once.
const BLOCK: usize = 64 << 10;
/// What a backup's file is called: the time stands between the two.
pub(super) const BEGINS: &str = "kith-";
pub(super) const ENDS: &str = ".bak";
/// The copy of an encrypted database's key ring.
pub(super) const RING: &str = "kith.ring";

/// The folder that backups are written into.
pub(in crate::serve) fn folder(service: &Service) -> PathBuf {
    service.options().state.join("backups")
}

/// A file in the folder of backups.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(in crate::serve) struct BackupFile {
    /// What it is called, and asked for by.
    pub name: String,
    pub bytes: u64,
    /// When it was written: milliseconds since 1970.
    pub written_ms: u64,
}

/// The backups in the service's own folder.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Backups {
    /// Newest first; the copy of the key ring of an encrypted database is among them.
    backups: Vec<BackupFile>,
}

/// The backups that are there, newest first; with the copy of the key ring, where `ring` says so.
pub(in crate::serve) fn found(folder: &FilePath, ring: bool) -> Result<Vec<BackupFile>, Problem> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(io(folder, "reading", &e).into()),
    };
    let file = |entry: std::fs::DirEntry| {
        let name = entry.file_name().into_string().ok()?;
        let wanted = (name.starts_with(BEGINS) && name.ends_with(ENDS)) || (ring && name == RING);
        let facts = entry.metadata().ok().filter(|m| wanted && m.is_file())?;
        let since = facts.modified().ok()?.duration_since(SystemTime::UNIX_EPOCH).ok()?;
        Some(BackupFile { name, bytes: facts.len(), written_ms: u64::try_from(since.as_millis()).ok()? })
    };
    let mut files: Vec<BackupFile> = entries.filter_map(Result::ok).filter_map(file).collect();
    files.sort_by(|a, b| (b.written_ms, &b.name).cmp(&(a.written_ms, &a.name)));
    Ok(files)
}

fn reaches_all(caller: &Caller) -> Result<(), Problem> {
    if caller.galleries.is_none() {
        return Ok(());
    }
    let detail = "a backup holds every gallery, and this key does not reach them all";
    Err(Problem::new(StatusCode::FORBIDDEN, "auth.gallery", detail))
}

/// The backups in the service's own folder
#[utoipa::path(get, path = "/v1/backups", tag = "service", operation_id = "list_backups",
    responses((status = 200, body = Backups)))]
pub(super) async fn list(State(service): State<Arc<Service>>, known: Known<Admin>) -> Result<Json<Backups>, Problem> {
    reaches_all(&known.caller)?;
    let backups = service.with_searches(|s| found(&folder(s), true)).await?;
    Ok(Json(Backups { backups }))
}

/// A backup, to be kept elsewhere. It holds every template; that it was fetched is in the audit log
#[utoipa::path(get, path = "/v1/backups/{name}", tag = "service", operation_id = "download_backup",
    params(("name" = String, Path)),
    responses((status = 200, body = Vec<u8>, content_type = "application/octet-stream")))]
pub(super) async fn download(
    State(service): State<Arc<Service>>,
    known: Known<Admin>,
    Path(name): Path<String>,
) -> Result<Response, Problem> {
    reaches_all(&known.caller)?;
    let event = Event { evidence: json!({ "file": name }), ..known.caller.event("download backup") };
    let asked = name.clone();
    let work = service.with_searches(move |s| {
        let folder = folder(s);
        // By the list, so that no name leads out of the folder.
        let Some(known) = found(&folder, true)?.into_iter().find(|f| f.name == asked) else {
            let detail = format!("there is no backup {asked:?}; GET /v1/backups lists them");
            return Err(Problem::new(StatusCode::NOT_FOUND, "backup.unknown", detail));
        };
        let path = folder.join(&known.name);
        let file = File::open(&path).map_err(|e| io(&path, "opening", &e))?;
        Ok((known, file))
    });
    let told = |(file, _): &(BackupFile, File), e: &mut Event| {
        e.evidence = json!({ "file": file.name, "bytes": file.bytes });
    };
    let (known, file) = service.audited(event, work, told).await?;
    let blocks = stream::try_unfold(tokio::fs::File::from_std(file), |mut file| async move {
        let mut block = vec![0; BLOCK];
        let read = file.read(&mut block).await?;
        block.truncate(read);
        Ok::<_, std::io::Error>((read > 0).then(|| (Bytes::from(block), file)))
    });
    let headers = [
        (header::CONTENT_TYPE, "application/octet-stream".to_string()),
        (header::CONTENT_LENGTH, known.bytes.to_string()),
        (header::CONTENT_DISPOSITION, format!("attachment; filename=\"{}\"", known.name)),
    ];
    Ok((headers, Body::from_stream(blocks)).into_response())
}
