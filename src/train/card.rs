//! What a trained model is, in words, beside its weights.

use std::path::{Path, PathBuf};

use super::adapt::{AdaptOptions, AdaptReport};
use super::faces::FaceSet;
use super::options::{EpochReport, TrainOptions, written_epoch};
use crate::error::{Result, TrainError};
use crate::files::{self, Audience, spelled};
use crate::nn::weights::Imported;

/// What a card says.
#[derive(Debug, Clone)]
pub struct ModelCard<'a> {
    /// The network.
    pub network: &'a str,
    /// What was written.
    pub written: &'a Imported,
    /// What was trained on.
    pub faces: &'a FaceSet,
    /// What was measured on and not trained on.
    pub held_out: &'a FaceSet,
    /// Whose vectors were learnt, where a teacher's were.
    pub teacher: Option<&'a str>,
    /// Settings.
    pub options: &'a TrainOptions,
    /// Epochs.
    pub epochs: &'a [EpochReport],
    /// Weights that it began from, where it did.
    pub from: Option<&'a str>,
}

impl ModelCard<'_> {
    /// The card as Markdown.
    pub fn text(&self) -> String {
        let mut text = format!(
            "# {}\n\nA face recognition model of network `{}`, trained with kith {}.\n\n",
            spelled(self.written.path.file_stem().unwrap_or_default()),
            self.network,
            env!("CARGO_PKG_VERSION")
        );
        let (faces, people, single) = self.faces.paired();
        let trained_on = match (self.teacher, single) {
            (Some(_), _) => format!("{} faces, whoever is on them", self.faces.len()),
            (None, 0) => format!("{faces} faces of {people} people"),
            (None, _) => {
                format!("{faces} faces of {people} people; {single} more people have one face and were not shown")
            }
        };
        let measured_on = match (self.held_out.len(), self.held_out.people_count()) {
            (0, _) => "nothing: no faces were held out".to_string(),
            (faces, 1) => format!("{faces} other faces, whoever is on them"),
            (faces, people) => format!("{faces} faces of {people} other people"),
        };
        let rows = [
            ("weights, sha256", self.written.sha256.clone()),
            ("began from", self.from.unwrap_or("random weights").to_string()),
            ("learnt from", self.teacher.map_or("who is on each photo", |teacher| teacher).to_string()),
            ("trained on", trained_on),
            ("their sha256", self.faces.sha256()),
            ("measured on", measured_on),
            (
                "licence",
                "that of the model that it learnt from, where it did, and that of the photos it was trained on; whoever passes it on must know that these people agreed"
                    .to_string(),
            ),
        ];
        text += "| | |\n| --- | --- |\n";
        rows.iter().for_each(|(name, value)| text += &format!("| {name} | {value} |\n"));
        text += "\n## Epochs\n\n| epoch | loss | active triplets | TAR at FAR 0.01 | accuracy | AUC | likeness to the teacher |\n| --- | --- | --- | --- | --- | --- | --- |\n";
        let number = |value: Option<f64>| value.map_or("-".to_string(), |v| format!("{v:.4}"));
        for e in self.epochs {
            let v = e.validation.as_ref();
            text += &format!(
                "| {} | {:.4} | {} | {} | {} | {} | {} |\n",
                e.epoch,
                e.loss,
                number(e.active),
                number(v.and_then(|v| v.tar(1e-2))),
                number(v.map(|v| v.accuracy)),
                number(v.map(|v| v.auc)),
                number(e.agreement)
            );
        }
        if let Some(kept) = written_epoch(self.epochs, self.options) {
            text += &format!("\nThe weights are those of epoch {}.\n", kept.epoch);
        }
        text += "\nRates are over all pairs of the faces measured on; thresholds are chosen on the same pairs. It has no calibration: \
                 run `kith calibrate` before verdicts are asked of it.\n";
        let settings = toml::to_string(self.options).unwrap_or_default();
        text + &format!("\n## Settings\n\n```toml\n{settings}```\n")
    }

    /// Writes the card beside the weights; returns where.
    ///
    /// # Errors
    /// [`TrainError::Checkpoint`] where it cannot be written.
    pub fn write(&self) -> Result<PathBuf> {
        beside(&self.written.path, &self.text())
    }
}

/// What the card of an adapted model says.
#[derive(Debug, Clone)]
pub struct AdaptedCard<'a> {
    /// What was written.
    pub written: &'a Imported,
    /// The model that it is for.
    pub base: &'a str,
    /// What it was measured to gain.
    pub report: &'a AdaptReport,
    /// How it was fitted.
    pub options: &'a AdaptOptions,
}

impl AdaptedCard<'_> {
    /// The card as Markdown.
    pub fn text(&self) -> String {
        let (r, name) = (self.report, spelled(self.written.path.file_stem().unwrap_or_default()));
        let rows = [
            ("weights, sha256", self.written.sha256.clone()),
            ("model", format!("{}, with a projection behind it", self.base)),
            ("fitted by", self.options.method.to_string()),
            ("fitted to", format!("{} faces of {} people; {} more people have one face", r.faces, r.people, r.single)),
            ("measured on", format!("{} genuine and {} impostor pairs of people not fitted to", r.genuine, r.impostor)),
            ("true accept rate before", format!("{:.4} at a false accept rate of {}", r.before, r.far)),
            ("true accept rate after", format!("{:.4}", r.after)),
            ("gain", format!("{:+.4}, standard error {:.4}", r.gain(), r.error)),
            ("folds, seed", format!("{}, {}", self.options.folds, self.options.seed)),
            ("licence", format!("that of {}; the projection was learnt from the faces enrolled", self.base)),
        ];
        let head = format!("# {name}\n\nA model adapted with kith {}.\n\n", env!("CARGO_PKG_VERSION"));
        let rows = rows.iter().map(|(name, value)| format!("| {name} | {value} |\n"));
        let rows = rows.collect::<String>();
        format!(
            "{head}| | |\n| --- | --- |\n{rows}\nIt has no calibration: run `kith calibrate` before verdicts are asked of it.\n"
        )
    }

    /// As [`ModelCard::write`].
    ///
    /// # Errors
    /// As [`ModelCard::write`].
    pub fn write(&self) -> Result<PathBuf> {
        beside(&self.written.path, &self.text())
    }
}

fn beside(weights: &Path, text: &str) -> Result<PathBuf> {
    let path = weights.with_extension("card.md");
    files::write_whole(&path, text.as_bytes(), Audience::Umask)
        .map_err(|e| TrainError::Checkpoint { path: spelled(&path), reason: e.to_string() })?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_card_says_which_epoch_s_weights_were_written() {
        let written = Imported {
            path: "mine.safetensors".into(),
            architecture: "tiny".to_string(),
            tensors: 1,
            size: 1,
            sha256: "0123abc".to_string(),
        };
        let epoch = |epoch, agreement| EpochReport { epoch, loss: 1.0, active: None, validation: None, agreement };
        let faces = FaceSet::default();
        let text = |scores: [Option<f64>; 4], patience| {
            let epochs: Vec<_> = (1..).zip(scores).map(|(number, score)| epoch(number, score)).collect();
            let options = TrainOptions { patience, ..TrainOptions::default() };
            let card = ModelCard {
                network: "tiny",
                written: &written,
                faces: &faces,
                held_out: &faces,
                teacher: None,
                options: &options,
                epochs: &epochs,
                from: None,
            };
            card.text()
        };
        let scores = [Some(0.5), Some(0.9), Some(0.9), Some(0.7)];
        assert!(text(scores, Some(2)).contains("those of epoch 2."), "the first of the best");
        assert!(text(scores, None).contains("those of epoch 4."), "the last without patience");
        assert!(text([None; 4], Some(2)).contains("those of epoch 4."), "nothing was measured");
    }

    #[test]
    fn the_card_of_an_adapted_model_says_what_was_measured_and_stands_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("door.safetensors");
        let written = Imported {
            path: path.clone(),
            architecture: "adapted-sface".to_string(),
            tensors: 42,
            size: 1,
            sha256: "0123abc".to_string(),
        };
        let report = AdaptReport {
            people: 136,
            faces: 503,
            single: 4,
            genuine: 730,
            impostor: 24_038,
            far: 0.01,
            before: 0.7589,
            after: 0.789,
            error: 0.0133,
            shrinkage: 0.2,
        };
        let options = AdaptOptions { seed: 7, ..AdaptOptions::default() };
        let card = AdaptedCard { written: &written, base: "sface", report: &report, options: &options };
        let place = card.write().unwrap();
        assert_eq!(place, folder.path().join("door.card.md"));
        let text = std::fs::read_to_string(&place).unwrap();
        let rows = [
            "# door",
            "| weights, sha256 | 0123abc |",
            "| model | sface, with a projection behind it |",
            "| fitted by | lda |",
            "| fitted to | 503 faces of 136 people; 4 more people have one face |",
            "| measured on | 730 genuine and 24038 impostor pairs of people not fitted to |",
            "| true accept rate before | 0.7589 at a false accept rate of 0.01 |",
            "| true accept rate after | 0.7890 |",
            "| gain | +0.0301, standard error 0.0133 |",
            "| folds, seed | 5, 7 |",
            "| licence | that of sface;",
            "no calibration",
        ];
        rows.iter().for_each(|row| assert!(text.contains(row), "{row} is not in {text}"));
        // A worse one is said with its sign, and a card that cannot be written is no card.
        let worse = AdaptReport { after: 0.75, ..report };
        let card = AdaptedCard { report: &worse, ..card };
        assert!(card.text().contains("| gain | -0.0089"), "{}", card.text());
        std::fs::remove_file(&place).unwrap();
        std::fs::create_dir(&place).unwrap();
        let error = card.write().unwrap_err().to_string();
        assert!(error.contains("door.card.md"), "{error}");
    }
}
