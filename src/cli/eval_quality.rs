//! `kith eval quality`

use super::args::common::Common;
use super::args::eval::EvalQuality;
use super::codes::DONE;
use super::output;
use crate::eval::{self, DISCARD_STEP, people_of};
use crate::files::Audience;

/// Shares of the photos that the table shows.
const SHOWN: [f64; 5] = [0.01, 0.02, 0.05, 0.1, 0.2];

pub(super) fn run(common: &Common, command: &EvalQuality) -> anyhow::Result<u8> {
    let people = people_of(&command.people)?;
    let engine = common.measuring_engine()?;
    let photos: usize = people.iter().map(|p| p.photos.len()).sum();
    let bar = output::bar(common, photos, "measuring");
    let report = eval::quality(&engine, &people, command.folds, command.fmr, &common.limits(), &|| bar.inc(1))?;
    bar.finish_and_clear();
    if let Some(path) = &command.html {
        output::page(path, &eval::quality_page(&report, &engine)?, Audience::Umask)?;
    }
    for failure in &report.failures {
        eprintln!("kith: {}", failure.message);
    }
    if common.json {
        output::json(&report)?;
        return Ok(DONE);
    }
    output::line(&format!(
        "{} behind {}: {} photos of {} people ({} without a usable face); at distance {:.4} FMR {:.1e}, FNMR {:.4}",
        report.model,
        report.detector,
        report.photos,
        report.people,
        report.failures.len(),
        report.distance,
        report.fmr,
        report.fnmr
    ));
    output::line("");
    output::line("FNMR of what is left when the worst photos by each measure are discarded:");
    let rate = |rate: Option<f64>| rate.map_or("-".to_string(), |r| format!("{r:.4}"));
    let mut head = vec!["measure".to_string()];
    head.extend(SHOWN.iter().map(|share| format!("{:.0}%", share * 100.0)));
    head.push("mean to 20%, as a share of all".to_string());
    let mut rows = vec![head];
    rows.extend(report.curves.iter().map(|c| {
        let mut row = vec![c.measure.to_string()];
        row.extend(SHOWN.iter().map(|share| rate(c.points[(share / DISCARD_STEP).round() as usize].fnmr)));
        row.push(c.worth.map_or("-".to_string(), |(mean, error)| format!("{mean:.3} +- {error:.3}")));
        row
    }));
    output::table(&rows);
    output::line("");
    let gate = report.gate;
    output::line(&format!(
        "the bounds of enrolment refuse {:.1}% of the photos; of pairs of the others FNMR {}, FMR {}",
        gate.refused * 100.0,
        rate(gate.fnmr),
        gate.fmr.map_or("-".to_string(), |r| format!("{r:.1e}"))
    ));
    if let Some(path) = &command.html {
        output::line(&format!("page: {}", crate::files::spelled(path)));
    }
    Ok(DONE)
}
