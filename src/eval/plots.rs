//! ROC, DET and histograms as SVG, drawn by plotters.
//!
//! A page is light or dark as its reader likes, but plotters knows fixed colours only. So every colour drawn
//! here is a mark, and [`STYLE`] gives each mark its colour in either light.

use plotters::coord::ranged1d::{AsRangedCoord, ValueFormatter};
use plotters::prelude::*;

use super::scores::{CurvePoint, Histogram};
use crate::error::EvalError;

/// Size of a picture in its own units; the page scales it.
const SIZE: (u32, u32) = (640, 420);
/// Marks of text and axes, of grid lines, and of up to six series.
const INK: RGBColor = RGBColor(1, 1, 1);
const GRID: RGBColor = RGBColor(2, 2, 2);
const SERIES: [RGBColor; 6] = [
    RGBColor(10, 1, 1),
    RGBColor(10, 1, 2),
    RGBColor(10, 1, 3),
    RGBColor(10, 1, 4),
    RGBColor(10, 1, 5),
    RGBColor(10, 1, 6),
];

/// The marks' colours, by the variables of the page.
pub(super) const STYLE: &str = r##"
svg [fill="#010101"]{fill:var(--ink)} svg [stroke="#010101"]{stroke:var(--axis)}
svg [stroke="#020202"]{stroke:var(--grid)}
svg [stroke="#0A0101"]{stroke:var(--s0)} svg [fill="#0A0101"]{fill:var(--s0)}
svg [stroke="#0A0102"]{stroke:var(--s1)} svg [fill="#0A0102"]{fill:var(--s1)}
svg [stroke="#0A0103"]{stroke:var(--s2)} svg [fill="#0A0103"]{fill:var(--s2)}
svg [stroke="#0A0104"]{stroke:var(--s3)} svg [fill="#0A0104"]{fill:var(--s3)}
svg [stroke="#0A0105"]{stroke:var(--s4)} svg [fill="#0A0105"]{fill:var(--s4)}
svg [stroke="#0A0106"]{stroke:var(--s5)} svg [fill="#0A0106"]{fill:var(--s5)}
svg text{font-family:inherit}
"##;

/// Name of the page's variable with the colour of a series.
pub(super) fn series_variable(at: usize) -> String {
    format!("--s{}", at % SERIES.len())
}

/// One line of a picture: `(x, y)` in rising order of x.
pub(super) struct Line {
    pub points: Vec<(f64, f64)>,
}

/// Names of the axes.
pub(super) struct Axes {
    pub x: &'static str,
    pub y: &'static str,
}

fn drawing(e: impl std::fmt::Display) -> EvalError {
    EvalError::Drawing { reason: e.to_string() }
}

/// What a reader who sees no picture is told of it.
fn described(svg: String, words: &str) -> String {
    svg.replacen("<svg ", &format!("<svg role=\"img\" aria-label=\"{words}\" "), 1)
}

/// `0.001` as `1e-3`, `0.5` as `0.5`.
fn rate(v: &f64) -> String {
    if *v >= 0.01 { format!("{v}") } else { format!("{v:e}") }
}

/// Draws lines into a chart over any pair of axes.
fn lines_over<X, Y>(lines: &[Line], axes: &Axes, from: (f64, f64), x: X, y: Y, tick: Tick) -> Result<String, EvalError>
where
    X: AsRangedCoord<Value = f64>,
    Y: AsRangedCoord<Value = f64>,
    X::CoordDescType: ValueFormatter<f64>,
    Y::CoordDescType: ValueFormatter<f64>,
{
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        let mut chart = ChartBuilder::on(&area)
            .margin(12)
            .x_label_area_size(54)
            .y_label_area_size(68)
            .build_cartesian_2d(x, y)
            .map_err(drawing)?;
        chart
            .configure_mesh()
            .x_desc(axes.x)
            .y_desc(axes.y)
            .x_label_formatter(&tick.0)
            .y_label_formatter(&tick.1)
            .label_style(("sans-serif", 17).into_font().color(&INK))
            .axis_style(INK)
            .bold_line_style(GRID)
            .light_line_style(TRANSPARENT)
            .draw()
            .map_err(drawing)?;
        for (at, line) in lines.iter().enumerate() {
            let visible = line.points.iter().map(|&(x, y)| (x.max(from.0), y.max(from.1)));
            let style = SERIES[at % SERIES.len()].stroke_width(2);
            chart.draw_series(LineSeries::new(visible, style)).map_err(drawing)?;
        }
        area.present().map_err(drawing)?;
    }
    Ok(described(svg, &format!("{} over {}", axes.y, axes.x)))
}

/// Writes a tick of the x and of the y axis.
type Tick = (fn(&f64) -> String, fn(&f64) -> String);

fn two_digits(v: &f64) -> String {
    format!("{v:.2}")
}

fn four_digits(v: &f64) -> String {
    format!("{v:.4}")
}

/// Lines over a logarithmic x axis from `from` to 1, and a linear y axis from `floor` to 1.
pub(super) fn over_log(lines: &[Line], axes: &Axes, from: f64, floor: f64) -> Result<String, EvalError> {
    lines_over(lines, axes, (from, floor), (from..1.0).log_scale(), floor..1.0, (rate, two_digits))
}

/// Lines over two logarithmic axes, x from `from.0` and y from `from.1` to 1.
pub(super) fn log_log(lines: &[Line], axes: &Axes, from: (f64, f64)) -> Result<String, EvalError> {
    lines_over(lines, axes, from, (from.0..1.0).log_scale(), (from.1..1.0).log_scale(), (rate, rate))
}

/// Lines over two linear axes from 0 to 1.
pub(super) fn linear(lines: &[Line], axes: &Axes) -> Result<String, EvalError> {
    linear_to(lines, axes, (1.0, 1.0))
}

/// Lines over two linear axes from 0 to `to`.
pub(super) fn linear_to(lines: &[Line], axes: &Axes, to: (f64, f64)) -> Result<String, EvalError> {
    let y = if to.1 < 0.2 { four_digits } else { two_digits };
    lines_over(lines, axes, (0.0, 0.0), 0.0..to.0, 0.0..to.1, (two_digits, y))
}

/// Shares of genuine and of impostor pairs by distance, and a threshold, where there is one, as an upright line.
pub(super) fn histogram(counts: &Histogram, threshold: Option<f32>) -> Result<String, EvalError> {
    let mut svg = String::new();
    let shares = |columns: &[u64]| -> Vec<f64> {
        let all = columns.iter().sum::<u64>().max(1) as f64;
        columns.iter().map(|&n| n as f64 / all).collect()
    };
    let kinds = [shares(&counts.genuine), shares(&counts.impostor)];
    let top = kinds.iter().flatten().copied().fold(0.0, f64::max).max(1e-9) * 1.05;
    let (from, step) = (f64::from(counts.from), f64::from(counts.step));
    let to = from + step * counts.genuine.len() as f64;
    {
        let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        let mut chart = ChartBuilder::on(&area)
            .margin(12)
            .x_label_area_size(54)
            .y_label_area_size(68)
            .build_cartesian_2d(from..to, 0.0..top)
            .map_err(drawing)?;
        chart
            .configure_mesh()
            .x_desc("distance")
            .y_desc("share of pairs of the kind")
            .x_label_formatter(&|v| format!("{v:.2}"))
            .y_label_formatter(&|v| format!("{:.0}%", v * 100.0))
            .label_style(("sans-serif", 17).into_font().color(&INK))
            .axis_style(INK)
            .bold_line_style(GRID)
            .light_line_style(TRANSPARENT)
            .draw()
            .map_err(drawing)?;
        for (kind, mark) in kinds.iter().zip(SERIES) {
            let bars = kind.iter().enumerate().filter(|(_, share)| **share > 0.0).map(|(i, &share)| {
                let left = from + step * i as f64;
                Rectangle::new([(left, 0.0), (left + step, share)], mark.mix(0.55).filled())
            });
            chart.draw_series(bars).map_err(drawing)?;
        }
        if let Some(threshold) = threshold {
            let at = f64::from(threshold).clamp(from, to);
            chart.draw_series(LineSeries::new([(at, 0.0), (at, top)], INK.stroke_width(1))).map_err(drawing)?;
        }
        area.present().map_err(drawing)?;
    }
    Ok(described(svg, "genuine and impostor pairs by distance"))
}

/// The ROC of a curve of error rates: true match rate over false match rate.
pub(super) fn roc(curve: &[CurvePoint]) -> Line {
    Line { points: curve.iter().map(|p| (p.fmr, 1.0 - p.fnmr)).collect() }
}

/// The DET of a curve: false non-match rate over false match rate.
pub(super) fn det(curve: &[CurvePoint]) -> Line {
    Line { points: curve.iter().map(|p| (p.fmr, p.fnmr)).collect() }
}
