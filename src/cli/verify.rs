//! `kith verify`

use super::args::{Common, Verify, open_both};
use super::{DIFFERENT, DONE, output};
use crate::Decision;
use crate::verify::percent_text;

pub(super) fn run(common: &Common, command: &Verify) -> anyhow::Result<u8> {
    let builder = common.builder()?;
    let (engine, photos) = rayon::join(|| builder.build(), || open_both(common, &command.a, &command.b));
    let ((a, b), engine) = (photos?, engine?);
    let verdict = engine.verify(&a, &b, command.line.policy(), command.choice())?;
    if common.json {
        output::json(&verdict)?;
    } else {
        let answer = match verdict.decision {
            Decision::Same => "same person",
            Decision::Different => "different people",
        };
        let rate = verdict.threshold.fmr.map_or(String::new(), |r| {
            let how = if verdict.threshold.extrapolated { " (extrapolated)" } else { "" };
            format!(", false-match rate {r:e}{how}")
        });
        let bounds =
            verdict.similarity_interval.map_or(String::new(), |(low, high)| format!(" ({low:.1} to {high:.1})"));
        let alike = match verdict.similarity {
            Some(percent) => format!("similarity {}{bounds}", percent_text(percent, 1)),
            None => format!("cosine {:.4}", verdict.cosine),
        };
        output::line(&format!(
            "{answer}: distance {:.4}, threshold {:.4}{rate}, {alike}",
            verdict.distance, verdict.threshold.distance
        ));
    }
    Ok(if verdict.decision == Decision::Same { DONE } else { DIFFERENT })
}
