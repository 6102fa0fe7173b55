//! `kith embed`

use std::path::{Path, PathBuf};

use npyz::WriterBuilder;
use serde_json::Value;

use super::args::common::Common;
use super::args::photos::Embed;
use super::codes::{DONE, FAILED};
use super::output;
use super::targets::spare;
use crate::error::RefusalError;
use crate::files::{Audience, spelled, write_whole};
use crate::json::json;
use crate::media::Limits;
use crate::{Engine, Error, Face, FaceChoice, Photo};

pub(super) fn run(common: &Common, command: &Embed) -> anyhow::Result<u8> {
    let ending = command.output.as_ref().map(|p| p.extension().and_then(|e| e.to_str()).unwrap_or_default());
    if ending.is_some_and(|e| e != "npy" && e != "json") {
        anyhow::bail!("the output's name must end in .npy or .json");
    }
    let read: Vec<_> = command.images.iter().collect();
    command.output.as_ref().map_or(Ok(()), |target| spare(target, &read, false))?;
    let engine = common.engine()?;
    let limits = common.limits();
    let bar = output::bar(common, command.images.len(), "embedding");
    let answers = engine.of_each(&command.images, |path| {
        let answer = one(&engine, &limits, path, command.largest);
        bar.inc(1);
        answer
    });
    bar.finish_and_clear();

    let mut rows = Vec::new();
    let mut failed = false;
    for (path, answer) in command.images.iter().zip(&answers) {
        match answer {
            Ok(faces) => rows.extend(faces.iter().enumerate().map(|(i, f)| (path, i, f))),
            Err(e) => {
                failed = true;
                output::complain(e);
            }
        }
    }
    match (&command.output, ending) {
        (Some(path), Some("npy")) => write_npy(path, engine.dimension(), &rows)?,
        (Some(path), _) => {
            let text = serde_json::to_string_pretty(&object(&engine, &rows))?;
            write_whole(path, text.as_bytes(), Audience::Umask)
                .map_err(|e| anyhow::anyhow!("{}: {e}", spelled(path)))?;
        }
        (None, _) => {}
    }
    if common.json {
        output::json(&object(&engine, &rows))?;
    } else {
        for (row, (path, face, f)) in rows.iter().enumerate() {
            let b = f.bbox;
            output::line(&format!(
                "{row}: {} face {} at {:.0},{:.0} to {:.0},{:.0}",
                spelled(path),
                face + 1,
                b.x0,
                b.y0,
                b.x1,
                b.y1
            ));
        }
        match &command.output {
            Some(path) => output::line(&format!("{} vectors of {}: {}", rows.len(), engine.model(), spelled(path))),
            None => output::line(&format!("{} vectors of {}; -o FILE.npy keeps them", rows.len(), engine.model())),
        }
    }
    Ok(if failed { FAILED } else { DONE })
}

fn one(engine: &Engine, limits: &Limits, path: &Path, largest: bool) -> Result<Vec<Face>, Error> {
    let photo = Photo::open_with(path, limits)?;
    if largest {
        return Ok(vec![engine.one_face(&photo, FaceChoice::Largest)?]);
    }
    match engine.faces(&photo)? {
        // Nothing to keep of a photo is news to a script that asked for its vectors.
        none if none.is_empty() => Err(RefusalError::NoFace { photo: photo.origin().to_string() }.into()),
        faces => Ok(faces),
    }
}

type Row<'a> = (&'a PathBuf, usize, &'a Face);

fn object(engine: &Engine, rows: &[Row]) -> Value {
    let faces = rows.iter().map(|(path, face, f)| {
        json!({
            "photo": spelled(path), "face": face, "box": f.bbox, "score": f.score, "landmarks": f.landmarks,
            "turned": f.turned,
            "embedding": f.embedding.values(),
        })
    });
    json!({
        "model": engine.model(),
        "precision": engine.precision(),
        "dimension": engine.dimension(),
        "faces": faces.collect::<Vec<_>>(),
    })
}

/// One row a face, `[faces, dimension]`, 32-bit floats.
fn write_npy(path: &Path, dimension: usize, rows: &[Row]) -> anyhow::Result<()> {
    let write = || -> std::io::Result<()> {
        let mut bytes = Vec::new();
        let shape = [rows.len() as u64, dimension as u64];
        let mut npy = npyz::WriteOptions::new().default_dtype().shape(&shape).writer(&mut bytes).begin_nd()?;
        for (_, _, face) in rows {
            npy.extend(face.embedding.values().iter().copied())?;
        }
        npy.finish()?;
        write_whole(path, &bytes, Audience::Umask)
    };
    write().map_err(|e| anyhow::anyhow!("{}: {e}", spelled(path)))
}
