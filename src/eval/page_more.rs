//! The pages of identification and of detection.

use std::fmt::Write;

use super::detection::{DetectionReport, Place};
use super::identification::IdentificationReport;
use super::page::{decade_below, escaped, evidence, failures, figure, key, percent, swatch, table, whole};
use super::plots::{Axes, Line, det, histogram, linear, log_log, over_log, roc};
use super::scores::CurvePoint;
use crate::error::EvalError;
use crate::files::spelled;

/// The report of an open-set identification.
///
/// # Errors
/// [`EvalError::Drawing`] when a picture cannot be drawn.
pub fn identification_page(r: &IdentificationReport) -> Result<String, EvalError> {
    let names = || r.models.iter().map(|m| m.name.as_str());
    let mut body = format!(
        "<h1>Open-set identification: {}</h1><p class=\"soft\">{}. {} people enrolled ({} of them without a usable \
         photo), {} mated and {} non-mated searches.</p>\n",
        escaped(&names().collect::<Vec<_>>().join(", ")),
        escaped(&r.source),
        r.enrolled,
        r.failures_to_enrol,
        r.mated_searches,
        r.non_mated_searches
    );
    let ranks = &r.models[0].ranks;
    let rates = &r.models[0].tpir_at_fpir;
    let shown: Vec<usize> =
        (0..rates.len()).filter(|&i| r.models.iter().any(|m| m.tpir_at_fpir[i].measured.is_some())).collect();
    let mut heads = vec!["model".to_string()];
    heads.extend(ranks.iter().map(|rank| format!("rank {}", rank.rank)));
    heads.extend(shown.iter().map(|&i| format!("FNIR at FPIR {:e}", rates[i].far)));
    let rows: Vec<Vec<String>> = r
        .models
        .iter()
        .enumerate()
        .map(|(at, m)| {
            let mut row = vec![format!("{}{}", swatch(at), escaped(&m.name))];
            row.extend(m.ranks.iter().map(|rank| percent(rank.rate)));
            row.extend(shown.iter().map(|&i| match &m.tpir_at_fpir[i].measured {
                Some(t) => format!(
                    "{}<br><span class=\"soft small\">{} to {}</span>",
                    percent(1.0 - t.tar),
                    percent(1.0 - t.high),
                    percent(1.0 - t.low)
                ),
                None => "&ndash;".into(),
            }));
            row
        })
        .collect();
    body.push_str(&table(&heads.iter().map(String::as_str).collect::<Vec<_>>(), &rows));
    body.push_str(
        "<p class=\"soft small\">Rank k: the mate is among the k nearest people, at any distance. FPIR: share of \
         searches by strangers that return anybody within the threshold; FNIR: share of searches by somebody enrolled \
         that do not return them first and within it. A rate is given where it rests on at least 30 strangers taken \
         for somebody (the rule of 30); intervals are 95%.</p>\n",
    );
    let curves: Vec<&[CurvePoint]> = r.models.iter().map(|m| m.curve.as_slice()).collect();
    let from = decade_below(curves.iter().flat_map(|c| c.iter()).map(|p| p.fmr));
    let least = decade_below(curves.iter().flat_map(|c| c.iter()).map(|p| p.fnmr));
    body.push_str("<h2>Error rates over all thresholds</h2>");
    body.push_str(&key(names()));
    body.push_str("<div class=\"figures\">");
    let lines: Vec<Line> = curves.iter().map(|c| det(c)).collect();
    let axes = Axes { x: "FPIR", y: "FNIR" };
    body.push_str(&figure(&log_log(&lines, &axes, (from, least))?, "DET, both axes logarithmic. Lower is better."));
    let lines: Vec<Line> = curves.iter().map(|c| roc(c)).collect();
    let axes = Axes { x: "FPIR", y: "TPIR" };
    body.push_str(&figure(
        &over_log(&lines, &axes, from, 0.0)?,
        "True positive identification rate. Higher is better.",
    ));
    body.push_str("</div><h2>Distances</h2>");
    body.push_str(&key(["the mate, where it is nearest", "the nearest to a stranger"].into_iter()));
    body.push_str("<div class=\"figures\">");
    for m in &r.models {
        body.push_str(&figure(&histogram(&m.histogram, None)?, &escaped(&m.name)));
    }
    body.push_str("</div>\n");
    for m in &r.models {
        let Some(growth) = &m.growth else { continue };
        let _ = write!(
            body,
            "<h2>How FPIR grows with the gallery: {}</h2><p class=\"soft\">At the fixed distance {:.4}, the threshold \
             for FMR {:e} of calibration {}. Expected: 1 - (1 - FMR)<sup>comparisons</sup>, were they independent.</p>",
            escaped(&m.name),
            growth.distance,
            growth.fmr,
            escaped(&growth.calibration)
        );
        let rows: Vec<Vec<String>> = growth
            .sizes
            .iter()
            .map(|s| vec![s.people.to_string(), s.faces.to_string(), percent(s.measured), percent(s.predicted)])
            .collect();
        body.push_str(&table(&["people", "faces", "measured FPIR", "expected"], &rows));
    }
    body.push_str(&failures(&r.failures, r.treatment));
    let mut more: Vec<(&str, String)> =
        r.models.iter().map(|m| ("model", format!("{}: {}", m.name, m.model))).collect();
    more.push(("run", format!("{:.1} s, {} photos from the cache", r.seconds, r.from_cache)));
    body.push_str(&evidence(&r.machine, &more));
    Ok(whole("kith: open-set identification", &body))
}

/// The report of a detection.
///
/// # Errors
/// [`EvalError::Drawing`] when the picture cannot be drawn.
pub fn detection_page(r: &DetectionReport) -> Result<String, EvalError> {
    let m = &r.matched;
    let mut body = format!(
        "<h1>Face detection: {}</h1><p class=\"soft\">{}. {} photos, {} labelled faces.</p>\n",
        escaped(&r.detector),
        escaped(&r.source),
        r.photos,
        m.faces
    );
    let or_dash = |v: Option<f64>, digits: usize| v.map_or("&ndash;".to_string(), |v| format!("{v:.digits$}"));
    let row = vec![
        escaped(&r.detector),
        format!("{} <span class=\"soft small\">{} of {}</span>", percent(m.recall), m.found, m.faces),
        m.precision.map_or("&ndash;".into(), percent),
        m.false_positives.to_string(),
        format!("{:.4}", m.average_precision),
        or_dash(m.mean_overlap, 3),
        or_dash(m.landmark_error, 4),
    ];
    let heads = ["detector", "recall", "precision", "false positives", "AP", "mean IoU", "landmark error"];
    body.push_str(&table(&heads, &[row]));
    body.push_str(
        "<p class=\"soft small\">A detection counts as one of a labelled face from an intersection over union of 0.5; \
         a second one on the same face is a false positive. AP: area under precision over recall, all points. Landmark \
         error: mean distance from the labelled points, in distances between the labelled eyes.</p>\n",
    );
    let line = Line { points: m.curve.iter().map(|p| (p.recall, p.precision)).collect() };
    body.push_str("<div class=\"figures\">");
    let axes = Axes { x: "recall", y: "precision" };
    body.push_str(&figure(&linear(&[line], &axes)?, "Precision over recall as the score falls."));
    body.push_str("</div>\n");
    body.push_str(&places("Missed faces", m.missed.len(), &r.missed_faces));
    body.push_str(&places("Detections on no labelled face", m.spurious.len(), &r.spurious_detections));
    body.push_str(&failures(&r.failures, r.treatment));
    body.push_str(&evidence(&r.machine, &[("run", format!("{:.1} s", r.seconds))]));
    Ok(whole("kith: face detection", &body))
}

fn places(title: &str, count: usize, places: &[Place]) -> String {
    let mut html = format!("<h2>{title}: {count}</h2>");
    if places.is_empty() {
        return html;
    }
    html.push_str("<div class=\"card small\">");
    for p in places {
        let (name, b) = (escaped(&spelled(&p.photo)), p.bbox);
        let score = p.score.map_or(String::new(), |s| format!(", score {s:.4}"));
        let _ = write!(html, "<div>{name}: {:.0},{:.0} to {:.0},{:.0}{score}</div>", b.x0, b.y0, b.x1, b.y1);
    }
    html.push_str("</div>\n");
    html
}
