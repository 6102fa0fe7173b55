//! `kith verify`

use super::args::common::{Common, open_both};
use super::args::photos::Verify;
use super::codes::{DIFFERENT, DONE, FAILED};
use super::{notes, output};
use crate::Decision;
use crate::json::json;
use crate::verify::percent_text;

pub(super) fn run(common: &Common, command: &Verify) -> anyhow::Result<u8> {
    let builder = common.builder()?;
    let (engine, photos) = rayon::join(|| builder.build(), || open_both(common, &command.a, &command.b));
    let ((a, b), engine) = (photos?, engine?);
    let question = command.line.question(command.count.selection(command.largest));
    let verdict = match engine.answer(&a, &b, &question) {
        Ok(verdict) => verdict,
        Err(error) => {
            let message = notes::with_largest(&error);
            if common.json {
                output::json(&json!({ "error": { "code": error.code(), "message": message } }))?;
            }
            eprintln!("kith: {message}");
            return Ok(FAILED);
        }
    };
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
        let bounds = verdict
            .similarity_interval
            .map_or(String::new(), |(low, high)| format!(" ({} to {})", percent_text(low, 1), percent_text(high, 1)));
        let alike = match verdict.similarity {
            Some(percent) => format!("similarity {}{bounds}", percent_text(percent, 1)),
            None => format!("cosine {:.4}", verdict.cosine),
        };
        output::line(&format!(
            "{answer}: distance {:.4}, threshold {:.4}{rate}, {alike}",
            verdict.distance, verdict.threshold.distance
        ));
        for (which, seen) in [("first", &verdict.left), ("second", &verdict.right)] {
            notes::passed_over(which, &seen.passed_over);
            notes::face(which, seen);
        }
    }
    Ok(if verdict.decision == Decision::Same { DONE } else { DIFFERENT })
}
