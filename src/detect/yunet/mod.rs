//! YuNet: one small network that finds boxes and landmarks in a single pass.
//!
//! W. Wu, H. Peng, S. Yu, "YuNet: a tiny millisecond-level face detector", Machine Intelligence Research
//! 20, 2023. The weights are those of libfacedetection.train and OpenCV Zoo. Its scores are lower on
//! faces larger than about 400 pixels, which it was not trained on, so that a large photo is looked at
//! again in smaller copies, each a third of the one before. Several cells see a face; see `blend`.

mod blend;
mod decode;
mod net;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use self::net::{Answers, Net, PackedNet, STRIDES};
use super::{Detection, Detector};
use crate::error::ModelError;
use crate::geometry::Landmarks;
use crate::media::{Raster, fit_within};
use crate::nn::weights::{TensorMap, YunetShape};
use crate::nn::{Device, PrecisionChoice, Program, WeightSource, backend};
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
}

impl Default for YunetOptions {
    fn default() -> Self {
        Self { score: 0.7, min_face: 20, max_side: 1280 }
    }
}

/// The network takes heights and widths in multiples of its coarsest stride.
const MULTIPLE: usize = STRIDES[2];
/// A copy with a longer side than this is followed by a smaller one.
const WHOLE_RANGE: u32 = 512;
/// How many times smaller that one is.
const STEP: u32 = 3;

/// Chosen between its least score, 0.7, and 1; not measured.
const CERTAIN: f32 = 0.8;

/// The longest side whose maps are small: those of 640x480 take 20 MB, those of 1280x960 80.
const LIGHT: u32 = 640;

/// Sizes of input whose programs are kept; cameras and folders have few.
const KEPT_PROGRAMS: usize = 6;

/// Programs by rows and columns of their input, the one used last first.
type KeptPrograms = Mutex<VecDeque<((usize, usize), Arc<Program>)>>;

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
            Form::Programs { net: Box::new(net), kept: Mutex::default() }
        } else {
            Form::Layers(Box::new(net))
        };
        Ok(Self { name: name.to_string(), form, options, device: device.clone() })
    }

    fn run(&self, picture: &Raster) -> Result<Vec<Answers>, ModelError> {
        let (columns, rows) = padded(picture);
        match &self.form {
            Form::Programs { net, kept } => {
                let program = program(net, kept, (rows, columns));
                let levels = program.run_rows(1, |_, y, row| interleaved(picture, y, row));
                let levels = levels.into_iter().zip(STRIDES);
                Ok(levels.map(|(values, stride)| Answers { columns: columns / stride, values }).collect())
            }
            Form::Layers(net) => {
                let mut values = vec![0f32; 3 * rows * columns];
                planar(picture, rows * columns, columns, &mut values);
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
        width.max(height).min(self.max_side) <= LIGHT
    }

    fn check(&self) -> Result<(), ModelError> {
        let wrong = |option, received: String, expected| Err(ModelError::InvalidOption { option, received, expected });
        if !(0.0..=1.0).contains(&self.score) {
            return wrong("detection score", self.score.to_string(), "between 0 and 1");
        }
        if (self.max_side as usize) < MULTIPLE {
            return wrong("max-side", self.max_side.to_string(), "at least 32 pixels");
        }
        Ok(())
    }
}

/// Columns and rows of the network's input: the picture's, filled up at the end.
fn padded(picture: &Raster) -> (usize, usize) {
    let fill = |length: u32| (length as usize).next_multiple_of(MULTIPLE);
    (fill(picture.width()), fill(picture.height()))
}

/// Planes of blue, green and red, 0 to 255, each `plane` values in rows of `columns`; what the picture
/// does not fill is left as it is.
fn planar(picture: &Raster, plane: usize, columns: usize, values: &mut [f32]) {
    for y in 0..picture.height() {
        for (x, &[red, green, blue]) in picture.row(y).as_chunks::<3>().0.iter().enumerate() {
            let at = y as usize * columns + x;
            values[at] = f32::from(blue);
            values[plane + at] = f32::from(green);
            values[2 * plane + at] = f32::from(red);
        }
    }
}

/// Red, green and blue of row `y`, 0 to 255, filled up with zeros.
fn interleaved(picture: &Raster, y: usize, out: &mut [f32]) {
    let row = if y < picture.height() as usize { picture.row(y as u32) } else { &[] };
    let (filled, rest) = out.split_at_mut(row.len());
    filled.iter_mut().zip(row).for_each(|(to, &v)| *to = f32::from(v));
    rest.fill(0.0);
}

/// The program for that many rows and columns: a kept one, else a new one, which the one used longest
/// ago makes way for.
fn program(net: &PackedNet, kept: &KeptPrograms, size: (usize, usize)) -> Arc<Program> {
    let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
    let at = kept.iter().position(|(s, _)| *s == size);
    let entry = at.and_then(|at| kept.remove(at)).unwrap_or_else(|| (size, Arc::new(net.program(size.0, size.1))));
    let program = entry.1.clone();
    kept.push_front(entry);
    kept.truncate(KEPT_PROGRAMS);
    program
}

/// Longer sides of the copies that a photo with that longer side is looked at in.
fn sides(longest: u32, max_side: u32) -> Vec<u32> {
    let mut sides = vec![longest.min(max_side)];
    while let Some(&last) = sides.last().filter(|last| **last > WHOLE_RANGE) {
        sides.push(last / STEP);
    }
    sides
}

impl Detector for Yunet {
    fn name(&self) -> &str {
        &self.name
    }

    fn certain(&self) -> f32 {
        CERTAIN
    }

    fn is_light(&self, width: u32, height: u32) -> bool {
        self.options.are_light(width, height)
    }

    fn detect(&self, photo: &Raster) -> Result<Vec<Detection>, ModelError> {
        let longest = photo.width().max(photo.height());
        let mut found = Vec::new();
        for side in sides(longest, self.options.max_side) {
            if side == longest {
                found.extend(self.on_copy(photo)?);
                continue;
            }
            let copy = fit_within(photo, side, side);
            let across = photo.width() as f32 / copy.width() as f32;
            let down = photo.height() as f32 / copy.height() as f32;
            found.extend(self.on_copy(&copy)?.into_iter().map(|d| d.stretched(across, down)));
        }
        found.retain(|d| d.bbox.width().max(d.bbox.height()) >= self.options.min_face as f32);
        Ok(blend::one_a_face(&found, self.options.score))
    }
}

impl Detection {
    /// The same face in a photo `across` times as wide and `down` times as high.
    fn stretched(self, across: f32, down: f32) -> Self {
        let b = self.bbox;
        let bbox = crate::geometry::BBox::new(b.x0 * across, b.y0 * down, b.x1 * across, b.y1 * down);
        Self { bbox, landmarks: Landmarks(self.landmarks.0.map(|[x, y]| [x * across, y * down])), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_photos_are_looked_at_in_smaller_copies_too() {
        assert_eq!(sides(250, 1280), [250]);
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
