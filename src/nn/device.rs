//! Where networks run: processor, CUDA or Metal.

use std::fmt;
use std::str::FromStr;

use crate::error::ModelError;

/// What the user asked for. Parsed from `auto`, `cpu`, `cuda`, `cuda:N`, `metal`.
///
/// ```
/// use kith::DeviceChoice;
/// assert_eq!("cuda:1".parse::<DeviceChoice>()?, DeviceChoice::Cuda(1));
/// assert!("gpu".parse::<DeviceChoice>().is_err());
/// # Ok::<(), kith::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum DeviceChoice {
    /// The first accelerator that this build has and this machine offers, else the processor.
    #[default]
    Auto,
    /// The processor.
    Cpu,
    /// The CUDA device of that number.
    Cuda(usize),
    /// Apple's GPU.
    Metal,
}

impl FromStr for DeviceChoice {
    type Err = ModelError;

    fn from_str(text: &str) -> Result<Self, ModelError> {
        let unknown = || ModelError::UnknownDevice { received: text.to_string() };
        match text {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda(0)),
            "metal" => Ok(Self::Metal),
            _ => {
                let ordinal = text.strip_prefix("cuda:").ok_or_else(unknown)?;
                ordinal.parse().map(Self::Cuda).map_err(|_| unknown())
            }
        }
    }
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(n) => write!(f, "cuda:{n}"),
            Self::Metal => f.write_str("metal"),
        }
    }
}

/// An opened device. Cheap to clone; shared by every network of an engine.
#[derive(Clone)]
pub struct Device(candle_core::Device);

impl Device {
    /// Opens the device.
    ///
    /// # Errors
    /// [`ModelError::DeviceUnavailable`] when this build or this machine lacks it, with what to build.
    pub fn open(choice: DeviceChoice) -> Result<Self, ModelError> {
        match choice {
            DeviceChoice::Cpu => Ok(Self(candle_core::Device::Cpu)),
            DeviceChoice::Cuda(ordinal) => open_cuda(ordinal),
            DeviceChoice::Metal => open_metal(),
            DeviceChoice::Auto => Ok(open_cuda(0).or_else(|_| open_metal()).unwrap_or(Self(candle_core::Device::Cpu))),
        }
    }

    /// `cpu`, `cuda:N` or `metal`.
    pub fn name(&self) -> String {
        match self.0.location() {
            candle_core::DeviceLocation::Cpu => "cpu".to_string(),
            candle_core::DeviceLocation::Cuda { gpu_id } => format!("cuda:{gpu_id}"),
            candle_core::DeviceLocation::Metal { .. } => "metal".to_string(),
        }
    }

    pub(crate) fn inner(&self) -> &candle_core::Device {
        &self.0
    }

    pub(crate) fn is_cpu(&self) -> bool {
        self.0.is_cpu()
    }
}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Device({})", self.name())
    }
}

fn open_cuda(ordinal: usize) -> Result<Device, ModelError> {
    let unavailable = |reason: String| ModelError::DeviceUnavailable { device: format!("cuda:{ordinal}"), reason };
    if !cfg!(feature = "cuda") {
        return Err(unavailable(
            "this kith was built without CUDA; build with `cargo build --release --features cuda` on a machine with the CUDA toolkit".to_string(),
        ));
    }
    candle_core::Device::new_cuda(ordinal).map(Device).map_err(|e| unavailable(e.to_string()))
}

fn open_metal() -> Result<Device, ModelError> {
    let unavailable = |reason: String| ModelError::DeviceUnavailable { device: "metal".to_string(), reason };
    if !cfg!(feature = "metal") {
        return Err(unavailable(
            "this kith was built without Metal; build with `cargo build --release --features metal` on a Mac"
                .to_string(),
        ));
    }
    candle_core::Device::new_metal(0).map(Device).map_err(|e| unavailable(e.to_string()))
}

/// Names the stage in which the tensor library failed.
pub(crate) fn backend(stage: &'static str) -> impl Fn(candle_core::Error) -> ModelError {
    move |e| ModelError::Backend { stage, reason: e.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_for_devices_round_trip() {
        for word in ["auto", "cpu", "cuda:0", "cuda:3", "metal"] {
            assert_eq!(word.parse::<DeviceChoice>().unwrap().to_string(), word);
        }
        for word in ["", "CPU", "cuda:", "cuda:x", "cuda:-1", "tpu"] {
            assert!(word.parse::<DeviceChoice>().is_err(), "{word}");
        }
    }

    #[cfg(not(feature = "cuda"))]
    #[test]
    fn a_missing_device_says_what_to_build() {
        let error = Device::open(DeviceChoice::Cuda(0)).unwrap_err();
        assert_eq!(error.code(), "model.device_unavailable");
        assert!(error.to_string().contains("--features cuda"), "{error}");
        #[cfg(not(feature = "metal"))]
        assert_eq!(Device::open(DeviceChoice::Auto).unwrap().name(), "cpu");
    }
}
