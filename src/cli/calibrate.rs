//! `kith calibrate`

use std::path::Path;

use super::args::common::Common;
use super::args::photos::Calibrate;
use super::codes::DONE;
use super::output;
use super::targets::spare;
use crate::error::RefusalError;
use crate::eval::people_of;
use crate::files::{Audience, spelled, write_whole};
use crate::verify::{AlikeRate, Calibration, ImpostorReport, RateHere, fpir, rate_interval};
use crate::{Engine, Error, LabelledPhoto, MeasuredCalibration, PrecisionChoice, SearchPolicy};

/// Rates whose thresholds are shown, measured or not.
const RATES: [f64; 6] = [1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6];
/// Similarities, in percent, at which the scale is shown.
const CURVE: [f32; 7] = [99.0, 90.0, 75.0, 50.0, 25.0, 10.0, 1.0];
/// Galleries for which the growth of FPIR is shown, in faces.
const GALLERIES: [usize; 7] = [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000];

pub(super) fn run(common: &Common, command: &Calibrate) -> anyhow::Result<u8> {
    if command.from_gallery {
        return from_gallery(common, command);
    }
    let (Some(people), Some(output)) = (&command.people, &command.output) else { return show(common) };
    if !command.models.is_empty() {
        return several(common, command, people, output);
    }
    spare(output, &[], false)?;
    let photos = labelled(people)?;
    let engine = common.measuring_engine()?;
    let people = photos.last().map_or(0, |p| p.person + 1);
    let source = match &command.source {
        Some(text) => text.clone(),
        None => format!("{} photos of {people} people, detector {}", photos.len(), engine.detector()),
    };
    let bar = output::bar(common, photos.len(), "measuring");
    let alike_by = alike_by(common, command)?;
    let measured =
        engine.calibrate_beside(&[], alike_by.as_ref(), &photos, &source, &common.limits(), &|| bar.inc(1))?.remove(0);
    bar.finish_and_clear();
    let record = &measured.calibration;
    write(output, record)?;
    complain(&measured);
    if common.json {
        output::json(record)?;
        return Ok(DONE);
    }
    output::line(&format!("{}:", spelled(output)));
    print(record)?;
    Ok(DONE)
}

fn write(output: &Path, record: &Calibration) -> anyhow::Result<()> {
    let text = serde_json::to_string_pretty(record)? + "\n";
    write_whole(output, text.as_bytes(), Audience::Umask).map_err(|e| anyhow::anyhow!("{}: {e}", spelled(output)))
}

/// What is in no pair.
fn complain(measured: &MeasuredCalibration) {
    for e in &measured.unreadable {
        output::complain(e);
    }
    for path in &measured.without_face {
        eprintln!("kith: {}: no face found", spelled(path));
    }
}

/// The engine by whose vectors people are grouped.
fn alike_by(common: &Common, command: &Calibrate) -> anyhow::Result<Option<Engine>> {
    let engine = |name: &String| Ok(common.builder()?.model(name).build()?);
    command.alike_by.as_ref().map(engine).transpose()
}

/// The records of several models, in a folder.
fn several(common: &Common, command: &Calibrate, people: &Path, folder: &Path) -> anyhow::Result<u8> {
    let photos = labelled(people)?;
    std::fs::create_dir_all(folder).map_err(|e| anyhow::anyhow!("{}: {e}", spelled(folder)))?;
    let precision = common.precision.unwrap_or(PrecisionChoice::F32);
    let engine = |name: &String| Ok(common.builder()?.model(name).precision(precision).build()?);
    let mut engines: Vec<Engine> = command.models.iter().map(engine).collect::<anyhow::Result<_>>()?;
    let first = engines.remove(0);
    let file = |name: &str| folder.join(format!("{}-{}.json", name.replace('+', "-"), first.detector()));
    command.models.iter().try_for_each(|name| spare(&file(name), &[], false))?;
    let of_photos = || {
        let people = photos.last().map_or(0, |p| p.person + 1);
        format!("{} photos of {people} people, detector {}", photos.len(), first.detector())
    };
    let source = command.source.clone().unwrap_or_else(of_photos);
    let bar = output::bar(common, photos.len(), "measuring");
    let alike_by = alike_by(common, command)?;
    let measured =
        first.calibrate_beside(&engines, alike_by.as_ref(), &photos, &source, &common.limits(), &|| bar.inc(1))?;
    bar.finish_and_clear();
    measured.first().into_iter().for_each(complain);
    for (name, measured) in command.models.iter().zip(&measured) {
        write(&file(name), &measured.calibration)?;
    }
    if common.json {
        output::json(&measured.iter().map(|m| &m.calibration).collect::<Vec<_>>())?;
        return Ok(DONE);
    }
    for (i, (name, measured)) in command.models.iter().zip(&measured).enumerate() {
        if i > 0 {
            output::line("");
        }
        output::line(&format!("{}:", spelled(file(name))));
        print(&measured.calibration)?;
    }
    Ok(DONE)
}

/// The record held against the people of a gallery.
fn from_gallery(common: &Common, command: &Calibrate) -> anyhow::Result<u8> {
    if let Some(output) = &command.output {
        spare(output, &[], false)?;
    }
    let gallery = command.place.gallery.as_str();
    let database = command.place.open(false)?;
    let engine = common.engine_for(&database, gallery)?;
    engine.judge(crate::Policy::default())?;
    let record = engine.calibration().ok_or_else(|| anyhow::anyhow!("{} has no calibration", engine.model()))?;
    let report = database.impostors(gallery, record)?;
    if let Some(output) = &command.output {
        let of_theirs = format!(
            "false matches: {} pairs of {} faces of {} enrolled people; false non-matches: {}",
            report.pairs, report.faces, report.people, record.source
        );
        let source = command.source.clone().unwrap_or(of_theirs);
        let own =
            report.record(record, &source).map_err(|reason| Error::from(RefusalError::CannotCalibrate { reason }))?;
        write(output, &own)?;
    }
    if common.json {
        output::json(&report)?;
        return Ok(DONE);
    }
    output::line(&verdict_on(&report));
    output::line(&format!(
        "gallery {gallery}: {} pairs of {} faces of {} people; record {}",
        report.pairs, report.faces, report.people, report.calibration
    ));
    output::line("");
    let head = ["threshold", "FMR in the record", "FMR here", "95% of it", "pairs below"].map(str::to_string).to_vec();
    let row = |r: &RateHere| {
        vec![
            format!("{:.4}", r.distance),
            format!("{:.0e}", r.record_fmr),
            format!("{:.2e}", r.fmr),
            r.interval.map_or("-".to_string(), |(low, high)| format!("{low:.1e} to {high:.1e}")),
            r.below.to_string(),
        ]
    };
    output::table(&[vec![head], report.rates.iter().map(row).collect()].concat());
    if !report.nearest.is_empty() {
        output::line("");
        output::line("the nearest people; two names of one person would be here (`kith people merge`):");
        report.nearest.iter().for_each(|n| output::line(&format!("{:.4}  {} and {}", n.distance, n.a, n.b)));
    }
    if let Some(output) = &command.output {
        output::line("");
        output::line(&format!("{}: a record for --calibration", spelled(output)));
    }
    Ok(DONE)
}

/// The first thing to know: how the gallery compares with the record.
fn verdict_on(report: &ImpostorReport) -> String {
    match report.times_the_record() {
        Some((at, times)) => format!(
            "false matches {times:.1} times as often as the record says, at its threshold for {:.0e} ({} pairs)",
            at.record_fmr, at.below
        ),
        None => format!(
            "too few pairs of different people match at any threshold to say whether the record's rates hold here: {}",
            report.pairs
        ),
    }
}

/// The record that verdicts of this model rest on.
fn show(common: &Common) -> anyhow::Result<u8> {
    let engine = common.engine()?;
    let policy = crate::Policy::default();
    // Refuses for a model without a record, and for a record of another model.
    engine.judge(policy)?;
    let record = engine.calibration().ok_or_else(|| anyhow::anyhow!("{} has no calibration", engine.model()))?;
    if common.json {
        let mut object = crate::json::shortened(serde_json::to_value(record)?);
        object["id"] = crate::json::json!(record.id());
        output::json(&object)?;
    } else {
        print(record)?;
    }
    Ok(DONE)
}

fn print(record: &Calibration) -> anyhow::Result<()> {
    output::line(&format!("record {} for {}", record.id(), record.model));
    output::line(&format!("measured on: {}", record.source));
    output::line(&format!(
        "{} genuine and {} impostor pairs; {} photos without a usable face are in none",
        record.genuine_pairs, record.impostor_pairs, record.failures_to_acquire
    ));
    output::line("");
    let head = ["FMR", "threshold", "95% of FMR", "impostor pairs below", "FNMR", "95% of FNMR"];
    let mut rows = vec![head.map(str::to_string).to_vec()];
    for rate in RATES {
        rows.push(match record.points.iter().position(|p| p.fmr == rate) {
            Some(i) => {
                let p = &record.points[i];
                let [fmr, fnmr] = record.rate_intervals(i).unwrap_or_else(|| {
                    let genuine = (p.fnmr * record.genuine_pairs as f64).round() as u64;
                    [
                        rate_interval(p.impostors_below, record.impostor_pairs),
                        rate_interval(genuine, record.genuine_pairs),
                    ]
                });
                let range = |(low, high): (f64, f64)| format!("{low:.2e} to {high:.2e}");
                vec![
                    format!("{rate:e}"),
                    format!("{:.4}", p.distance),
                    range(fmr),
                    p.impostors_below.to_string(),
                    format!("{:.4}", p.fnmr),
                    range(fnmr),
                ]
            }
            None => {
                let t = record.for_search(rate, 1)?;
                let mark = if t.extrapolated { "extrapolated" } else { "between points" };
                let none = || "-".to_string();
                vec![format!("{rate:e}"), format!("{:.4}", t.distance), mark.to_string(), none(), none(), none()]
            }
        });
    }
    output::table(&rows);
    output::line("");
    output::line(match record.replicates {
        Some(_) => "Intervals are a jackknife's over 20 groups of the people, on these photos' own kind.",
        None => "Intervals take pairs for independent; they share photos and people, so the truth is less sure.",
    });
    output::line("An extrapolated threshold is refused by verify and compare unless --extrapolate asks for it.");
    if let Some(alike) = &record.alike {
        let rate =
            |r: &AlikeRate| format!("at {:.0e} {:.1} times ({:.1} to {:.1} by group)", r.fmr, r.mean, r.least, r.most);
        output::line(&format!(
            "Among people who are alike (in {} groups by {}) false matches happen more often: {}.",
            alike.people.len(),
            alike.by,
            alike.at.iter().map(rate).collect::<Vec<_>>().join(", ")
        ));
    }
    output::line("");
    let head = ["distance", "similarity", "95% of similarity"].map(str::to_string).to_vec();
    let row = |percent: f32| {
        // The scale's inverse: where it gives this similarity.
        let distance = record.midpoint + (100.0 / percent - 1.0).ln() / record.slope;
        let bounds = record.similarity_interval(distance);
        vec![
            format!("{distance:.4}"),
            format!("{percent}%"),
            bounds.map_or("-".to_string(), |(low, high)| format!("{low:.1}% to {high:.1}%")),
        ]
    };
    output::table(&[vec![head], CURVE.map(row).to_vec()].concat());
    output::line("");
    let default = record.at_fmr(Calibration::MIDPOINT_FMR)?;
    let bound = SearchPolicy::DEFAULT_FPIR;
    let mut rows = vec![vec![
        "faces in the gallery".to_string(),
        format!("FPIR at {:.4} (FMR {:e})", default.distance, default.fmr),
        format!("threshold for FPIR {bound}"),
        "resting on FMR".to_string(),
    ]];
    for faces in GALLERIES {
        let t = record.for_search(bound, faces)?;
        let mark = if t.extrapolated { " (extrapolated)" } else { "" };
        let measured = fpir(default.fmr, faces);
        rows.push(vec![
            faces.to_string(),
            format!("{measured:.4}"),
            format!("{:.4}", t.distance),
            format!("{:.1e}{mark}", t.fmr),
        ]);
    }
    output::table(&rows);
    Ok(())
}

/// One folder a person, in order of their names.
fn labelled(folder: &Path) -> anyhow::Result<Vec<LabelledPhoto>> {
    let people = people_of(folder)?;
    let numbered = people.into_iter().enumerate();
    Ok(numbered.flat_map(|(person, p)| p.photos.into_iter().map(move |path| LabelledPhoto { person, path })).collect())
}
