//! YuNet: one small network that finds boxes and landmarks in a single pass.
//!
//! W. Wu, H. Peng, S. Yu, "YuNet: a tiny millisecond-level face detector", Machine Intelligence Research
//! 20, 2023. The weights are those of libfacedetection.train and OpenCV Zoo. Its scores are lower on
//! faces larger than about 400 pixels, which it was not trained on, so that a large photo is looked at
//! again in smaller copies, each a third of the one before. Several cells see a face; see `blend`.

mod blend;
mod decode;
mod net;

use self::net::{Answers, Net, PackedNet, STRIDES};
use super::enlarge::{Enlarge, Gain, in_copies, sides};
use super::input::{KeptPrograms, interleaved, padded, planar};
use super::{Detection, Detector};
use crate::error::ModelError;
use crate::media::Raster;
use crate::nn::weights::{TensorMap, YunetShape};
use crate::nn::{Device, PrecisionChoice, WeightSource, backend};
use kith_kernels::Simd;

/// What YuNet can be told.
///
/// ```
/// let options = kith::YunetOptions { max_side: 640, ..Default::default() };
/// assert_eq!(options.score, 0.7);
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct YunetOptions {
    /// Least score of a face, 0 to 1.
    pub score: f32,
    /// Longer side of the smallest face wanted, in pixels of the photo. The network itself sees faces from
    /// about 10 pixels.
    pub min_face: u32,
    /// A photo whose longer side is longer is looked at in a copy of this size; at least 32.
    pub max_side: u32,
    /// Whether a small photo is looked at in an enlarged copy, too.
    pub enlarge: Enlarge,
}

impl Default for YunetOptions {
    fn default() -> Self {
        Self { score: 0.7, min_face: 20, max_side: 1280, enlarge: Enlarge::Auto }
    }
}

/// The network takes heights and widths in multiples of its coarsest stride.
const MULTIPLE: usize = STRIDES[2];
/// The layers take blue, green and red.
const BGR: [usize; 3] = [2, 1, 0];
/// A copy with a longer side than this is followed by a smaller one.
const WHOLE_RANGE: u32 = 512;
/// Photos that are enlarged. Faces that the small network found, and detections on no face, of 122 faces in 18 photos of
/// groups (47 to 369 pixels high, half of them below 79, where the photo's longer side is 1024), brought to a longer side
/// of 240, or of 300, 400 and 640 with a mask drawn over nose and mouth:
///
/// | longer side | as it is | 1.5 times | 2 times | 3 times |
/// | --- | --- | --- | --- | --- |
/// | 240 | 118, 2 | 122, 0 | 122, 0 | 122, 0 |
/// | 300, masked | 80, 1 | 113, 1 | 117, 2 | 121, 0 |
/// | 400, masked | 109, 1 | 117, 2 | 118, 2 | 120, 1 |
/// | 640, masked | 116, 3 | 118, 3 | 118, 4 | |
///
/// In 120 parts of photos without a face, 150 to 300 pixels high, it saw 2, 5 (twice as large) and 15 (three times) that
/// are none. Landmarks of the photos of 240 were 0.21 distances between the eyes from those of the large photo, and 0.11
/// in the copy twice as large.
const GAIN: Gain = Gain { side: 400, factor: 2.0 };

/// Of 4,155 photos turned by 90, 180 and 270 degrees all have more in the right view (0.896 and above), half of the wrong
/// views less.
const CERTAIN: f32 = 0.8;
/// Of 6,922 upright faces of Labeled Faces in the Wild nine have less, of 1,385 in photos turned by 90, 180 and 270
/// degrees all but two have.
const SURELY_UPRIGHT: f32 = 0.9;

/// The longest side whose maps are small: those of 640x480 take 20 MB, those of 1280x960 80.
const LIGHT: u32 = 640;

/// The network in the form in which it runs.
enum Form {
    /// On the processor: our own kernels, laid out for the sizes seen last.
    Programs { net: Box<PackedNet>, kept: KeptPrograms },
    /// On an accelerator: the tensor library's.
    Layers(Box<Net>),
}

/// The detector. See the module's own page for the paper.
pub struct Yunet {
    name: String,
    form: Form,
    options: YunetOptions,
    device: Device,
}

impl Yunet {
    /// Builds the network; `name` is what the weights are called.
    ///
    /// # Errors
    /// [`ModelError::InvalidOption`] for options outside their range, [`ModelError::Backend`] when the
    /// device fails or a tensor is missing.
    pub(crate) fn new(
        name: &str,
        tensors: &TensorMap,
        shape: &YunetShape,
        device: &Device,
        precision: PrecisionChoice,
        options: YunetOptions,
    ) -> Result<Self, ModelError> {
        options.check()?;
        let source = WeightSource::new(tensors, device.inner());
        let failed = backend("loading YuNet");
        let net = Net::load(&source, shape).map_err(&failed)?;
        let form = if device.is_cpu() {
            let simd = Simd::chosen()?;
            let net = net.packed(simd, precision.for_detection(simd)?).map_err(&failed)?;
            Form::Programs { net: Box::new(net), kept: KeptPrograms::default() }
        } else {
            Form::Layers(Box::new(net))
        };
        Ok(Self { name: name.to_string(), form, options, device: device.clone() })
    }

    fn run(&self, picture: &Raster) -> Result<Vec<Answers>, ModelError> {
        let (columns, rows) = padded(picture, MULTIPLE);
        match &self.form {
            Form::Programs { net, kept } => {
                let program = kept.of((rows, columns), |rows, columns| net.program(rows, columns));
                let levels = program.run_rows(1, |_, y, row| interleaved(picture, y, row));
                let levels = levels.into_iter().zip(STRIDES);
                Ok(levels.map(|(values, stride)| Answers { columns: columns / stride, values }).collect())
            }
            Form::Layers(net) => {
                let mut values = vec![0f32; 3 * rows * columns];
                planar(picture, BGR, rows * columns, columns, &mut values);
                let answers = candle_core::Tensor::from_vec(values, (1, 3, rows, columns), self.device.inner())
                    .and_then(|x| net.run(&x))
                    .map_err(backend("YuNet"))?;
                Ok(answers.into())
            }
        }
    }

    /// Faces of a copy of the photo, in pixels of the copy.
    fn on_copy(&self, copy: &Raster) -> Result<Vec<Detection>, ModelError> {
        let answers = self.run(copy)?;
        let levels = answers.iter().zip(STRIDES);
        Ok(levels.flat_map(|(a, stride)| decode::faces(a, stride, self.options.score)).collect())
    }
}

impl YunetOptions {
    /// Whether the maps for a photo of that size are small.
    fn are_light(&self, width: u32, height: u32) -> bool {
        self.sides(width.max(height)).first().is_none_or(|side| *side <= LIGHT)
    }

    /// Longer sides of the copies that a photo of that longer side is looked at in, the largest first.
    fn sides(&self, longest: u32) -> Vec<u32> {
        sides(longest, self.enlarge, &GAIN, self.max_side, WHOLE_RANGE)
    }

    fn check(&self) -> Result<(), ModelError> {
        let wrong = |option, received: String, expected| Err(ModelError::InvalidOption { option, received, expected });
        if !(0.0..=1.0).contains(&self.score) {
            return wrong("detection score", self.score.to_string(), "between 0 and 1");
        }
        if (self.max_side as usize) < MULTIPLE {
            return wrong("max-side", self.max_side.to_string(), "at least 32 pixels");
        }
        self.enlarge.check()
    }
}

impl Detector for Yunet {
    fn name(&self) -> &str {
        &self.name
    }

    fn certain(&self) -> f32 {
        CERTAIN
    }

    fn surely_upright(&self) -> f32 {
        SURELY_UPRIGHT
    }

    fn is_light(&self, width: u32, height: u32) -> bool {
        self.options.are_light(width, height)
    }

    fn detect(&self, photo: &Raster) -> Result<Vec<Detection>, ModelError> {
        let longest = photo.width().max(photo.height());
        let mut found = in_copies(photo, &self.options.sides(longest), |copy| self.on_copy(copy))?;
        found.retain(|d| d.bbox.width().max(d.bbox.height()) >= self.options.min_face as f32);
        Ok(blend::one_a_face(&found, self.options.score))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_photos_are_looked_at_in_smaller_copies_too() {
        let sides = |longest, max_side| YunetOptions { max_side, ..Default::default() }.sides(longest);
        assert_eq!(sides(250, 1280), [500, 250]);
        assert_eq!(sides(512, 1280), [512]);
        assert_eq!(sides(640, 1280), [640, 213]);
        assert_eq!(sides(4000, 1280), [1280, 426]);
        assert_eq!(sides(4000, 4000), [4000, 1333, 444]);
        assert_eq!(sides(4000, 320), [320]);
    }

    #[test]
    fn photos_are_light_by_the_copy_that_is_looked_at() {
        let few = YunetOptions { max_side: 320, ..Default::default() };
        assert!(YunetOptions::default().are_light(480, 640) && few.are_light(4000, 3000));
        assert!(!YunetOptions::default().are_light(4000, 3000) && !YunetOptions::default().are_light(10, 641));
    }

    #[test]
    fn options_outside_their_range_are_refused() {
        for options in [
            YunetOptions { score: 1.5, ..Default::default() },
            YunetOptions { score: f32::NAN, ..Default::default() },
            YunetOptions { max_side: 31, ..Default::default() },
        ] {
            assert_eq!(options.check().unwrap_err().code(), "model.invalid_option");
        }
        assert!(YunetOptions::default().check().is_ok());
    }
}
