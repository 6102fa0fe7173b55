//! `kith detect`

use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::args::{Common, Detect};
use super::{DONE, FAILED, output};
use crate::files::spelled;
use crate::json::json;
use crate::media::{draw_box, draw_disc, draw_label, save};
use crate::{Detection, Engine, Error, Photo};

const MARK: [u8; 3] = [64, 220, 120];
const PLATE: [u8; 3] = [16, 17, 20];

pub(super) fn run(common: &Common, command: &Detect) -> anyhow::Result<u8> {
    let engine = common.engine()?;
    if let Some(folder) = &command.output {
        std::fs::create_dir_all(folder).map_err(|e| anyhow::anyhow!("{}: {e}", spelled(folder)))?;
    }
    let bar = output::bar(common, command.images.len(), "detecting");
    let found: Vec<_> = command
        .images
        .par_iter()
        .map(|path| {
            let answer = one(&engine, common, path, command.output.as_deref());
            bar.inc(1);
            answer
        })
        .collect();
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
            Err(e) => eprintln!("kith: {e}"),
            Ok(_) if common.json => {}
            Ok((_, faces)) => {
                output::line(&format!(
                    "{}: {} face{}",
                    spelled(path),
                    faces.len(),
                    if faces.len() == 1 { "" } else { "s" }
                ));
                for f in faces {
                    let b = f.bbox;
                    output::line(&format!(
                        "  {:.0},{:.0} to {:.0},{:.0}  score {:.4}",
                        b.x0, b.y0, b.x1, b.y1, f.score
                    ));
                }
            }
        }
    }
    Ok(if failed { FAILED } else { DONE })
}

type Found = ((u32, u32), Vec<Detection>);

fn one(engine: &Engine, common: &Common, path: &Path, folder: Option<&Path>) -> Result<Found, Error> {
    let photo = Photo::open_with(path, &common.limits())?;
    let faces = engine.detect(&photo)?;
    if let Some(folder) = folder {
        write_pictures(engine, &photo, &faces, path, folder)?;
    }
    Ok(((photo.width(), photo.height()), faces))
}

/// The photo with its faces marked as `NAME.faces.png`, and each chip as `NAME.face1.png` and so on.
fn write_pictures(
    engine: &Engine,
    photo: &Photo,
    faces: &[Detection],
    path: &Path,
    folder: &Path,
) -> Result<(), Error> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let target = |what: String| -> PathBuf { folder.join(format!("{name}.{what}.png")) };
    let mut marked = photo.raster().clone();
    let line = (photo.width().max(photo.height()) / 400).max(2);
    for (i, f) in faces.iter().enumerate() {
        let b = f.bbox;
        draw_box(&mut marked, b.x0, b.y0, b.x1, b.y1, line, MARK);
        for [x, y] in f.landmarks.0 {
            draw_disc(&mut marked, x, y, line as f32, MARK);
        }
        let text = format!("{}: {:.3}", i + 1, f.score);
        draw_label(&mut marked, b.x0, b.y1 + 3.0, 12.0 + 2.0 * line as f32, &text, MARK, PLATE);
    }
    save(&marked, target("faces".to_string()))?;
    for (i, chip) in engine.chips(photo, faces)?.iter().enumerate() {
        save(chip, target(format!("face{}", i + 1)))?;
    }
    Ok(())
}
