//! What can be said on the command line.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Args as Group, Parser, Subcommand, ValueEnum};

use super::gallery_args::{BackupArgs, Check, Enroll, Forget, Identify, People, Place, RestoreArgs};
use super::numbers::{rate, within};
use super::store_args::{ExportArgs, ImportArgs, KeyArgs, Reembed, Rekey};
use crate::files::spelled;
use crate::nn::weights::Precision;
use crate::nn::{DeviceChoice, PrecisionChoice};
use crate::{
    Calibration, Engine, EngineBuilder, FaceChoice, Limits, MtcnnOptions, Policy, Question, Result, Selection,
    YunetOptions,
};

/// kith: who is this face?
#[derive(Debug, Parser)]
#[command(version, about, max_term_width = 100)]
#[command(
    after_help = "Exit codes: 0 done, or the same person; 1 different people, or nobody known; 2 could not decide, or failed."
)]
pub(super) struct Args {
    #[command(subcommand)]
    pub command: Command,
    #[command(flatten)]
    pub common: Common,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Say how alike the faces in two photos are, and draw it
    Compare(Compare),
    /// Say whether two photos show the same person
    Verify(Verify),
    /// Find faces: boxes, landmarks, scores
    Detect(Detect),
    /// Turn faces into vectors
    Embed(Embed),
    /// Measure a model's error rates on labelled photos and write its calibration record
    Calibrate(Calibrate),
    /// Measure accuracy and error rates on labelled photos, and report them
    Eval(super::eval_args::Eval),
    /// Train a model on your own photos
    Train(super::eval_args::Train),
    /// Remember faces under a name
    Enroll(Enroll),
    /// Say who is in a photo
    Identify(Identify),
    /// List the people of a gallery, or show, rename, merge and label them
    People(People),
    /// Forget a person, or one face
    Forget(Forget),
    /// Keep a photo library: add folders, list, find what is saved twice
    Library(super::library_args::LibraryArgs),
    /// Group the library's faces into people; name and correct the groups
    Cluster(super::library_args::Cluster),
    /// Find somebody's photos in the library
    Find(super::library_args::Find),
    /// Say what a database holds
    Stats(Place),
    /// Check every record of a database, or repair it
    Check(Check),
    /// Make the index of a gallery anew
    Reindex(super::index_args::Reindex),
    /// Write a whole database into one file
    Backup(BackupArgs),
    /// Make a database out of a backup
    Restore(RestoreArgs),
    /// Write a gallery as JSON lines and .npy, for other programs
    Export(ExportArgs),
    /// Enrol what `kith export` wrote
    Import(ImportArgs),
    /// Embed a gallery's faces with another --model, from kept chips or from their photos
    Reembed(Reembed),
    /// Make a key for an encrypted database
    Key(KeyArgs),
    /// Give a database another key, encrypt it, or make it plain
    Rekey(Rekey),
    /// List, check, import and download weights
    Weights(Weights),
    /// Answer over HTTP: the face service
    #[cfg(feature = "serve")]
    Serve(super::serve_args::Serve),
    /// Check what the service would be started with, and say where each value comes from
    #[cfg(feature = "serve")]
    Config(super::serve_args::ConfigArgs),
    /// Make, list and revoke the service's API keys
    #[cfg(feature = "serve")]
    Keys(super::serve_args::KeysArgs),
    /// Verify or show the service's audit log
    #[cfg(feature = "serve")]
    Audit(super::serve_args::AuditArgs),
}

#[derive(Debug, Group)]
pub(super) struct Common {
    /// Print the answer as JSON
    #[arg(long, global = true)]
    pub json: bool,
    /// Say nothing but the answer: no progress
    #[arg(long, short, global = true)]
    pub quiet: bool,
    /// Where the networks run: auto, cpu, cuda, cuda:N or metal
    #[arg(long, global = true, default_value = "auto", value_name = "DEVICE")]
    pub device: DeviceChoice,
    /// In which precision the networks are computed: f32, int16 (the embedder quantised to int16: faster), f16 (the
    /// embedder and YuNet in binary16, on processors with AVX-512 FP16: faster still), or auto (the first of f16 and
    /// int16 that this processor has and that moves a face by less than a cosine of 0.0005). When not said, auto in the
    /// fast profile; f32 in the accurate one and for calibrate
    #[arg(long, global = true, value_name = "NUMBERS")]
    pub precision: Option<PrecisionChoice>,
    /// Which pair of networks: accurate is mtcnn and dlib-resnet, fast is yunet-n and mobilefacenet
    #[arg(long, global = true, value_enum, default_value = "accurate")]
    pub profile: Profile,
    /// Detector in place of the profile's: a name from `kith weights list`, or of weights that you imported
    #[arg(long, global = true, value_name = "NAME")]
    pub detector: Option<String>,
    /// Embedder in place of the profile's: likewise
    #[arg(long, global = true, value_name = "NAME")]
    pub model: Option<String>,
    /// A folder to look for weights in first
    #[arg(long, global = true, value_name = "FOLDER")]
    pub weights: Option<PathBuf>,
    /// A calibration record to use in place of the shipped one
    #[arg(long, global = true, value_name = "FILE")]
    pub calibration: Option<PathBuf>,
    /// Smallest face to look for, in pixels
    #[arg(long, global = true, default_value_t = 20, value_name = "PIXELS")]
    pub min_face: u32,
    /// Look at photos whose longer side is longer as if it were this long: faster, and small faces are
    /// passed over. When not said, mtcnn takes photos as they are, and yunet 1280
    #[arg(long, global = true, value_name = "PIXELS")]
    pub max_side: Option<u32>,
    /// Refuse photos of more megapixels
    #[arg(long, global = true, default_value_t = 100.0, value_name = "N", value_parser = within(1e-6, 1e6))]
    pub max_megapixels: f64,
    /// Processor threads; all cores when not said
    #[arg(long, global = true, value_name = "N",
        value_parser = within(NonZeroUsize::MIN, NonZeroUsize::MIN.saturating_add(1023)))]
    pub threads: Option<NonZeroUsize>,
}

/// A detector and an embedder that go together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Profile {
    /// The networks that are built in
    Accurate,
    /// Several times faster; the weights are to be pulled or imported first
    Fast,
}

impl Profile {
    fn detector(self) -> &'static str {
        match self {
            Self::Accurate => "mtcnn",
            Self::Fast => "yunet-n",
        }
    }

    fn model(self) -> &'static str {
        match self {
            Self::Accurate => "dlib-resnet",
            Self::Fast => "mobilefacenet",
        }
    }

    /// Who asks for the fast pair takes what is fast on the processor, too; the accurate one computes as its error
    /// rates were measured.
    fn precision(self) -> PrecisionChoice {
        match self {
            Self::Accurate => PrecisionChoice::F32,
            Self::Fast => PrecisionChoice::Auto,
        }
    }
}

impl Common {
    pub(super) fn limits(&self) -> Limits {
        Limits { max_pixels: (self.max_megapixels * 1e6) as u64, ..Limits::default() }
    }

    /// The embedder that was asked for.
    pub(super) fn model_name(&self) -> &str {
        self.model.as_deref().unwrap_or(self.profile.model())
    }

    pub(super) fn builder(&self) -> anyhow::Result<EngineBuilder> {
        self.builder_in(self.precision.unwrap_or(self.profile.precision()))
    }

    fn builder_in(&self, precision: PrecisionChoice) -> anyhow::Result<EngineBuilder> {
        let mtcnn = MtcnnOptions { min_face: self.min_face, max_side: self.max_side, ..MtcnnOptions::default() };
        let mut yunet = YunetOptions { min_face: self.min_face, ..YunetOptions::default() };
        yunet.max_side = self.max_side.unwrap_or(yunet.max_side);
        let detector = self.detector.as_deref().unwrap_or(self.profile.detector());
        let builder =
            Engine::builder().device(self.device).precision(precision).detector(detector).model(self.model_name());
        let mut builder = builder.detection(mtcnn).yunet(yunet);
        if let Some(folder) = &self.weights {
            builder = builder.weights(folder);
        }
        if let Some(record) = self.calibration_record()? {
            builder = builder.calibration(record);
        }
        Ok(builder)
    }

    /// The record of --calibration.
    pub(super) fn calibration_record(&self) -> anyhow::Result<Option<Calibration>> {
        let Some(path) = &self.calibration else { return Ok(None) };
        let text = std::fs::read_to_string(path).map_err(|e| anyhow::anyhow!("{}: {e}", spelled(path)))?;
        let record = Calibration::parse(&text);
        let record = record.map_err(|e| anyhow::anyhow!("{}: not a calibration record: {e}", spelled(path)))?;
        Ok(Some(record))
    }

    pub(super) fn engine(&self) -> anyhow::Result<Engine> {
        Ok(self.builder()?.build()?)
    }

    /// For a calibration record, which other machines use, too: in f32 in every profile when nothing is said.
    pub(super) fn measuring_engine(&self) -> anyhow::Result<Engine> {
        Ok(self.builder_in(self.precision.unwrap_or(PrecisionChoice::F32))?.build()?)
    }
}

/// Where the line between same and different is drawn.
#[derive(Debug, Group)]
pub(super) struct Line {
    /// Highest false-match rate to accept: of impostor pairs, the share taken for one person
    #[arg(long, value_name = "RATE", default_value_t = 1e-3, value_parser = rate)]
    pub max_fmr: f64,
    /// Where --max-fmr is below what the calibration measured, continue its thresholds instead of refusing;
    /// the answer says that the rate is an extrapolation
    #[arg(long)]
    pub extrapolate: bool,
    /// Decide at this distance between unit vectors instead (0 to 2)
    #[arg(long, value_name = "DISTANCE", conflicts_with_all = ["max_fmr", "extrapolate"])]
    pub threshold: Option<f32>,
    /// Decide even where neither face would be enrolled (small, blurred, dark, turned away, covered, upside down).
    /// The stated false-match rate does not hold then
    #[arg(long)]
    pub accept_poor: bool,
}

/// Which boxes count as faces.
#[derive(Debug, Group)]
pub(super) struct Count {
    /// Count every box that the detector is at least so sure of (0 to 1), and no other. When not said, boxes that are
    /// both much smaller and less certain than the main face do not count
    #[arg(long, value_name = "SCORE", value_parser = within(0.0f32, 1.0))]
    pub min_score: Option<f32>,
}

impl Count {
    pub(super) fn selection(&self, largest: bool) -> Selection {
        let choice = if largest { FaceChoice::Largest } else { FaceChoice::Only };
        Selection { choice, min_score: self.min_score }
    }
}

impl Line {
    pub(super) fn question(&self, selection: Selection) -> Question {
        Question { policy: self.policy(), selection, accept_poor: self.accept_poor }
    }

    pub(super) fn policy(&self) -> Policy {
        match self.threshold {
            Some(distance) => Policy::Distance(distance),
            None if self.extrapolate => Policy::ContinuedFmr(self.max_fmr),
            None => Policy::MaxFmr(self.max_fmr),
        }
    }
}

#[derive(Debug, Group)]
pub(super) struct Compare {
    /// The first photo
    pub a: PathBuf,
    /// The second photo
    pub b: PathBuf,
    /// Write the similarity picture here (.png, .jpg, .webp, .bmp, .tif)
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Lay the picture out as the first version of this program did: both photos stretched to 800x600
    #[arg(long)]
    pub seed_layout: bool,
    #[command(flatten)]
    pub count: Count,
    #[command(flatten)]
    pub line: Line,
}

#[derive(Debug, Group)]
pub(super) struct Verify {
    /// The first photo
    pub a: PathBuf,
    /// The second photo
    pub b: PathBuf,
    /// Where a photo shows several faces, take the largest instead of refusing
    #[arg(long)]
    pub largest: bool,
    #[command(flatten)]
    pub count: Count,
    #[command(flatten)]
    pub line: Line,
}

#[derive(Debug, Group)]
pub(super) struct Detect {
    /// The photos
    #[arg(required = true, value_name = "IMG")]
    pub images: Vec<PathBuf>,
    /// Write a copy of each photo with the faces marked, and each face's chip, into this folder
    #[arg(long, short, value_name = "FOLDER")]
    pub output: Option<PathBuf>,
}

#[derive(Debug, Group)]
pub(super) struct Embed {
    /// The photos
    #[arg(required = true, value_name = "IMG")]
    pub images: Vec<PathBuf>,
    /// Write the vectors here: .npy (one row a face) or .json
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Embed the largest face of each photo only
    #[arg(long)]
    pub largest: bool,
}

#[derive(Debug, Group)]
pub(super) struct Calibrate {
    /// A folder with one folder of photos for each person; of several faces the one nearest the
    /// centre counts
    #[arg(required_unless_present = "show")]
    pub people: Option<PathBuf>,
    /// Write the record here
    #[arg(long, short, value_name = "FILE", required_unless_present = "show")]
    pub output: Option<PathBuf>,
    /// Measure nothing: show the record that the model has now
    #[arg(long, conflicts_with_all = ["people", "output", "source"])]
    pub show: bool,
    /// What to say of the photos' origin in the record
    #[arg(long, value_name = "TEXT")]
    pub source: Option<String>,
}

#[derive(Debug, Group)]
pub(super) struct Weights {
    #[command(subcommand)]
    pub action: WeightsAction,
}

#[derive(Debug, Subcommand)]
pub(super) enum WeightsAction {
    /// Every known model: licence, source, size, checksum, and whether it is here
    List,
    /// Check the checksum and every tensor of the weights that are here
    Verify,
    /// Convert released weights (torch state_dict, safetensors, dlib .dat) for use here
    Import(Import),
    /// Download weights from their upstream release
    Pull(Pull),
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum Stored {
    F32,
    F16,
}

impl From<Stored> for Precision {
    fn from(stored: Stored) -> Self {
        match stored {
            Stored::F32 => Precision::F32,
            Stored::F16 => Precision::F16,
        }
    }
}

#[derive(Debug, Group)]
pub(super) struct Import {
    /// The released file; for MTCNN its three files
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// What to call the model; goes to your weights folder under that name
    #[arg(long, required_unless_present = "output")]
    pub name: Option<String>,
    /// Write to this file instead
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// The network that the weights are for, where the tensors' names do not tell
    #[arg(long)]
    pub architecture: Option<String>,
    /// How the numbers are stored
    #[arg(long, value_enum, default_value = "f32")]
    pub store: Stored,
}

#[derive(Debug, Group)]
pub(super) struct Pull {
    /// A name from `kith weights list`
    pub name: String,
    /// You have read the licence and may use the weights under it
    #[arg(long)]
    pub accept_licence: bool,
    /// Fetch from this address instead of the release's own
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
    /// Go through this proxy; HTTPS_PROXY, HTTP_PROXY and ALL_PROXY count when it is not said
    #[arg(long, value_name = "URL")]
    pub proxy: Option<String>,
}

/// Reads both photos at once.
pub(super) fn open_both(common: &Common, a: &PathBuf, b: &PathBuf) -> Result<(crate::Photo, crate::Photo)> {
    let limits = common.limits();
    let (a, b) = rayon::join(|| crate::Photo::open_with(a, &limits), || crate::Photo::open_with(b, &limits));
    Ok((a?, b?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn common(words: &[&str]) -> Common {
        let start = [
            "kith",
            "calibrate",
            "people",
            "-o",
            "record.json",
            "--device",
            "cpu",
            "--detector",
            "mtcnn",
            "--model",
            "dlib-resnet",
        ];
        Args::try_parse_from(start.iter().chain(words)).unwrap().common
    }

    #[test]
    fn what_is_not_said_of_precision_the_profile_says_and_records_are_measured_in_f32() {
        let engine = |words: &[&str]| common(words).engine().unwrap().precision();
        let measuring = |words: &[&str]| common(words).measuring_engine().unwrap().precision();
        let auto = engine(&["--precision", "auto"]);
        println!("auto takes {auto}");
        assert_eq!((engine(&["--profile", "fast"]), engine(&[])), (auto, "f32"));
        assert_eq!((measuring(&["--profile", "fast"]), measuring(&["--precision", "auto"])), ("f32", auto));
    }
}
