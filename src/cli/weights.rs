//! `kith weights`

use super::args::common::Common;
use super::args::weights::{Import, Pull, WeightsAction};
use super::codes::{DONE, FAILED};
use super::output;
use super::own_weights::{self, weights_folder};
use crate::files::spelled;
use crate::json::json;
use crate::nn::weights::{Manifest, ModelEntry, Progress, PullOptions, Status, WeightStore, import, pull};

pub(super) fn run(common: &Common, action: &WeightsAction) -> anyhow::Result<u8> {
    let store = WeightStore::new(common.weights.clone());
    match action {
        WeightsAction::List => list(common, &store),
        WeightsAction::Verify => verify(common, &store),
        WeightsAction::Import(command) => run_import(common, command),
        WeightsAction::Pull(command) => run_pull(common, command),
    }
}

fn list(common: &Common, store: &WeightStore) -> anyhow::Result<u8> {
    let models = &Manifest::built_in().model;
    if common.json {
        let rows = models.iter().map(|m| {
            let mut row = serde_json::to_value(m)?;
            row["status"] = serde_json::to_value(store.status(&m.name))?;
            Ok(row)
        });
        let own = store.own_names().into_iter().map(|name| {
            let loaded = store.load(&name);
            Ok(json!({
                "name": name,
                "architecture": loaded.as_ref().ok().map(|l| &l.architecture),
                "sha256": loaded.as_ref().ok().map(|l| &l.sha256),
                "fault": loaded.as_ref().err().map(ToString::to_string),
                "status": store.status(&name),
            }))
        });
        output::json(&rows.chain(own).collect::<anyhow::Result<Vec<serde_json::Value>>>()?)?;
        return Ok(DONE);
    }
    for m in models {
        let status = match store.status(&m.name) {
            Status::Embedded => "built in".to_string(),
            Status::File { path, .. } => spelled(&path),
            Status::Absent => "not here".to_string(),
        };
        let numbers = m.dimension.map_or(String::new(), |d| format!(", {d} dimensions"));
        output::line(&format!("{}  [{status}]", m.name));
        output::line(&format!("    {} ({}{numbers})", m.architecture, kind(m)));
        output::line(&format!("    licence {}. {}", m.licence, m.note));
        output::line(&format!("    from {}", m.upstream.name));
        for url in &m.upstream.urls {
            output::line(&format!("         {url}"));
        }
        if let (Some(size), Some(sha256)) = (m.size, &m.sha256) {
            output::line(&format!("    {:.1} MB ({}), sha256 {sha256}", size as f64 / 1e6, m.stored));
        }
    }
    for name in store.own_names() {
        let Status::File { path, .. } = store.status(&name) else { continue };
        output::line(&format!("{name}  [{}]", spelled(&path)));
        output::line(&match store.load(&name) {
            Ok(loaded) => format!("    {}, your own, sha256 {}", loaded.architecture, loaded.sha256),
            Err(e) => format!("    cannot be used: {e}"),
        });
    }
    Ok(DONE)
}

fn kind(m: &ModelEntry) -> &'static str {
    match m.kind {
        crate::nn::weights::Kind::Detector => "detector",
        crate::nn::weights::Kind::Embedder => "embedder",
    }
}

fn verify(common: &Common, store: &WeightStore) -> anyhow::Result<u8> {
    let mut rows = Vec::new();
    let mut failed = false;
    let known = Manifest::built_in().model.iter().map(|m| m.name.clone());
    for name in known.chain(store.own_names()) {
        let (state, detail) = match store.status(&name) {
            Status::Absent => ("absent", String::new()),
            _ => match store.verify(&name) {
                Ok(sha256) => ("sound", sha256),
                Err(e) => {
                    failed = true;
                    ("damaged", e.to_string())
                }
            },
        };
        if !common.json {
            output::line(format!("{name}: {state} {detail}").trim_end());
        }
        rows.push(json!({ "name": name, "state": state, "detail": detail }));
    }
    if common.json {
        output::json(&rows)?;
    }
    Ok(if failed { FAILED } else { DONE })
}

fn run_import(common: &Common, command: &Import) -> anyhow::Result<u8> {
    let target = match (&command.output, &command.name) {
        (Some(path), _) => path.clone(),
        (None, Some(name)) => own_weights::place_of_released(common, name)?,
        (None, None) => anyhow::bail!("say --name NAME or -o FILE"),
    };
    let imported = own_weights::keeping(&target, || {
        let imported = import(&command.files, command.architecture.as_deref(), command.store.into(), &target);
        Ok(imported.map_err(crate::Error::from)?)
    })?;
    if common.json {
        output::json(&imported)?;
    } else {
        output::line(&format!(
            "{}: {} tensors of {}, {} bytes, sha256 {}",
            spelled(&imported.path),
            imported.tensors,
            imported.architecture,
            imported.size,
            imported.sha256
        ));
    }
    Ok(DONE)
}

fn run_pull(common: &Common, command: &Pull) -> anyhow::Result<u8> {
    let entry = Manifest::built_in().find(&command.name).map_err(crate::Error::from)?;
    let options =
        PullOptions { accept_licence: command.accept_licence, url: command.url.clone(), proxy: command.proxy.clone() };
    let bar = output::byte_bar(common, &entry.name);
    let pulled = pull(entry, &weights_folder(common)?, &options, &mut |p: Progress| {
        bar.set_length(p.total.unwrap_or(p.done));
        bar.set_position(p.done);
    });
    bar.finish_and_clear();
    let pulled = pulled.map_err(crate::Error::from)?;
    if common.json {
        output::json(&pulled)?;
    } else {
        output::line(&format!("{}: {}, {} bytes", entry.name, spelled(&pulled.imported.path), pulled.imported.size));
        if pulled.recorded {
            let (digest, name) = (&pulled.upstream_sha256, &entry.upstream.name);
            output::line(&format!("{name} publishes no checksum; recorded for the next time: {digest}"));
        }
    }
    Ok(DONE)
}
