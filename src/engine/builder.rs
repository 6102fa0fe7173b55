//! Options of an engine, and the loading of its networks.

use std::path::PathBuf;

use super::{Engine, calibrations};
use crate::detect::Detector;
use crate::detect::mtcnn::{Mtcnn, MtcnnOptions};
use crate::embed::Embedder;
use crate::embed::classic::{Classic, EIGENFACES, FISHERFACES};
use crate::embed::dlib_resnet::{self, DlibResnet};
use crate::embed::inception_resnet_v1::{self, InceptionResnetV1};
use crate::error::{Error, Result, WeightsError};
use crate::nn::weights::WeightStore;
use crate::nn::{Device, DeviceChoice};
use crate::pipeline::Pipeline;
use crate::verify::Calibration;

/// Options of a new [`Engine`].
///
/// ```
/// let engine = kith::Engine::builder().device(kith::DeviceChoice::Cpu).build()?;
/// assert_eq!(engine.dimension(), 128);
/// # Ok::<(), kith::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct EngineBuilder {
    device: DeviceChoice,
    model: String,
    weights: Option<PathBuf>,
    detection: MtcnnOptions,
    calibration: Option<Calibration>,
}

impl Default for EngineBuilder {
    fn default() -> Self {
        Self {
            device: DeviceChoice::default(),
            model: dlib_resnet::ARCHITECTURE.to_string(),
            weights: None,
            detection: MtcnnOptions::default(),
            calibration: None,
        }
    }
}

impl EngineBuilder {
    /// Where the networks run; [`DeviceChoice::Auto`] when not said.
    pub fn device(mut self, device: DeviceChoice) -> Self {
        self.device = device;
        self
    }

    /// The embedder, by its name in the manifest; `dlib-resnet` when not said.
    pub fn model(mut self, name: impl Into<String>) -> Self {
        self.model = name.into();
        self
    }

    /// A folder to look for weights in, before any other place.
    pub fn weights(mut self, folder: impl Into<PathBuf>) -> Self {
        self.weights = Some(folder.into());
        self
    }

    /// Options of the detector.
    pub fn detection(mut self, options: MtcnnOptions) -> Self {
        self.detection = options;
        self
    }

    /// A calibration record to use in place of the one that came with the model.
    pub fn calibration(mut self, record: Calibration) -> Self {
        self.calibration = Some(record);
        self
    }

    /// Opens the device and loads the networks, both at once.
    ///
    /// # Errors
    /// [`crate::error::ModelError::DeviceUnavailable`], or a [`WeightsError`] that says which weights
    /// are missing or damaged and what to run.
    pub fn build(self) -> Result<Engine> {
        let device = Device::open(self.device)?;
        let store = WeightStore::new(self.weights);
        let (detector, embedder) = rayon::join(
            || -> Result<Box<dyn Detector>> {
                let loaded = store.load("mtcnn")?;
                Ok(Box::new(Mtcnn::new(&loaded.tensors, &device, self.detection)?))
            },
            || load_embedder(&store, &self.model, &device),
        );
        let pipeline = Pipeline { detector: detector?, embedder: embedder? };
        let calibration = match self.calibration {
            Some(record) => Some(record),
            None => calibrations::shipped_for(pipeline.embedder.model().as_str()),
        };
        Ok(Engine { pipeline, calibration, device })
    }
}

fn load_embedder(store: &WeightStore, name: &str, device: &Device) -> Result<Box<dyn Embedder>> {
    let loaded = store.load(name)?;
    match loaded.architecture.as_str() {
        dlib_resnet::ARCHITECTURE => Ok(Box::new(DlibResnet::new(&loaded.tensors, &loaded.sha256, device)?)),
        inception_resnet_v1::ARCHITECTURE => {
            Ok(Box::new(InceptionResnetV1::new(&loaded.tensors, &loaded.sha256, device)?))
        }
        known @ (EIGENFACES | FISHERFACES) => {
            Ok(Box::new(Classic::new(known, &loaded.tensors, &loaded.sha256, device)?))
        }
        _ => Err(Error::from(WeightsError::UnknownModel {
            name: name.to_string(),
            known: format!("embedders: {}, {}", dlib_resnet::ARCHITECTURE, inception_resnet_v1::ARCHITECTURE),
        })),
    }
}
