//! `kith serve`, `kith keys` and `kith audit`

use tracing_subscriber::EnvFilter;

use super::args::common::Common;
use super::args::serve::{AuditAction, AuditArgs, KeysAction, KeysArgs, LogForm, Serve};
use super::codes::DONE;
use super::output;
use crate::Database;
use crate::files::{now_ms, spelled};
use crate::json::json;
use crate::serve::{
    ApiKey, AuditHead, KeyFile, NewKey, ServeLimits, ServeOptions, Service, TlsFiles, last_lines, make_key, note_keys,
    verify_log,
};

pub(super) fn run(common: &Common, command: &Serve, limits: ServeLimits) -> anyhow::Result<u8> {
    begin_log(command.log);
    let options = options(command, limits)?;
    let place = &command.at.place;
    let opened = place.options(true)?;
    let database = place.alone(&opened, |f, o| Database::open(f, o))?;
    let galleries = database.galleries();
    // One engine for all of them: of the gallery that requests mean when they name none, else of the first.
    let main = [place.gallery.clone()].into_iter().chain(galleries.clone()).find(|g| database.model_of(g).is_some());
    let engine = common.engine_for(&database, main.as_deref().unwrap_or_default())?;
    for gallery in galleries {
        command.way.prepare(common, &database, &gallery)?;
    }
    let keyless = KeyFile::in_folder(&options.state).list()?.is_empty();
    let scheme = if options.tls.is_some() { "https" } else { "http" };
    let service = Service::new(engine, database, options)?;
    let (form, quiet) = (common.json, common.quiet);
    crate::serve::run(service, move |listening| {
        let address = listening.address;
        if form {
            output::line(&json!({ "listening": address, "scheme": scheme }).to_string());
        } else if !quiet {
            output::line(&format!("{scheme}://{address}"));
        }
        if keyless {
            tracing::warn!("there are no keys: whoever reaches the service may do everything; see `kith keys new`");
        }
    })?;
    Ok(DONE)
}

/// What the arguments come to.
pub(super) fn options(command: &Serve, limits: ServeLimits) -> anyhow::Result<ServeOptions> {
    let tls = command.tls_cert.clone().zip(command.tls_key.clone());
    Ok(ServeOptions {
        listen: command.listen,
        state: command.at.folder()?,
        tls: tls.map(|(cert, key)| TlsFiles { cert, key }),
        insecure: command.insecure,
        policies: command.policies.clone(),
        keep_chips: command.keep_chips && !command.no_thumbnails,
        audit_bytes: command.audit_bytes,
        limits,
    })
}

fn begin_log(form: LogForm) {
    let filter = EnvFilter::try_from_env("KITH_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let colours = std::io::IsTerminal::is_terminal(&std::io::stderr());
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colours);
    match form {
        LogForm::Text => log.with_target(false).init(),
        LogForm::Json => log.json().flatten_event(true).init(),
    }
}

pub(super) fn keys(common: &Common, command: &KeysArgs) -> anyhow::Result<u8> {
    let folder = match &command.action {
        KeysAction::New { .. } => command.at.folder()?,
        KeysAction::List | KeysAction::Revoke { .. } => command.at.kept()?,
    };
    let file = KeyFile::in_folder(&folder);
    match &command.action {
        KeysAction::New { name, role, galleries, days, rate, concurrent } => {
            let expires_ms = days.map(NewKey::ends_after).transpose()?;
            let galleries = (!galleries.is_empty()).then(|| galleries.iter().cloned().collect());
            let roles = role.iter().copied().collect();
            let new = NewKey { name: name.clone(), roles, galleries, expires_ms, rate: *rate, concurrent: *concurrent };
            let (key, secret) = make_key(&folder, new)?;
            if common.json {
                output::json(&json!({ "key": secret.as_str(), "id": key.id, "name": key.name, "roles": key.roles }))?;
            } else {
                output::line(&secret);
            }
            // A key that nobody has seen opens nothing.
            if output::unprinted().is_some() {
                file.revoke(&key.id)?;
                note(&folder);
                anyhow::bail!("the key could not be shown, and is revoked");
            }
            if !common.json {
                eprintln!("kith: this key is shown once; keep it where only its user reads it");
                eprintln!("kith: it is for the service whose keys are in {}", spelled(&folder));
            }
        }
        KeysAction::List => {
            let keys = file.list()?;
            if common.json {
                output::json(&keys.iter().map(shown).collect::<Vec<_>>())?;
            } else {
                keys.iter().for_each(print);
            }
        }
        KeysAction::Revoke { id } => {
            let key = file.revoke(id)?;
            note(&folder);
            if common.json {
                output::json(&shown(&key))?;
            } else {
                output::line(&format!("{} ({}) is revoked", key.id, key.name));
            }
        }
    }
    Ok(DONE)
}

/// Puts what was revoked into the audit log. It is revoked all the same: the next service notes it too.
fn note(folder: &std::path::Path) {
    if let Err(e) = note_keys(folder) {
        eprintln!("kith: warning: the audit log does not say so yet: {e}");
    }
}

/// A key as it is listed: without the digest, which nobody needs to see.
fn shown(key: &ApiKey) -> serde_json::Value {
    json!({
        "id": key.id, "name": key.name, "roles": key.roles, "galleries": key.galleries,
        "created_ms": key.created_ms, "expires_ms": key.expires_ms, "revoked_ms": key.revoked_ms,
        "rate": key.rate, "concurrent": key.concurrent, "valid": key.is_valid_at(now_ms()),
    })
}

fn print(key: &ApiKey) {
    let roles: Vec<&str> = key.roles.iter().map(|r| r.name()).collect();
    let galleries = match &key.galleries {
        Some(only) => format!(", only {}", only.iter().cloned().collect::<Vec<_>>().join(", ")),
        None => String::new(),
    };
    let state = match (key.revoked_ms, key.is_valid_at(now_ms())) {
        (Some(_), _) => ", revoked",
        (None, false) => ", expired",
        (None, true) => "",
    };
    output::line(&format!("{}  {}: {}{galleries}{state}", key.id, key.name, roles.join(", ")));
}

pub(super) fn audit(common: &Common, command: &AuditArgs) -> anyhow::Result<u8> {
    let folder = command.at.kept()?;
    match &command.action {
        AuditAction::Verify { head } => {
            let noted = head.as_deref().map(noted_head).transpose()?;
            let report = verify_log(&folder, noted.as_ref())?;
            if common.json {
                output::json(&report)?;
                return Ok(DONE);
            }
            let AuditHead { lines, sha256 } = &report.head;
            let files = if report.files == 1 { String::new() } else { format!(" in {} files", report.files) };
            output::line(&format!("{lines} lines{files}, every one in its place; the head is {lines}:{sha256}"));
            if report.after_head + report.torn_bytes > 0 {
                output::line(&format!(
                    "{} lines and {} bytes were not acknowledged: the service writes them now, or was killed then",
                    report.after_head, report.torn_bytes
                ));
            }
        }
        AuditAction::Show { last } => {
            let mut lines = last_lines(&folder, None, *last)?;
            lines.reverse();
            lines.iter().for_each(|l| output::line(&l.to_string()));
        }
    }
    Ok(DONE)
}

fn noted_head(text: &str) -> anyhow::Result<AuditHead> {
    let parsed = text.split_once(':').and_then(|(lines, sha256)| {
        let whole = sha256.len() == 64 && sha256.bytes().all(|b| b.is_ascii_hexdigit());
        Some(AuditHead { lines: lines.parse().ok()?, sha256: sha256.to_ascii_lowercase() }).filter(|_| whole)
    });
    parsed.ok_or_else(|| anyhow::anyhow!("--head is LINES:SHA256, as `kith audit verify` prints it"))
}
