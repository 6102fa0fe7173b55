//! The page of error-versus-discard curves.

use super::Machine;
use super::page::{escaped, evidence, figure, key, swatch, table, whole};
use super::plots::{Axes, Line, linear_to};
use super::quality::{DISCARD_STEP, QualityReport};
use crate::engine::Engine;
use crate::error::EvalError;

/// Curves in the picture: as many as there are colours.
const DRAWN: usize = 6;

/// The report of what quality measures tell.
///
/// # Errors
/// [`EvalError::Drawing`] when the picture cannot be drawn.
pub fn quality_page(r: &QualityReport, engine: &Engine) -> Result<String, EvalError> {
    let mut body = format!(
        "<h1>What quality tells: {}</h1><p class=\"soft\">{} photos of {} people ({} without a usable face). All pairs, \
         at distance {:.4}: FMR {:.1e}, FNMR {:.4}.</p>\n",
        escaped(&r.model),
        r.photos,
        r.people,
        r.failures.len(),
        r.distance,
        r.fmr,
        r.fnmr
    );
    let drawn = &r.curves[..r.curves.len().min(DRAWN)];
    let lines: Vec<Line> = drawn
        .iter()
        .map(|c| Line { points: c.points.iter().filter_map(|p| Some((p.discarded, p.fnmr?))).collect() })
        .collect();
    let top = lines.iter().flat_map(|l| &l.points).map(|p| p.1).fold(1e-6, f64::max) * 1.05;
    let last = drawn.iter().flat_map(|c| &c.points).map(|p| p.discarded).fold(DISCARD_STEP, f64::max);
    body.push_str(&key(drawn.iter().map(|c| c.measure)));
    body.push_str("<div class=\"figures\">");
    let axes = Axes { x: "share of photos discarded", y: "FNMR" };
    body.push_str(&figure(
        &linear_to(&lines, &axes, (last, top))?,
        "Error versus discard: the photos that a measure likes least go first, the threshold stays. Lower is better; a \
         measure that tells nothing stays level.",
    ));
    body.push_str("</div>\n");
    let rate = |rate: Option<f64>| rate.map_or("&ndash;".to_string(), |r| format!("{r:.4}"));
    let rows: Vec<Vec<String>> = (r.curves.iter().enumerate())
        .map(|(at, c)| {
            let name = if at < DRAWN { format!("{}{}", swatch(at), c.measure) } else { c.measure.to_string() };
            let mut row = vec![name];
            row.extend(
                [0.01, 0.05, 0.1, 0.2].map(|share| rate(c.points[(share / DISCARD_STEP).round() as usize].fnmr)),
            );
            row.push(c.worth.map_or("&ndash;".into(), |(mean, error)| format!("{mean:.3} &plusmn; {error:.3}")));
            row
        })
        .collect();
    body.push_str(&table(&["measure", "1%", "5%", "10%", "20%", "mean to 20%, as a share of all"], &rows));
    let gate = r.gate;
    body.push_str(&format!(
        "<p class=\"soft small\">The bounds of enrolment refuse {:.1}% of the photos; of pairs of the others FNMR {}, FMR \
         {}.</p>\n",
        gate.refused * 100.0,
        rate(gate.fnmr),
        gate.fmr.map_or("&ndash;".into(), |r| format!("{r:.1e}"))
    ));
    body.push_str(&evidence(&Machine::of(engine), &[("model", r.model.clone()), ("detector", r.detector.clone())]));
    Ok(whole("kith: what quality tells", &body))
}
