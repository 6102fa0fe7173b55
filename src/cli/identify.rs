//! `kith identify`

use std::path::{Path, PathBuf};

use super::args::common::Common;
use super::args::people::Identify;
use super::codes::{DIFFERENT, DONE, FAILED};
use super::output;
use super::targets::{distinct_names, spare};
use crate::files::spelled;
use crate::json::json;
use crate::media::save;
use crate::verify::percent_text;
use crate::{Database, Engine, Error, IdentifiedFace, Photo, SearchPolicy};

pub(super) fn run(common: &Common, command: &Identify) -> anyhow::Result<u8> {
    let database = command.place.open(false)?;
    let engine = common.engine_for(&database, &command.place.gallery)?;
    command.way.prepare(common, &database, &command.place.gallery)?;
    let policy = command.policy();
    let several = command.images.len() > 1;
    if let (Some(target), [photo]) = (&command.output, command.images.as_slice()) {
        spare(target, &[photo], true)?;
    }
    if let Some(folder) = command.output.as_ref().filter(|_| several) {
        std::fs::create_dir_all(folder).map_err(|e| anyhow::anyhow!("{}: {e}", spelled(folder)))?;
    }
    let bar = output::bar(common, command.images.len(), "identifying");
    let named: Vec<_> = command.images.iter().zip(distinct_names(&command.images)).collect();
    let answers: Vec<Result<Vec<IdentifiedFace>, Error>> = engine.of_each(&named, |(path, name)| {
        let target = command.output.as_ref().map(|out| target(out, name, several));
        let answer = one(&engine, &database, common, command, &policy, path, target.as_deref());
        bar.inc(1);
        answer
    });
    bar.finish_and_clear();

    if common.json {
        let photos = command.images.iter().zip(&answers).map(|(path, answer)| match answer {
            Ok(faces) => json!({ "photo": spelled(path), "faces": faces }),
            Err(e) => json!({ "photo": spelled(path), "error": { "code": e.code(), "message": e.to_string() } }),
        });
        let gallery = &command.place.gallery;
        let model = engine.model();
        output::json(&json!({ "gallery": gallery, "model": model, "photos": photos.collect::<Vec<_>>() }))?;
    }
    let (mut unknown, mut failed) = (false, false);
    for (path, answer) in command.images.iter().zip(&answers) {
        match answer {
            Err(e) => {
                failed = true;
                output::complain(e);
            }
            Ok(faces) => {
                failed |= faces.is_empty();
                unknown |= faces.iter().any(|f| f.answer.name.is_none());
                if faces.is_empty() {
                    eprintln!("kith: {}: no face found", spelled(path));
                } else if !common.json {
                    print(path, faces);
                }
            }
        }
    }
    Ok(match (failed, unknown) {
        (true, _) => FAILED,
        (false, true) => DIFFERENT,
        (false, false) => DONE,
    })
}

fn one(
    engine: &Engine,
    database: &Database,
    common: &Common,
    command: &Identify,
    policy: &SearchPolicy,
    path: &Path,
    target: Option<&Path>,
) -> Result<Vec<IdentifiedFace>, Error> {
    let photo = Photo::open_with(path, &common.limits())?;
    let faces = engine.identify(database, &command.place.gallery, &photo, policy)?;
    if let Some(target) = target {
        save(&engine.draw_names(&photo, &faces), target)?;
    }
    Ok(faces)
}

/// Where the picture of a photo goes that has this name among the others.
fn target(output: &Path, name: &str, several: bool) -> PathBuf {
    if !several {
        return output.to_path_buf();
    }
    output.join(format!("{name}.names.png"))
}

fn print(path: &Path, faces: &[IdentifiedFace]) {
    output::line(&format!("{}: {} face{}", spelled(path), faces.len(), if faces.len() == 1 { "" } else { "s" }));
    for f in faces {
        let (b, a) = (f.bbox, &f.answer);
        let who = a.name.as_deref().map_or_else(|| "unknown".to_string(), Database::name_shown);
        output::line(&format!("  {:>2}  {:.0},{:.0} to {:.0},{:.0}  {who}", f.number, b.x0, b.y0, b.x1, b.y1));
        for c in &a.candidates {
            let mark = if c.within { "" } else { "  (too far)" };
            let alike = c.similarity.map_or_else(String::new, |percent| format!("{:>6}  ", percent_text(percent, 1)));
            output::line(&format!("    {alike}distance {:.4}  {}{mark}", c.distance, Database::name_shown(&c.name)));
        }
    }
    if let Some(first) = faces.first() {
        let a = &first.answer;
        let t = a.threshold;
        output::line(&match t.max_fpir {
            None => format!("  threshold {:.4}, {} faces searched", t.distance, a.searched),
            Some(share) => format!(
                "  threshold {:.4}: at most {} of strangers taken for one of {} faces searched{}",
                t.distance,
                percent(share),
                a.searched,
                if t.extrapolated { "; beyond what the calibration measured" } else { "" }
            ),
        });
    }
}

fn percent(rate: f64) -> String {
    // So strict a bound must not be read as none at all.
    if rate < 1e-8 { format!("{:.1e}%", rate * 100.0) } else { format!("{}%", (rate * 1e8).round() / 1e6) }
}
