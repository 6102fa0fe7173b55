//! A run of training as a page: what fell and what rose from epoch to epoch, and how genuine and impostor pairs parted.

use super::page::{escaped, figure, key, table, whole};
use super::plots::{Axes, Line, histogram, linear, over_log};
use super::scores::Histogram;
use crate::error::EvalError;

/// Seconds after which a page of a run that goes on is loaded anew.
const REFRESH_S: u32 = 20;
/// Epochs whose histograms and ROC are shown, at most.
const SHOWN: usize = 6;
/// Where the ROC's false accept rates begin.
const LEAST_FAR: f64 = 1e-4;

/// An epoch of training, as a page shows it.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainingEpoch {
    /// Number, from 1.
    pub number: u64,
    /// Mean loss.
    pub loss: f64,
    /// Share of active triplets.
    pub active: Option<f64>,
    /// On people not trained on.
    pub rates: Option<TrainingRates>,
}

/// Error rates of an epoch.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainingRates {
    /// True accept rate at a false accept rate of 0.01, where the pairs support it.
    pub tar: Option<f64>,
    /// Share of pairs on the right side of the best threshold.
    pub accuracy: f64,
    /// Area under the ROC.
    pub auc: f64,
    /// False accept rates, rising, with their true accept rates.
    pub roc: Vec<(f64, f64)>,
    /// Pairs by distance.
    pub histogram: Histogram,
}

/// The page; while the run goes on, it loads itself anew.
///
/// # Errors
/// [`EvalError::Drawing`] where a picture cannot be drawn.
pub fn training_page(title: &str, about: &str, epochs: &[TrainingEpoch], goes_on: bool) -> Result<String, EvalError> {
    let mut body = format!("<h1>{}</h1><p class=\"soft\">{}</p>\n", escaped(title), escaped(about));
    if epochs.is_empty() {
        body += "<p>No epoch is done yet.</p>\n";
        return Ok(refreshed(whole(title, &body), goes_on));
    }
    let last = epochs.len().max(2) - 1;
    let line = |of: &dyn Fn(&TrainingEpoch) -> Option<f64>| Line {
        points: epochs.iter().enumerate().filter_map(|(i, e)| Some((i as f64 / last as f64, of(e)?))).collect(),
    };
    let greatest = epochs.iter().map(|e| e.loss.abs()).fold(f64::MIN_POSITIVE, f64::max);
    let all = [
        ("loss, of its greatest", line(&|e| Some((e.loss / greatest).max(0.0)))),
        ("share of active triplets", line(&|e| e.active)),
        ("true accept rate at a false accept rate of 0.01", line(&|e| e.rates.as_ref()?.tar)),
        ("area under the ROC", line(&|e| Some(e.rates.as_ref()?.auc))),
    ];
    let (names, lines): (Vec<&str>, Vec<Line>) = all.into_iter().filter(|(_, l)| !l.points.is_empty()).unzip();
    body += "<h2>From epoch to epoch</h2>\n";
    body += &key(names.into_iter());
    let axes = Axes { x: "share of the epochs so far", y: "share" };
    body += &format!("<div class=\"figures\">{}</div>\n", figure(&linear(&lines, &axes)?, "losses and rates"));

    let measured: Vec<(&TrainingEpoch, &TrainingRates)> =
        epochs.iter().filter_map(|e| Some((e, e.rates.as_ref()?))).collect();
    let step = |i: usize| i * (measured.len() - 1) / (SHOWN.min(measured.len()) - 1).max(1);
    let mut shown: Vec<usize> = (0..SHOWN.min(measured.len())).map(step).collect();
    shown.dedup();
    if !shown.is_empty() {
        let names: Vec<String> = shown.iter().map(|&i| format!("epoch {}", measured[i].0.number)).collect();
        let rocs: Vec<Line> = shown.iter().map(|&i| Line { points: measured[i].1.roc.clone() }).collect();
        body += "<h2>People not trained on</h2>\n";
        body += &key(names.iter().map(String::as_str));
        let axes = Axes { x: "false accept rate", y: "true accept rate" };
        let roc = figure(&over_log(&rocs, &axes, LEAST_FAR, 0.0)?, "ROC");
        body += &format!("<div class=\"figures\">{roc}</div>\n<h2>Distances of genuine and impostor pairs</h2>\n");
        body += &key(["genuine", "impostor"].into_iter());
        body += "<div class=\"figures\">";
        for (&i, name) in shown.iter().zip(&names) {
            body += &figure(&histogram(&measured[i].1.histogram, None)?, name);
        }
        body += "</div>\n";
    }
    let number = |v: Option<f64>| v.map_or("-".to_string(), |v| format!("{v:.4}"));
    let rows: Vec<Vec<String>> = epochs
        .iter()
        .map(|e| {
            let r = e.rates.as_ref();
            vec![
                e.number.to_string(),
                format!("{:.4}", e.loss),
                number(e.active),
                number(r.and_then(|r| r.tar)),
                number(r.map(|r| r.accuracy)),
                number(r.map(|r| r.auc)),
            ]
        })
        .collect();
    body += "<h2>Numbers</h2>\n";
    body += &table(&["epoch", "loss", "active triplets", "TAR at FAR 0.01", "accuracy", "AUC"], &rows);
    Ok(refreshed(whole(title, &body), goes_on))
}

fn refreshed(page: String, goes_on: bool) -> String {
    match goes_on {
        true => page.replacen("<title>", &format!("<meta http-equiv=\"refresh\" content=\"{REFRESH_S}\"><title>"), 1),
        false => page,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_shows_a_run_as_it_goes_and_at_its_end() {
        let epoch = |number: u64, rates: bool| TrainingEpoch {
            number,
            loss: 1.0 / number as f64,
            active: Some(0.5),
            rates: rates.then(|| TrainingRates {
                tar: None,
                accuracy: 0.8,
                auc: 0.9,
                roc: vec![(1e-3, 0.2), (1.0, 1.0)],
                histogram: Histogram { from: 0.0, step: 0.1, genuine: vec![3, 1], impostor: vec![0, 4] },
            }),
        };
        for count in [0, 1, 2, 9] {
            for rates in [false, true] {
                let epochs: Vec<TrainingEpoch> = (1..=count).map(|n| epoch(n, rates)).collect();
                let page = training_page("<run>", "about", &epochs, count < 9).unwrap();
                assert!(page.contains("&lt;run&gt;") && !page.contains("<run>"));
                assert_eq!(page.contains("http-equiv=\"refresh\""), count < 9);
                let pictures = if rates { 2 + count.min(SHOWN as u64) } else { 1 };
                assert_eq!(page.matches("<svg ").count() as u64, if count == 0 { 0 } else { pictures });
            }
        }
    }
}
