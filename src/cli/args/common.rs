//! Options that several commands share: how the networks run, where the line is drawn, which face counts.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Args as Group, ValueEnum};

use super::numbers::{rate, within};
use crate::files::spelled;
use crate::nn::weights::WeightStore;
use crate::nn::{DeviceChoice, PrecisionChoice};
use crate::{
    Calibration, CenterFaceOptions, Database, Engine, EngineBuilder, Enlarge, FaceChoice, Limits, MtcnnOptions, Policy,
    Profile, Question, Result, Selection, YunetOptions,
};

#[derive(Debug, Group)]
pub(in crate::cli) struct Common {
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
    /// embedder, YuNet and CenterFace in binary16, on processors with AVX-512 FP16: faster still), or auto (the first of f16 and
    /// int16 that this processor has and that moves a face by less than a cosine of 0.0005). When not said, auto in the
    /// fast profile; f32 in the others and for calibrate
    #[arg(long, global = true, value_name = "NUMBERS")]
    pub precision: Option<PrecisionChoice>,
    /// Which pair of networks: fast is yunet and sface, accurate is yunet and sface+mirror, classic is mtcnn and
    /// dlib-resnet, facenet is mtcnn and facenet-vggface2. When not said, what made the gallery's faces; for a new
    /// gallery, and where there is none, fast
    #[arg(long, global = true, value_name = "PROFILE")]
    pub profile: Option<Profile>,
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
    /// passed over. When not said, mtcnn takes photos as they are, yunet and centerface 1280
    #[arg(long, global = true, value_name = "PIXELS")]
    pub max_side: Option<u32>,
    /// Look at small photos in an enlarged copy, too, where yunet and centerface find more small faces: auto, off, or a
    /// factor by which every photo is enlarged, as far as --max-side allows
    #[arg(long, global = true, default_value = "auto", value_name = "FACTOR")]
    pub enlarge: Enlarge,
    /// Refuse photos of more megapixels
    #[arg(long, global = true, default_value_t = 100.0, value_name = "N", value_parser = within(1e-6, 1e6))]
    pub max_megapixels: f64,
    /// Processor threads; all cores when not said
    #[arg(long, global = true, value_name = "N",
        value_parser = within(NonZeroUsize::MIN, NonZeroUsize::MIN.saturating_add(1023)))]
    pub threads: Option<NonZeroUsize>,
}

impl Common {
    pub(in crate::cli) fn limits(&self) -> Limits {
        Limits { max_pixels: (self.max_megapixels * 1e6) as u64, ..Limits::default() }
    }

    /// The embedder that was asked for.
    pub(in crate::cli) fn model_name(&self) -> &str {
        self.model.as_deref().unwrap_or(self.profile.unwrap_or_default().model())
    }

    pub(in crate::cli) fn builder(&self) -> anyhow::Result<EngineBuilder> {
        let mtcnn = MtcnnOptions { min_face: self.min_face, max_side: self.max_side, ..MtcnnOptions::default() };
        let (min_face, enlarge) = (self.min_face, self.enlarge);
        let mut yunet = YunetOptions { min_face, enlarge, ..YunetOptions::default() };
        yunet.max_side = self.max_side.unwrap_or(yunet.max_side);
        let mut centerface = CenterFaceOptions { min_face, enlarge, ..CenterFaceOptions::default() };
        centerface.max_side = self.max_side.unwrap_or(centerface.max_side);
        let mut builder = Engine::builder().device(self.device).detection(mtcnn).yunet(yunet).centerface(centerface);
        if let Some(profile) = self.profile {
            builder = builder.profile(profile);
        }
        if let Some(detector) = &self.detector {
            builder = builder.detector(detector);
        }
        if let Some(model) = &self.model {
            builder = builder.model(model);
        }
        if let Some(precision) = self.precision {
            builder = builder.precision(precision);
        }
        if let Some(folder) = &self.weights {
            builder = builder.weights(folder);
        }
        if let Some(record) = self.calibration_record()? {
            builder = builder.calibration(record);
        }
        Ok(builder)
    }

    /// The record of --calibration.
    pub(in crate::cli) fn calibration_record(&self) -> anyhow::Result<Option<Calibration>> {
        let Some(path) = &self.calibration else { return Ok(None) };
        let text = std::fs::read_to_string(path).map_err(|e| anyhow::anyhow!("{}: {e}", spelled(path)))?;
        let record = Calibration::parse(&text);
        let record = record.map_err(|e| anyhow::anyhow!("{}: not a calibration record: {e}", spelled(path)))?;
        Ok(Some(record))
    }

    pub(in crate::cli) fn engine(&self) -> anyhow::Result<Engine> {
        Ok(self.builder()?.build()?)
    }

    /// For a gallery of a database: with what made its faces, where nothing else was asked for.
    pub(in crate::cli) fn engine_for(&self, database: &Database, gallery: &str) -> anyhow::Result<Engine> {
        let engine = self.builder()?.for_gallery(database, gallery).build()?;
        let (today, made_by) = (Profile::default(), engine.model());
        let chosen = self.profile.is_some() || self.model.is_some();
        if !(chosen || self.quiet)
            && WeightStore::new(self.weights.clone()).name_of(made_by) != Some(today.model().into())
        {
            eprintln!(
                "kith: gallery {gallery:?} goes on with {made_by} behind {}, which made its faces; new galleries are \
                 {} behind {}: `kith reembed` takes this one there",
                engine.detector(),
                today.model(),
                today.detector()
            );
        }
        Ok(engine)
    }

    /// For a calibration record, which other machines use, too: in f32 in every profile when nothing is said.
    pub(in crate::cli) fn measuring_engine(&self) -> anyhow::Result<Engine> {
        Ok(self.builder()?.precision(self.precision.unwrap_or(PrecisionChoice::F32)).build()?)
    }
}

/// Where the line between same and different is drawn.
#[derive(Debug, Group)]
pub(in crate::cli) struct Line {
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
    /// Decide even where neither face would be enrolled (small, blurred, dark, turned away, covered, upside down, unclear).
    /// The stated false-match rate does not hold then
    #[arg(long)]
    pub accept_poor: bool,
}

/// Which boxes count as faces.
#[derive(Debug, Group)]
pub(in crate::cli) struct Count {
    /// Count every box that the detector is at least so sure of (0 to 1), and no other. When not said, boxes that are
    /// both much smaller and less certain than the main face do not count
    #[arg(long, value_name = "SCORE", value_parser = within(0.0f32, 1.0))]
    pub min_score: Option<f32>,
}

impl Count {
    pub(in crate::cli) fn selection(&self, largest: bool) -> Selection {
        let choice = if largest { FaceChoice::Largest } else { FaceChoice::Only };
        Selection { choice, min_score: self.min_score }
    }
}

impl Line {
    pub(in crate::cli) fn question(&self, selection: Selection) -> Question {
        Question { policy: self.policy(), selection, accept_poor: self.accept_poor }
    }

    pub(in crate::cli) fn policy(&self) -> Policy {
        match self.threshold {
            Some(distance) => Policy::Distance(distance),
            None if self.extrapolate => Policy::ContinuedFmr(self.max_fmr),
            None => Policy::MaxFmr(self.max_fmr),
        }
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(in crate::cli) enum Stored {
    F32,
    F16,
}

/// Reads both photos at once.
pub(in crate::cli) fn open_both(common: &Common, a: &PathBuf, b: &PathBuf) -> Result<(crate::Photo, crate::Photo)> {
    let limits = common.limits();
    let (a, b) = rayon::join(|| crate::Photo::open_with(a, &limits), || crate::Photo::open_with(b, &limits));
    Ok((a?, b?))
}
