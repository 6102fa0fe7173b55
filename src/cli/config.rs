//! `kith config check`: what the service would be started with, and whether it would start.

use std::time::Duration;

use super::args::common::Common;
use super::args::serve::{ConfigAction, ConfigArgs, Serve};
use super::codes::{DIFFERENT, DONE, FAILED};
use super::output;
use super::serve::options;
use super::settings::{Fault, Settings};
use crate::files::spelled;
use crate::json::json;
use crate::serve::{PolicyRoom, ServeOptions};
use crate::{Database, DatabaseOptions, Engine};

pub(super) fn run(common: &Common, command: &ConfigArgs, settings: &Settings) -> anyhow::Result<u8> {
    let ConfigAction::Check { serve, .. } = &command.action;
    let options = options(serve, settings.limits.clone())?;
    let fault = |e: &crate::error::ServeError| Fault { place: None, what: e.to_string() };
    let mut faults = settings.faults.clone();
    faults.extend(options.faults().iter().map(fault));
    let (mut warnings, mut rooms) = (Vec::new(), Vec::new());
    let place = &serve.at.place;
    let engine = match place.open(false) {
        Ok(database) => common.engine_for(&database, &place.gallery),
        // No database yet, or one that cannot be opened: the service's own start says which.
        Err(_) => common.engine(),
    };
    match engine {
        Ok(engine) => {
            warnings.extend(options.warnings(&engine));
            rooms = rooms_of(&options, &engine, serve, &mut warnings);
        }
        Err(e) => faults.push(Fault { place: None, what: format!("{e:#}") }),
    }
    if common.json {
        let setting =
            |s: &super::settings::InForce| json!({ "name": s.name, "value": s.value, "source": s.source.to_string() });
        let fault = |f: &Fault| json!({ "place": f.place, "what": f.what });
        output::json(&json!({
            "ok": faults.is_empty(),
            "file": settings.file.as_ref().map(spelled),
            "state": spelled(&options.state),
            "settings": settings.in_force.iter().map(setting).collect::<Vec<_>>(),
            "faults": faults.iter().map(fault).collect::<Vec<_>>(),
            "warnings": warnings,
            "policies": rooms,
        }))?;
    } else {
        let width = |of: fn(&super::settings::InForce) -> usize| settings.in_force.iter().map(of).max().unwrap_or(0);
        let names = width(|s| s.name.len());
        let values = width(|s| s.value.as_deref().unwrap_or("-").chars().count()).min(48);
        for s in &settings.in_force {
            let value = s.value.as_deref().unwrap_or("-");
            output::line(&format!("{:names$}  {value:values$}  {}", s.name, s.source));
        }
        output::line("");
        warnings.iter().for_each(|w| output::line(&format!("note: {w}")));
        rooms.iter().filter(|r| r.enough).for_each(|r| output::line(&r.to_string()));
        match faults.as_slice() {
            [] => output::line("kith serve would start with this"),
            faults => faults.iter().for_each(|f| output::line(&format!("wrong: {f}"))),
        }
    }
    Ok(match faults.is_empty() {
        true => DONE,
        false if settings.unreadable => FAILED,
        false => DIFFERENT,
    })
}

/// What each policy supports and has. A database that cannot be asked is no fault of the configuration.
fn rooms_of(options: &ServeOptions, engine: &Engine, serve: &Serve, warnings: &mut Vec<String>) -> Vec<PolicyRoom> {
    if options.policies.is_none() {
        return Vec::new();
    }
    let database = match serve.at.place.folder() {
        Ok(folder) if !folder.exists() => None,
        Ok(folder) => {
            let open = || -> anyhow::Result<Database> {
                // A running service is asked; what else has the database open is not waited for.
                let asked = DatabaseOptions { wait: Duration::ZERO, ..serve.at.place.options(false)? };
                Ok(Database::join(folder, &asked, &|_| {})?)
            };
            open().map_err(|e| warnings.push(format!("how many faces there are is not known: {e:#}"))).ok()
        }
        Err(_) => None,
    };
    let rooms = options.policy_rooms(engine, database.as_ref());
    warnings.extend(rooms.iter().filter(|r| !r.enough).map(ToString::to_string));
    rooms
}
