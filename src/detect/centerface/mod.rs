//! CenterFace: a face is the point in its middle.
//!
//! Y. Xu, W. Yan, H. Sun, G. Yang, J. Luo, "CenterFace: Joint Face Detection and Alignment Using Face as Point",
//! arXiv 1911.03599, 2019. One map of a quarter of the photo's size says of each cell whether a face's centre lies in it,
//! and where its box and landmarks are. The weights are the authors', trained on WIDER FACE.

mod decode;
mod net;

use self::net::{MULTIPLE, Net, PackedNet, STRIDE};
use super::enlarge::{Enlarge, Gain, STEP, in_copies, sides};
use super::input::{KeptPrograms, interleaved, padded, planar};
use super::{Detection, Detector};
use crate::error::ModelError;
use crate::geometry::{Overlap, non_maximum_suppression};
use crate::media::Raster;
use crate::nn::weights::TensorMap;
use crate::nn::{Device, PrecisionChoice, WeightSource, backend};
use kith_kernels::Simd;

/// What CenterFace can be told.
///
/// ```
/// let options = kith::CenterFaceOptions { max_side: 640, ..Default::default() };
/// assert_eq!(options.heat, 0.45);
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CenterFaceOptions {
    /// A cell is a face's centre where its heat is above this, 0 to 1.
    ///
    /// Faces found, and detections on no face, of 122 faces in 18 photos of groups (47 to 369 pixels high, half of them
    /// below 79, where the photo's longer side is 1024), brought to a longer side of 240, or of 300 and 400 with a mask
    /// drawn over nose and mouth, without an enlarged copy:
    ///
    /// | heat | 240 | 300, masked | 400, masked |
    /// | --- | --- | --- | --- |
    /// | 0.35 | 118, 2 | 114, 0 | 121, 0 |
    /// | 0.4 | 118, 1 | 112, 0 | 121, 0 |
    /// | **0.45** | 115, 1 | 111, 0 | 117, 0 |
    /// | 0.5 | 109, 1 | 104, 0 | 115, 0 |
    /// | 0.6 | 96, 0 | 89, 0 | 111, 0 |
    ///
    /// In 120 parts of photos without a face nothing is above 0.3. On 2,800 faces in street photos, most with masks, 0.5
    /// had a precision of 0.907 and 0.4 one of 0.861, so that the least is not the best.
    pub heat: f32,
    /// Longer side of the smallest face wanted, in pixels of the photo.
    pub min_face: u32,
    /// A photo whose longer side is longer is looked at in a copy of this size; at least 32.
    pub max_side: u32,
    /// Whether a small photo is looked at in an enlarged copy, too.
    pub enlarge: Enlarge,
}

impl Default for CenterFaceOptions {
    fn default() -> Self {
        Self { heat: 0.45, min_face: 20, max_side: 1280, enlarge: Enlarge::Auto }
    }
}

/// Architecture name, as the manifest has it.
pub const ARCHITECTURE: &str = "centerface";
const LOADING: &str = "loading CenterFace";

/// Overlap from which two boxes are one face (the authors').
const SAME_FACE: f32 = 0.3;
/// The layers take red, green and blue.
const RGB: [usize; 3] = [0, 1, 2];

/// A copy with a longer side than this is followed by a smaller one: ten faces of up to 615 pixels that fill photos of 640
/// have a heat of 0.77 to 0.96, three that fill photos of 1280 one of 0.28 at most.
const WHOLE_RANGE: u32 = 640;
/// Of what a smaller copy shows only faces of so many pixels in the copy before it count: smaller ones are seen better
/// there (up to 506 pixels by a heat of 0.6 and more, in portraits), though at times with less heat.
const LARGE_FACE: f32 = 400.0;

/// Photos that are enlarged. Faces found of the 122 of [`CenterFaceOptions::heat`], at a heat of 0.5, none of them with a
/// detection on no face but one of the first:
///
/// | longer side | as it is | 1.5 times | 2 times |
/// | --- | --- | --- | --- |
/// | 240 | 109 | 122 | 122 |
/// | 300, masked | 104 | 118 | 119 |
/// | 400, masked | 115 | 120 | 121 |
///
/// Twice as large costs four looks more, and in 120 parts of photos without a face showed two that are none.
const GAIN: Gain = Gain { side: 400, factor: 1.5 };

/// Of 120 parts of photos without a face, turned three ways each, none is as hot.
const CERTAIN: f32 = 0.65;
/// Of 250 upright faces of Labeled Faces in the Wild one has less. Of faces on their side half have more: CenterFace sees
/// them nearly as well, and many such photos are not turned.
const SURELY_UPRIGHT: f32 = 0.8;

/// The longest side whose maps are small.
const LIGHT: u32 = 640;

/// The network in the form in which it runs.
enum Form {
    /// On the processor: our own kernels, laid out for the sizes seen last.
    Programs { net: Box<PackedNet>, kept: KeptPrograms },
    /// On an accelerator: the tensor library's.
    Layers(Box<Net>),
}

/// The detector. See the module's own page for the paper.
pub struct CenterFace {
    name: String,
    form: Form,
    options: CenterFaceOptions,
    device: Device,
}

impl CenterFace {
    /// Builds the network; `name` is what the weights are called.
    ///
    /// # Errors
    /// [`ModelError::InvalidOption`] for options outside their range, [`ModelError::Backend`] when the device fails or a
    /// tensor is missing.
    pub(crate) fn new(
        name: &str,
        tensors: &TensorMap,
        device: &Device,
        precision: PrecisionChoice,
        options: CenterFaceOptions,
    ) -> Result<Self, ModelError> {
        options.check()?;
        let failed = backend(LOADING);
        let net = Net::load(&WeightSource::new(tensors, device.inner())).map_err(&failed)?;
        let form = if device.is_cpu() {
            let simd = Simd::chosen()?;
            let net = net.packed(simd, precision.for_detection(simd)?).map_err(&failed)?;
            Form::Programs { net: Box::new(net), kept: KeptPrograms::default() }
        } else {
            Form::Layers(Box::new(net))
        };
        Ok(Self { name: name.to_string(), form, options, device: device.clone() })
    }

    /// Faces of a copy of the photo, in pixels of the copy.
    fn on_copy(&self, picture: &Raster) -> Result<Vec<Detection>, ModelError> {
        let (columns, rows) = padded(picture, MULTIPLE);
        let answers = match &self.form {
            Form::Programs { net, kept } => {
                let program = kept.of((rows, columns), |rows, columns| net.program(rows, columns));
                program.run_rows(1, |_, y, row| interleaved(picture, y, row)).swap_remove(0)
            }
            Form::Layers(net) => {
                let mut values = vec![0f32; 3 * rows * columns];
                planar(picture, RGB, rows * columns, columns, &mut values);
                candle_core::Tensor::from_vec(values, (1, 3, rows, columns), self.device.inner())
                    .and_then(|x| net.run(&x))
                    .map_err(backend("CenterFace"))?
            }
        };
        Ok(decode::faces(&answers, columns / STRIDE, self.options.heat))
    }
}

impl CenterFaceOptions {
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
        if !(0.0..=1.0).contains(&self.heat) {
            return wrong("heat", self.heat.to_string(), "between 0 and 1");
        }
        if (self.max_side as usize) < MULTIPLE {
            return wrong("max-side", self.max_side.to_string(), "at least 32 pixels");
        }
        self.enlarge.check()
    }
}

impl Detector for CenterFace {
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
        let sides = self.options.sides(photo.width().max(photo.height()));
        let whole = photo.width().max(photo.height()).min(self.options.max_side);
        let mut found = in_copies(photo, &sides, |copy| {
            let mut found = self.on_copy(copy)?;
            if copy.width().max(copy.height()) < whole {
                found.retain(|d| d.bbox.width().max(d.bbox.height()) * STEP as f32 >= LARGE_FACE);
            }
            Ok(found)
        })?;
        found.retain(|d| d.bbox.width().max(d.bbox.height()) >= self.options.min_face as f32);
        let boxes: Vec<_> = found.iter().map(|d| d.bbox).collect();
        let scores: Vec<_> = found.iter().map(|d| d.score).collect();
        let kept = non_maximum_suppression(&boxes, &scores, SAME_FACE, Overlap::Union);
        Ok(kept.into_iter().map(|at| found[at]).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn photos_are_light_by_the_copy_that_is_looked_at() {
        let few = CenterFaceOptions { max_side: 320, ..Default::default() };
        assert!(CenterFaceOptions::default().are_light(480, 640) && few.are_light(4000, 3000));
        assert!(!CenterFaceOptions::default().are_light(4000, 3000));
    }

    #[test]
    fn options_outside_their_range_are_refused() {
        for options in [
            CenterFaceOptions { heat: 1.5, ..Default::default() },
            CenterFaceOptions { heat: f32::NAN, ..Default::default() },
            CenterFaceOptions { max_side: 31, ..Default::default() },
        ] {
            assert_eq!(options.check().unwrap_err().code(), "model.invalid_option");
        }
        assert!(CenterFaceOptions::default().check().is_ok());
    }
}
