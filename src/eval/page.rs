//! The report as one HTML page that asks nothing of any network: style, pictures and photos are in it.

use std::fmt::Write;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::Machine;
use super::acquire::Failure;
use super::plots::{self, Axes, det, histogram, log_log, over_log, roc, series_variable};
use super::scores::CurvePoint;
use super::verification::{Mistake, ModelVerification, Verification};
use crate::engine::{Engine, FaceChoice};
use crate::error::EvalError;
use crate::files::spelled;
use crate::media::{Limits, Photo, encode_jpeg, fit_within};

/// Side of a face in the page, in pixels: twice what is shown, for dense screens.
const FACE: u32 = 188;
/// Failures that a page lists.
const FAILURES: usize = 40;

/// Text that HTML takes as text.
pub(super) fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            c => safe.push(c),
        }
    }
    safe
}

/// A whole page around its body.
pub(super) fn whole(title: &str, body: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"><title>{}</title>\
         <style>{}{}</style></head>\n<body><main>\n{body}</main></body></html>\n",
        escaped(title),
        include_str!("style.css"),
        plots::STYLE
    )
}

/// A table; cells are HTML.
pub(super) fn table(heads: &[&str], rows: &[Vec<String>]) -> String {
    let mut html = String::from("<div class=\"scroll\"><table><tr>");
    heads.iter().for_each(|h| html.push_str(&format!("<th>{h}</th>")));
    html.push_str("</tr>");
    for row in rows {
        html.push_str("<tr>");
        row.iter().for_each(|cell| html.push_str(&format!("<td>{cell}</td>")));
        html.push_str("</tr>");
    }
    html.push_str("</table></div>\n");
    html
}

/// A picture and what it shows.
pub(super) fn figure(svg: &str, caption: &str) -> String {
    format!("<figure>{svg}<figcaption>{caption}</figcaption></figure>\n")
}

/// A coloured mark before a name.
pub(super) fn swatch(at: usize) -> String {
    format!("<i style=\"background:var({})\"></i>", series_variable(at))
}

/// The names of a picture's lines.
pub(super) fn key<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let mut html = String::from("<div class=\"key\">");
    for (at, name) in names.enumerate() {
        let _ = write!(html, "<span>{}{}</span>", swatch(at), escaped(name));
    }
    html.push_str("</div>\n");
    html
}

/// Photos from which nothing came.
pub(super) fn failures(failures: &[Failure], treatment: &str) -> String {
    let mut html =
        format!("<h2>Failures to acquire: {}</h2><p class=\"soft\">{}</p>", failures.len(), escaped(treatment));
    if failures.is_empty() {
        return html;
    }
    html.push_str("<div class=\"card small\">");
    for f in failures.iter().take(FAILURES) {
        let _ = write!(html, "<div>{}</div>", escaped(&f.message));
    }
    if failures.len() > FAILURES {
        let _ = write!(html, "<div class=\"soft\">and {} more</div>", failures.len() - FAILURES);
    }
    html.push_str("</div>\n");
    html
}

/// Program, machine, and whatever else belongs to the evidence.
pub(super) fn evidence(machine: &Machine, more: &[(&str, String)]) -> String {
    let mut html = String::from("<h2>Measured with</h2><div class=\"card\"><dl>");
    let own = [
        ("kith", machine.kith.to_string()),
        ("machine", format!("{}, {} threads, {}", machine.processor, machine.threads, machine.system)),
        ("networks on", machine.device.clone()),
        ("embedder in", machine.precision.to_string()),
    ];
    for (name, value) in more.iter().cloned().chain(own) {
        let _ = write!(html, "<dt>{name}</dt><dd>{}</dd>", escaped(&value));
    }
    html.push_str("</dl></div>\n");
    html
}

/// The face that was embedded, as the network saw it; nothing where the photo cannot be read any more.
fn face(engine: &Engine, path: &Path, choice: FaceChoice, limits: &Limits) -> Option<String> {
    let photo = Photo::open_with(path, limits).ok()?;
    let found = engine.find_one(&photo, choice).ok()?;
    let chip = engine.chips(&photo, &[found]).ok()?.pop()?;
    let jpeg = encode_jpeg(&fit_within(&chip, FACE, FACE)).ok()?;
    Some(format!("data:image/jpeg;base64,{}", STANDARD.encode(jpeg)))
}

fn mistakes(title: &str, pairs: &[Mistake], engine: &Engine, choice: FaceChoice, limits: &Limits) -> String {
    if pairs.is_empty() {
        return format!("<h3>{title}: none</h3>");
    }
    let mut html = format!("<h3>{title}</h3><div class=\"pairs\">");
    for pair in pairs {
        html.push_str("<div class=\"pair\"><div>");
        for path in [&pair.a, &pair.b] {
            let name = escaped(&spelled(path.file_name().unwrap_or_default()));
            match face(engine, path, choice, limits) {
                Some(data) => _ = write!(html, "<img alt=\"{name}\" src=\"{data}\">"),
                None => _ = write!(html, "<img alt=\"{name}\">"),
            }
        }
        let name = |path: &Path| escaped(&spelled(path.file_name().unwrap_or_default()));
        let (a, b) = (name(&pair.a), name(&pair.b));
        let _ = write!(html, "</div><b>distance {:.3}</b><span class=\"soft\">{a}<br>{b}</span></div>", pair.distance);
    }
    html.push_str("</div>\n");
    html
}

/// A rate as a percentage with as many digits as it needs.
pub(super) fn percent(rate: f64) -> String {
    format!("{:.2}%", rate * 100.0)
}

fn summary(v: &Verification) -> String {
    let mut heads = vec!["model".to_string(), "accuracy".into(), "EER".into(), "AUC".into(), "d&prime;".into()];
    let rates: Vec<f64> = v.models[0].tar_at_far.iter().map(|t| t.far).collect();
    let shown: Vec<usize> =
        (0..rates.len()).filter(|&i| v.models.iter().any(|m| m.tar_at_far[i].measured.is_some())).collect();
    heads.extend(shown.iter().map(|&i| format!("TAR at FAR {:e}", rates[i])));
    heads.push("threshold".into());
    let rows: Vec<Vec<String>> = v
        .models
        .iter()
        .enumerate()
        .map(|(at, m)| {
            let mut row = vec![
                format!("{}{}", swatch(at), escaped(&m.name)),
                match m.accuracy.standard_error {
                    Some(e) => format!("{:.4} &plusmn; {e:.4}", m.accuracy.accuracy),
                    None => format!("{:.4}", m.accuracy.accuracy),
                },
                percent(m.equal_error.rate),
                format!("{:.5}", m.area_under_roc),
                m.d_prime.map_or("&ndash;".into(), |d| format!("{d:.2}")),
            ];
            row.extend(shown.iter().map(|&i| match &m.tar_at_far[i].measured {
                Some(t) => format!(
                    "{}<br><span class=\"soft small\">{} to {}</span>",
                    percent(t.tar),
                    percent(t.low),
                    percent(t.high)
                ),
                None => "&ndash;".into(),
            }));
            row.push(format!("{:.4}", m.best.distance));
            row
        })
        .collect();
    let heads: Vec<&str> = heads.iter().map(String::as_str).collect();
    table(&heads, &rows)
}

/// What the rates rest on and where they end.
pub(super) fn support(v: &Verification) -> String {
    let missing: Vec<String> = v.models[0]
        .tar_at_far
        .iter()
        .filter(|t| t.measured.is_none())
        .map(|t| format!("{:e} ({} pairs)", t.far, t.impostor_pairs_needed))
        .collect();
    let rule = "A rate is given only where it rests on at least 30 impostor pairs below its threshold (the rule of 30: \
         then the true rate is within 30% of it, nine times in ten, were the pairs independent). Intervals are 95%.";
    if missing.is_empty() {
        return rule.to_string();
    }
    format!("{rule} {} impostor pairs are too few for {}.", v.impostor_pairs, missing.join(", "))
}

/// Lowest rate above zero that a curve shows, rounded down to a power of ten.
pub(super) fn decade_below(rates: impl Iterator<Item = f64>) -> f64 {
    let least = rates.filter(|r| *r > 0.0).fold(1.0, f64::min);
    10f64.powf(least.log10().floor()).min(0.1)
}

/// The report of a verification; faces of the worst mistakes are cut anew by `engines`, in the order of the
/// report's models.
///
/// # Errors
/// [`EvalError::Drawing`] when a picture cannot be drawn.
pub fn verification_page(
    v: &Verification,
    engines: &[Engine],
    choice: FaceChoice,
    limits: &Limits,
) -> Result<String, EvalError> {
    let names = || v.models.iter().map(|m| m.name.as_str());
    let mut body = format!(
        "<h1>Face verification: {}</h1><p class=\"soft\">{}. {} genuine and {} impostor pairs of {} photos.</p>\n",
        escaped(&names().collect::<Vec<_>>().join(", ")),
        escaped(&v.source),
        v.genuine_pairs,
        v.impostor_pairs,
        v.photos
    );
    body.push_str(&summary(v));
    let folds = match v.models[0].accuracy.folds.len() {
        1 => "Accuracy is that of the best threshold on these very pairs, so it flatters.".to_string(),
        n => format!(
            "Accuracy: mean of {n} folds, each judged by the threshold that is best on the others, &plusmn; its standard error."
        ),
    };
    let _ = writeln!(body, "<p class=\"soft small\">{folds} {}</p>", support(v));

    let curves: Vec<&[CurvePoint]> = v.models.iter().map(|m| m.curve.as_slice()).collect();
    let from = decade_below(curves.iter().flat_map(|c| c.iter()).map(|p| p.fmr));
    let least = decade_below(curves.iter().flat_map(|c| c.iter()).map(|p| p.fnmr));
    let lowest = curves.iter().flat_map(|c| c.iter().find(|p| p.fmr > 0.0).map(|p| 1.0 - p.fnmr)).fold(1.0, f64::min);
    let floor = ((lowest * 10.0).floor() / 10.0).clamp(0.0, 0.9);
    body.push_str("<h2>Error rates over all thresholds</h2>");
    body.push_str(&key(names()));
    body.push_str("<div class=\"figures\">");
    let rocs: Vec<_> = curves.iter().map(|c| roc(c)).collect();
    let axes = Axes { x: "false match rate", y: "true match rate" };
    body.push_str(&figure(&over_log(&rocs, &axes, from, floor)?, "ROC. Higher and further left is better."));
    let dets: Vec<_> = curves.iter().map(|c| det(c)).collect();
    let axes = Axes { x: "false match rate", y: "false non-match rate" };
    body.push_str(&figure(&log_log(&dets, &axes, (from, least))?, "DET, both axes logarithmic. Lower is better."));
    body.push_str("</div><h2>Distances</h2>");
    body.push_str(&key(["genuine pairs", "impostor pairs"].into_iter()));
    body.push_str("<div class=\"figures\">");
    for m in &v.models {
        let caption = format!("{}; the line is the best threshold, {:.3}", escaped(&m.name), m.best.distance);
        body.push_str(&figure(&histogram(&m.histogram, Some(m.best.distance))?, &caption));
    }
    body.push_str("</div>\n");
    for (m, engine) in v.models.iter().zip(engines) {
        let _ = write!(body, "<h2>Worst mistakes of {} at distance {:.3}</h2>", escaped(&m.name), m.best.distance);
        body.push_str(&mistakes("One person, taken for two", &m.worst_genuine, engine, choice, limits));
        body.push_str("<div style=\"height:16px\"></div>");
        body.push_str(&mistakes("Two people, taken for one", &m.worst_impostor, engine, choice, limits));
    }
    body.push_str(&failures(&v.failures, v.treatment));
    let models = v.models.iter().map(|m| ("model", described(m)));
    let run = format!("{:.1} s, {} of {} photos from the cache", v.seconds, v.from_cache, v.photos);
    let more: Vec<(&str, String)> = models.chain([("run", run)]).collect();
    body.push_str(&evidence(&v.machine, &more));
    Ok(whole("kith: face verification", &body))
}

fn described(m: &ModelVerification) -> String {
    let mut parts = m.model.split('/');
    let (architecture, checksum) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let alignment = parts.collect::<Vec<_>>().join("/");
    let calibrated = m.at_default.as_ref().map_or(String::new(), |d| {
        format!(
            "; calibration {}: at its threshold {:.4} for FMR {:e} measured here FMR {:.5}, FNMR {:.5}, accuracy {:.4}",
            d.calibration, d.measured.distance, d.calibrated_fmr, d.measured.fmr, d.measured.fnmr, d.accuracy
        )
    });
    format!(
        "{}: {architecture}, weights sha256 {checksum}..., chips {alignment}, {} numbers, detector {}{calibrated}",
        m.name, m.dimension, m.detector
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_files_cannot_write_html() {
        let failure = Failure {
            photo: "x".into(),
            code: "refusal.no_face",
            message: "<img src=x onerror=\"alert('&')\">.jpg: no face found".to_string(),
        };
        let html = failures(&[failure], "treatment");
        assert!(
            html.contains("&lt;img src=x onerror=&quot;alert(&#39;&amp;&#39;)&quot;&gt;.jpg") && !html.contains("<img")
        );
        assert!(key(["<b>"].into_iter()).contains("&lt;b&gt;"));
    }

    #[test]
    fn axes_begin_at_the_decade_below_what_was_measured() {
        assert!((decade_below([0.0, 0.02, 0.5].into_iter()) - 0.01).abs() < 1e-12);
        assert_eq!(decade_below([0.0].into_iter()), 0.1);
        assert_eq!(decade_below([0.9].into_iter()), 0.1);
    }
}
