//! `kith config check`: what the service would be started with, and whether it would start.

use super::args::Common;
use super::serve::options;
use super::serve_args::{ConfigAction, ConfigArgs};
use super::settings::{Fault, Settings};
use super::{DIFFERENT, DONE, FAILED, output};
use crate::json::json;

pub(super) fn run(common: &Common, command: &ConfigArgs, settings: &Settings) -> anyhow::Result<u8> {
    let ConfigAction::Check { serve, .. } = &command.action;
    let options = options(serve, settings.limits.clone())?;
    let place = |e: &crate::error::ServeError| Fault { place: None, what: e.to_string() };
    let mut faults = settings.faults.clone();
    faults.extend(options.faults().iter().map(place));
    let mut warnings = Vec::new();
    match common.engine() {
        Ok(engine) => warnings.extend(options.warnings(&engine)),
        Err(e) => faults.push(Fault { place: None, what: format!("{e:#}") }),
    }
    if common.json {
        let setting =
            |s: &super::settings::InForce| json!({ "name": s.name, "value": s.value, "source": s.source.to_string() });
        let fault = |f: &Fault| json!({ "place": f.place, "what": f.what });
        output::json(&json!({
            "ok": faults.is_empty(),
            "file": settings.file,
            "state": options.state,
            "settings": settings.in_force.iter().map(setting).collect::<Vec<_>>(),
            "faults": faults.iter().map(fault).collect::<Vec<_>>(),
            "warnings": warnings,
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
