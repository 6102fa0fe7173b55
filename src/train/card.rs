//! What a trained model is, in words, beside its weights.

use std::path::{Path, PathBuf};

use super::options::{EpochReport, TrainOptions};
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
    /// sha256 of the faces, their number, and the number of people.
    pub faces: (String, usize, usize),
    /// Faces and people that were measured on and not trained on.
    pub held_out: (usize, usize),
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
        let rows = [
            ("weights, sha256", self.written.sha256.clone()),
            ("began from", self.from.unwrap_or("random weights").to_string()),
            ("trained on", format!("{} faces of {} people", self.faces.1, self.faces.2)),
            ("their sha256", self.faces.0.clone()),
            ("measured on", format!("{} faces of {} other people", self.held_out.0, self.held_out.1)),
            (
                "licence",
                "that of the photos it was trained on; whoever passes it on must know that these people agreed"
                    .to_string(),
            ),
        ];
        text += "| | |\n| --- | --- |\n";
        rows.iter().for_each(|(name, value)| text += &format!("| {name} | {value} |\n"));
        text += "\n## Epochs\n\n| epoch | loss | active triplets | TAR at FAR 0.01 | accuracy | AUC |\n| --- | --- | --- | --- | --- | --- |\n";
        let number = |value: Option<f64>| value.map_or("-".to_string(), |v| format!("{v:.4}"));
        for e in self.epochs {
            let v = e.validation.as_ref();
            text += &format!(
                "| {} | {:.4} | {} | {} | {} | {} |\n",
                e.epoch + 1,
                e.loss,
                number(e.active),
                number(v.and_then(|v| v.tar(1e-2))),
                number(v.map(|v| v.accuracy)),
                number(v.map(|v| v.auc))
            );
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
        let path: &Path = &self.written.path.with_extension("card.md");
        files::write_whole(path, self.text().as_bytes(), Audience::Umask)
            .map_err(|e| TrainError::Checkpoint { path: spelled(path), reason: e.to_string() })?;
        Ok(path.to_path_buf())
    }
}
