//! Options of an engine, and the loading of its networks.

use std::path::PathBuf;

use super::{Engine, Profile, calibrations};
use crate::database::Database;
use crate::detect::Detector;
use crate::detect::centerface::{self, CenterFace, CenterFaceOptions};
use crate::detect::mtcnn::{self, Mtcnn, MtcnnOptions};
use crate::detect::yunet::{Yunet, YunetOptions};
use crate::embed::Embedder;
use crate::embed::adapted::{Adapted, base_tensors};
use crate::embed::classic::{Classic, EIGENFACES, FISHERFACES};
use crate::embed::dlib_resnet::{self, DlibResnet};
use crate::embed::inception_resnet_v1::{self, InceptionResnetV1};
use crate::embed::mirrored::Mirrored;
use crate::embed::mobilefacenet::{self, MobileFaceNet};
use crate::embed::sface::{self, Sface};
use crate::embed::trained::TrainedNetwork;
use crate::error::{Error, ModelError, RefusalError, Result, WeightsError};
use crate::nn::weights::{ADAPTED_PREFIX, Kind, Manifest, TensorMap, WeightStore, YUNET_N, YUNET_S};
use crate::nn::{Device, DeviceChoice, PrecisionChoice};
use crate::pipeline::Pipeline;
use crate::vector::MIRROR_SUFFIX;
use crate::verify::Calibration;

/// Options of a new [`Engine`].
///
/// ```
/// let engine = kith::Engine::builder().device(kith::DeviceChoice::Cpu).build()?;
/// assert_eq!(engine.dimension(), 128);
/// # Ok::<(), kith::Error>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct EngineBuilder {
    device: DeviceChoice,
    profile: Option<Profile>,
    precision: Option<PrecisionChoice>,
    detector: Option<String>,
    model: Option<String>,
    weights: Option<PathBuf>,
    mtcnn: MtcnnOptions,
    yunet: YunetOptions,
    centerface: CenterFaceOptions,
    calibration: Option<Calibration>,
}

impl Engine {
    /// Options for a new engine; the defaults run with what is built in.
    pub fn builder() -> EngineBuilder {
        EngineBuilder::default()
    }
}

impl EngineBuilder {
    /// Where the networks run; [`DeviceChoice::Auto`] when not said.
    pub fn device(mut self, device: DeviceChoice) -> Self {
        self.device = device;
        self
    }

    /// Which pair of networks; [`Profile::default`] when not said.
    pub fn profile(mut self, profile: Profile) -> Self {
        self.profile = Some(profile);
        self
    }

    /// The precision in which the embedder, YuNet and CenterFace are computed; the profile's when not said. Embeddings of every
    /// precision are of one space, and meet.
    pub fn precision(mut self, precision: PrecisionChoice) -> Self {
        self.precision = Some(precision);
        self
    }

    /// The embedder, by its name in the manifest; the profile's when not said. With `+mirror` after the name
    /// each face is embedded together with its mirror image: twice the time, fewer errors, a space of its own.
    pub fn model(mut self, name: impl Into<String>) -> Self {
        self.model = Some(name.into());
        self
    }

    /// The detector, by its name in the manifest; the profile's when not said.
    pub fn detector(mut self, name: impl Into<String>) -> Self {
        self.detector = Some(name.into());
        self
    }

    /// A folder to look for weights in, before any other place.
    pub fn weights(mut self, folder: impl Into<PathBuf>) -> Self {
        self.weights = Some(folder.into());
        self
    }

    /// Options of the detector, where it is MTCNN.
    pub fn detection(mut self, options: MtcnnOptions) -> Self {
        self.mtcnn = options;
        self
    }

    /// Options of the detector, where it is YuNet.
    pub fn yunet(mut self, options: YunetOptions) -> Self {
        self.yunet = options;
        self
    }

    /// Options of the detector, where it is CenterFace.
    pub fn centerface(mut self, options: CenterFaceOptions) -> Self {
        self.centerface = options;
        self
    }

    /// A calibration record to use in place of the one that came with the model.
    pub fn calibration(mut self, record: Calibration) -> Self {
        self.calibration = Some(record);
        self
    }

    /// Where neither a profile nor a model was named: the model and the detector that made a gallery's faces, so that
    /// a database goes on as it began whatever runs by default today. Nothing changes for a gallery that is not there,
    /// or whose model's weights are not at hand.
    pub fn for_gallery(mut self, database: &Database, gallery: &str) -> Self {
        if self.profile.is_some() || self.model.is_some() {
            return self;
        }
        let made_by = database.model_of(gallery).and_then(|m| WeightStore::new(self.weights.clone()).name_of(&m));
        if made_by.is_some() {
            self.model = made_by;
            // Faces from before detectors were recorded are of the only one that there was.
            let theirs = || database.detector_of(gallery).or_else(|| Some(mtcnn::ARCHITECTURE.to_string()));
            self.detector = self.detector.take().or_else(theirs);
        }
        self
    }

    /// The profile that holds for what was not named.
    fn chosen(&self) -> Profile {
        self.profile.unwrap_or_default()
    }

    /// Opens the device and loads the networks, both at once.
    ///
    /// # Errors
    /// [`ModelError::DeviceUnavailable`], [`ModelError::InvalidOption`] for a precision that the device, the detector
    /// or the embedder lacks, a [`WeightsError`] that says which weights are missing or damaged and what to run, or
    /// [`RefusalError::WrongDetector`] for a calibration record measured behind another detector.
    pub fn build(self) -> Result<Engine> {
        let device = Device::open(self.device)?;
        let store = WeightStore::new(self.weights.clone());
        let precision = self.precision.unwrap_or(self.chosen().precision());
        let model = self.model.as_deref().unwrap_or(self.chosen().model());
        let (detector, embedder) = rayon::join(
            || self.load_detector(&store, &device, precision),
            || load_embedder(&store, model, &device, precision),
        );
        let pipeline = Pipeline { detector: detector?, embedder: embedder? };
        let calibration = match self.calibration {
            Some(record) => {
                let (calibrated, detector) = (record.detector().to_string(), pipeline.detector.name().to_string());
                if record.model == pipeline.embedder.model().as_str() && calibrated != detector {
                    return Err(RefusalError::WrongDetector { calibrated, detector }.into());
                }
                Some(record)
            }
            None => calibrations::shipped_for(pipeline.embedder.model().as_str(), pipeline.detector.name()),
        };
        Ok(Engine { pipeline, calibration, device })
    }

    fn load_detector(
        &self,
        store: &WeightStore,
        device: &Device,
        precision: PrecisionChoice,
    ) -> Result<Box<dyn Detector>> {
        let name = self.detector.as_deref().unwrap_or(self.chosen().detector());
        let loaded = store.load(name)?;
        let yunet = |shape| Yunet::new(name, &loaded.tensors, shape, device, precision, self.yunet);
        match loaded.architecture.as_str() {
            mtcnn::ARCHITECTURE => Ok(Box::new(Mtcnn::new(&loaded.tensors, device, self.mtcnn)?)),
            centerface::ARCHITECTURE => {
                let options = self.centerface;
                Ok(Box::new(CenterFace::new(name, &loaded.tensors, device, precision, options)?))
            }
            "yunet-s" => Ok(Box::new(yunet(&YUNET_S)?)),
            "yunet-n" => Ok(Box::new(yunet(&YUNET_N)?)),
            _ => Err(not_a(Kind::Detector, name)),
        }
    }
}

/// The weights of that name are there, and do something else.
fn not_a(kind: Kind, name: &str) -> Error {
    let models = Manifest::built_in().model.iter().filter(|m| m.kind == kind);
    let known = models.map(|m| m.name.as_str()).collect::<Vec<_>>().join(", ");
    let kind = if kind == Kind::Detector { "detectors" } else { "embedders" };
    Error::from(WeightsError::UnknownModel { name: name.to_string(), known: format!("{kind}: {known}") })
}

fn load_embedder(
    store: &WeightStore,
    name: &str,
    device: &Device,
    precision: PrecisionChoice,
) -> Result<Box<dyn Embedder>> {
    if let Some(name) = name.strip_suffix(MIRROR_SUFFIX) {
        return Ok(Box::new(Mirrored::new(load_embedder(store, name, device, precision)?)));
    }
    let loaded = store.load(name)?;
    let of = Named { name, architecture: &loaded.architecture, sha256: &loaded.sha256 };
    made_of(&of, &loaded.tensors, device, precision)
}

/// Weights by their names.
struct Named<'a> {
    name: &'a str,
    architecture: &'a str,
    sha256: &'a str,
}

fn made_of(of: &Named, tensors: &TensorMap, device: &Device, precision: PrecisionChoice) -> Result<Box<dyn Embedder>> {
    let sha256 = of.sha256;
    if let Some(base) = of.architecture.strip_prefix(ADAPTED_PREFIX) {
        let own = Named { architecture: base, ..*of };
        let base = made_of(&own, &base_tensors(tensors), device, precision)?;
        return Ok(Box::new(Adapted::new(of.architecture, base, tensors, sha256)?));
    }
    match of.architecture {
        dlib_resnet::ARCHITECTURE => Ok(Box::new(DlibResnet::new(tensors, sha256, device, precision)?)),
        inception_resnet_v1::ARCHITECTURE => Ok(Box::new(InceptionResnetV1::new(tensors, sha256, device, precision)?)),
        known @ (EIGENFACES | FISHERFACES) if ![PrecisionChoice::F32, PrecisionChoice::Auto].contains(&precision) => {
            Err(Error::from(ModelError::InvalidOption {
                option: "precision",
                received: format!("{precision} with {known}"),
                expected: "f32 or auto: a single matrix has no convolutions to round",
            }))
        }
        known @ (EIGENFACES | FISHERFACES) => Ok(Box::new(Classic::new(known, tensors, sha256, device)?)),
        mobilefacenet::ARCHITECTURE => Ok(Box::new(MobileFaceNet::new(tensors, sha256, device, precision)?)),
        sface::ARCHITECTURE => Ok(Box::new(Sface::new(tensors, sha256, device, precision)?)),
        other => match TrainedNetwork::new(other, tensors, sha256, device, precision)? {
            Some(network) => Ok(Box::new(network)),
            None => Err(not_a(Kind::Embedder, of.name)),
        },
    }
}
