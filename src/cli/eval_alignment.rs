//! `kith eval alignment`

use super::args::common::Common;
use super::args::eval::EvalAlignment;
use super::codes::DONE;
use super::output;
use crate::eval::{self, Placement, people_of};

pub(super) fn run(common: &Common, command: &EvalAlignment) -> anyhow::Result<u8> {
    let people = people_of(&command.people)?;
    let engine = common.measuring_engine()?;
    let photos: usize = people.iter().map(|p| p.photos.len()).sum();
    let bar = output::bar(common, photos * eval::passes(), "scanning");
    let report = eval::alignment(&engine, &people, command.folds, command.fmr, &common.limits(), &|| bar.inc(1))?;
    bar.finish_and_clear();
    if common.json {
        output::json(&report)?;
        return Ok(DONE);
    }
    output::line(&format!(
        "{} behind {}, template {}: {} photos of {} people",
        report.model, report.detector, report.template, report.photos, report.people
    ));
    output::line("");
    let place = |p: Placement| [p.scale, p.across, p.down].map(|v| format!("{v:.2}")).to_vec();
    let head = ["scale", "across", "down", &format!("FNMR at FMR {:e}", report.fmr), "standard error of the gain"];
    let mut rows = vec![head.map(str::to_string).to_vec()];
    rows.extend(report.placements.iter().map(|p| {
        [place(p.placement), vec![format!("{:.5}", p.fnmr), format!("{:.5}", p.standard_error_of_gain)]].concat()
    }));
    output::table(&rows);
    output::line("");
    let head = ["scale", "across", "down", "FNMR", "unchanged"].map(str::to_string).to_vec();
    let mut rows = vec![head];
    rows.extend(
        report
            .held_out
            .iter()
            .map(|h| [place(h.chosen), vec![format!("{:.5}", h.fnmr), format!("{:.5}", h.fnmr_unchanged)]].concat()),
    );
    output::line("chosen on the other folds of people, tried on each:");
    output::table(&rows);
    let (gain, error) = report.gain;
    output::line(&format!("gain in FNMR on held-out people: {gain:.5} +- {error:.5}"));
    Ok(DONE)
}
