//! `kith compare`

use std::path::PathBuf;
use std::time::Instant;

use super::args::common::{Common, open_both};
use super::args::photos::Compare;
use super::codes::{DIFFERENT, DONE, FAILED};
use super::targets::spare;
use super::{notes, output};
use crate::files::spelled;
use crate::json::{json, shortened};
use crate::media::{save, save_like_opencv};
use crate::pipeline::milliseconds;
use crate::{Comparison, ComparisonOutcome, ComparisonTimes, Decision, draw_seed};

/// The picture's name where the first version's layout is asked for without one.
const SEED_OUTPUT: &str = "output_comparison.jpg";

pub(super) fn run(common: &Common, command: &Compare) -> anyhow::Result<u8> {
    let start = Instant::now();
    let mut times = ComparisonTimes::default();
    let builder = common.builder()?;
    // Loading the networks and decoding the photos need nothing of each other.
    let (engine, photos) = rayon::join(
        || {
            let engine = builder.build();
            (engine, milliseconds(start.elapsed()))
        },
        || {
            let photos = open_both(common, &command.a, &command.b);
            (photos, milliseconds(start.elapsed()))
        },
    );
    (times.load_ms, times.decode_ms) = (engine.1, photos.1);
    let (a, b) = photos.0?;
    let engine = engine.0?;

    let compared = Instant::now();
    let comparison = engine.compare(&a, &b, command.line.question(command.count.selection(false)))?;
    times.compare_ms = milliseconds(compared.elapsed());

    let target = command.output.clone().or_else(|| command.seed_layout.then(|| PathBuf::from(SEED_OUTPUT)));
    target.as_ref().map_or(Ok(()), |target| spare(target, &[&command.a, &command.b], true))?;
    if let Some(path) = &target {
        let drawn = Instant::now();
        let picture = if command.seed_layout { draw_seed(&engine, &a, &b)? } else { engine.draw(&a, &b, &comparison) };
        times.draw_ms = milliseconds(drawn.elapsed());
        let written = Instant::now();
        let save = if command.seed_layout { save_like_opencv } else { save };
        save(&picture, path).map_err(crate::Error::from)?;
        times.write_ms = milliseconds(written.elapsed());
    }
    times.total_ms = milliseconds(start.elapsed());
    print(common, &comparison, &times, target.as_ref(), &engine)?;
    Ok(match &comparison.outcome {
        ComparisonOutcome::Decided(v) if v.decision == Decision::Same => DONE,
        ComparisonOutcome::Decided(_) => DIFFERENT,
        ComparisonOutcome::Undecided(refusal) => {
            output::complain(refusal);
            FAILED
        }
    })
}

fn print(
    common: &Common,
    comparison: &Comparison,
    times: &ComparisonTimes,
    picture: Option<&PathBuf>,
    engine: &crate::Engine,
) -> anyhow::Result<()> {
    if common.json {
        let mut object = shortened(serde_json::to_value(comparison)?);
        object["picture"] = json!(picture.map(spelled));
        object["model"] = json!(engine.model());
        object["detector"] = json!(engine.detector());
        object["device"] = json!(engine.device());
        object["precision"] = json!(engine.precision());
        object["times"] = serde_json::to_value(times)?;
        return output::json(&object);
    }
    let [verdict, evidence] = comparison.caption();
    output::line(&verdict);
    if comparison.verdict().is_some() {
        output::line(&evidence);
    }
    for (which, side) in [("first", &comparison.left), ("second", &comparison.right)] {
        notes::passed_over(which, &side.passed_over);
    }
    if let Some([left, right]) = comparison.nearest() {
        notes::face("first", &left);
        notes::face("second", &right);
    }
    let faces = (comparison.left.faces.len(), comparison.right.faces.len());
    if faces != (1, 1) {
        output::line(&format!("faces: {} in the first photo, {} in the second", faces.0, faces.1));
    }
    if let Some(path) = picture {
        output::line(&format!("picture: {}", spelled(path)));
    }
    Ok(())
}
