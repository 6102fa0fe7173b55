//! `kith detect`

use std::path::{Path, PathBuf};

use super::args::common::Common;
use super::args::photos::Detect;
use super::codes::{DONE, FAILED};
use super::output;
use super::targets::distinct_names;
use crate::files::spelled;
use crate::json::json;
use crate::media::save;
use crate::{Detection, Engine, Error, Photo};

pub(super) fn run(common: &Common, command: &Detect) -> anyhow::Result<u8> {
    let engine = common.engine()?;
    if let Some(folder) = &command.output {
        std::fs::create_dir_all(folder).map_err(|e| anyhow::anyhow!("{}: {e}", spelled(folder)))?;
    }
    let bar = output::bar(common, command.images.len(), "detecting");
    let named: Vec<_> = command.images.iter().zip(distinct_names(&command.images)).collect();
    let found = engine.of_each(&named, |(path, name)| {
        let target = command.output.as_deref().map(|folder| folder.join(name));
        let answer = one(&engine, common, path, target.as_deref());
        bar.inc(1);
        answer
    });
    bar.finish_and_clear();
    let failed = found.iter().any(Result::is_err);
    if common.json {
        let photos = command.images.iter().zip(&found).map(|(path, answer)| match answer {
            Ok((photo, faces)) => json!({
                "photo": spelled(path), "width": photo.0, "height": photo.1, "faces": faces,
            }),
            Err(e) => json!({ "photo": spelled(path), "error": { "code": e.code(), "message": e.to_string() } }),
        });
        output::json(&json!({ "detector": engine.detector(), "photos": photos.collect::<Vec<_>>() }))?;
    }
    for (path, answer) in command.images.iter().zip(&found) {
        match answer {
            Err(e) => output::complain(e),
            Ok(_) if common.json => {}
            Ok((_, faces)) => {
                output::line(&format!(
                    "{}: {} face{}",
                    spelled(path),
                    faces.len(),
                    if faces.len() == 1 { "" } else { "s" }
                ));
                for (i, f) in faces.iter().enumerate() {
                    let b = f.bbox;
                    let turned = match f.turned {
                        0 => String::new(),
                        degrees => format!("  (photo turned by {degrees} degrees)"),
                    };
                    output::line(&format!(
                        "  {:>2}  {:.0},{:.0} to {:.0},{:.0}  score {:.4}{turned}",
                        i + 1,
                        b.x0,
                        b.y0,
                        b.x1,
                        b.y1,
                        f.score
                    ));
                }
            }
        }
    }
    Ok(if failed { FAILED } else { DONE })
}

type Found = ((u32, u32), Vec<Detection>);

fn one(engine: &Engine, common: &Common, path: &Path, target: Option<&Path>) -> Result<Found, Error> {
    let photo = Photo::open_with(path, &common.limits())?;
    let faces = engine.detect(&photo)?;
    if let Some(target) = target {
        write_pictures(engine, &photo, &faces, target)?;
    }
    Ok(((photo.width(), photo.height()), faces))
}

/// The photo with its faces marked as `TARGET.faces.png`, and each chip as `TARGET.face1.png` and so on.
fn write_pictures(engine: &Engine, photo: &Photo, faces: &[Detection], target: &Path) -> Result<(), Error> {
    let target = |what: String| -> PathBuf {
        let mut name = target.as_os_str().to_os_string();
        name.push(format!(".{what}.png"));
        name.into()
    };
    save(&engine.draw_found(photo, faces), target("faces".to_string()))?;
    for (i, chip) in engine.chips(photo, faces)?.iter().enumerate() {
        save(chip, target(format!("face{}", i + 1)))?;
    }
    Ok(())
}
