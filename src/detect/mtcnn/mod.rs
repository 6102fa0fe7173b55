//! MTCNN: three small networks in a cascade.
//!
//! K. Zhang, Z. Zhang, Z. Li, Y. Qiao, "Joint face detection and alignment using multitask cascaded
//! convolutional networks", IEEE Signal Processing Letters 23(10), 2016. The constants (thresholds,
//! rounding, the two overlap measures) are those of facenet-pytorch 2.6.0, whose weights these are; but crops that
//! reach beyond the photo are filled up with black, as the paper's own program does it, and not stretched.
//!
//! P-net slides over every level of an image pyramid and proposes boxes; R-net throws most of them
//! away; O-net refines the rest and places five landmarks. P-net runs over strips of rows of all
//! levels in parallel; the candidates of all levels go through R-net and O-net in one batch a stage.

mod boxes;
mod nets;
mod options;
mod pyramid;
mod strips;

pub use options::MtcnnOptions;

use rayon::prelude::*;

use self::boxes::Candidate;
use self::nets::{ONET_SIDE, PNet, RNET_SIDE, Refined, Refiner};
use self::strips::StripPNet;
use super::{Detection, Detector};
use crate::error::ModelError;
use crate::geometry::{Overlap, non_maximum_suppression};
use crate::media::{Frame, Raster, resize_area, resize_area_interleaved};
use crate::nn::weights::TensorMap;
use crate::nn::{Device, WeightSource, backend};
use kith_kernels::Simd;

/// Architecture name, as the manifest has it.
pub const ARCHITECTURE: &str = "mtcnn";
/// Overlap above which P-net's boxes of one level are one.
const SAME_WITHIN_LEVEL: f32 = 0.5;
/// Overlap above which boxes of any levels, and boxes after R-net and O-net, are one.
const SAME_FACE: f32 = 0.7;
/// Where no face was found, the photo is looked at again with a border of this share of its shorter side, for faces of
/// at least that share of it.
const BORDER: f32 = 0.25;
const CUT_FACE: f32 = 0.5;
/// O-net gives nine of ten upright faces of Labeled Faces in the Wild more than 0.999.
const CERTAIN: f32 = 0.97;
/// Of 250 upright faces of Labeled Faces in the Wild none has less, of 198 on their side or head one has more.
const SURELY_UPRIGHT: f32 = 0.97;
/// Candidates that go through R-net or O-net at a time: bounds memory on crowds.
const BATCH: usize = 256;

/// P-net, on kernels of our own or on the accelerator.
enum Proposer {
    Processor(Box<StripPNet>),
    Accelerator(Box<PNet>),
}

/// The detector. See the module's own page for the paper.
pub struct Mtcnn {
    pnet: Proposer,
    rnet: Refiner,
    onet: Refiner,
    options: MtcnnOptions,
    device: Device,
}

impl Mtcnn {
    /// Builds the three networks from tensors named `pnet.*`, `rnet.*` and `onet.*`.
    ///
    /// # Errors
    /// [`ModelError::InvalidOption`] for options outside their range, [`ModelError::Backend`] when the
    /// device fails or a tensor is missing.
    pub fn new(tensors: &TensorMap, device: &Device, options: MtcnnOptions) -> Result<Self, ModelError> {
        options.check()?;
        let simd = Simd::chosen()?;
        let source = WeightSource::new(tensors, device.inner());
        let failed = backend("loading MTCNN");
        let pnet = &source.under("pnet");
        Ok(Self {
            pnet: if device.is_cpu() {
                Proposer::Processor(Box::new(StripPNet::load(pnet, simd).map_err(&failed)?))
            } else {
                Proposer::Accelerator(Box::new(PNet::load(pnet).map_err(&failed)?))
            },
            rnet: Refiner::rnet(&source.under("rnet"), simd).map_err(&failed)?,
            onet: Refiner::onet(&source.under("onet"), simd).map_err(&failed)?,
            options,
            device: device.clone(),
        })
    }

    /// Boxes that P-net proposes in that part of the photo, over all levels of its pyramid from `min_face` on.
    fn propose(&self, photo: &Raster, frame: Frame, min_face: u32) -> Result<Vec<Candidate>, ModelError> {
        let options = MtcnnOptions { min_face, ..self.options };
        let levels = pyramid::levels((frame.x1 - frame.x0) as u32, (frame.y1 - frame.y0) as u32, &options);
        let threshold = self.options.thresholds[0];
        let mut found: Vec<Vec<Candidate>> = match &self.pnet {
            Proposer::Processor(strips) => strips.run(photo, frame, &levels, threshold),
            Proposer::Accelerator(pnet) => {
                levels.iter().map(|level| self.on_whole_level(pnet, photo, frame, level)).collect::<Result<_, _>>()?
            }
        };
        found.iter_mut().flatten().for_each(|c| *c = c.shifted(frame.x0 as f32, frame.y0 as f32));
        let per_level: Vec<Vec<Candidate>> =
            found.par_iter().with_max_len(1).map(|f| boxes::suppress(f, SAME_WITHIN_LEVEL)).collect();
        let all: Vec<Candidate> = per_level.into_iter().flatten().collect();
        let kept = boxes::suppress(&all, SAME_FACE);
        Ok(kept.iter().map(|c| c.moved_by_plain_lengths().squared()).collect())
    }

    fn on_whole_level(
        &self,
        pnet: &PNet,
        photo: &Raster,
        frame: Frame,
        level: &pyramid::Level,
    ) -> Result<Vec<Candidate>, ModelError> {
        let (width, height) = (level.width, level.height);
        let mut pixels = vec![0f32; 3 * width * height];
        resize_area(photo, frame, width, height, &mut pixels);
        let maps = candle_core::Tensor::from_vec(pixels, (1, 3, height, width), self.device.inner())
            .and_then(|x| pnet.run(&x))
            .map_err(backend("P-net"))?;
        Ok(boxes::from_maps(&maps, level.scale, self.options.thresholds[0]))
    }

    /// What R-net and O-net leave of the candidates, most confident first.
    fn refined(&self, photo: &Raster, proposed: &[Candidate]) -> Result<Vec<Detection>, ModelError> {
        let passed: Vec<Candidate> = self
            .refine(photo, proposed, RNET_SIDE, &self.rnet)?
            .into_iter()
            .filter(|(_, r)| r.score > self.options.thresholds[1])
            .map(|(c, r)| Candidate { score: r.score, shift: r.shift, ..c })
            .collect();
        let second: Vec<Candidate> =
            boxes::suppress(&passed, SAME_FACE).iter().map(|c| c.moved_by_pixel_lengths().squared()).collect();

        let mut faces: Vec<Detection> = self
            .refine(photo, &second, ONET_SIDE, &self.onet)?
            .into_iter()
            .filter(|(_, r)| r.score > self.options.thresholds[2])
            .map(|(c, r)| {
                let c = Candidate { score: r.score, shift: r.shift, ..c };
                let landmarks = c.place(&r.landmarks);
                Detection { bbox: c.moved_by_pixel_lengths().bbox, score: r.score, landmarks, turned: 0 }
            })
            .collect();
        // Near 1 scores are often equal to the last bit; the reference then keeps the later candidate.
        faces.reverse();
        let boxes: Vec<_> = faces.iter().map(|f| f.bbox).collect();
        let scores: Vec<_> = faces.iter().map(|f| f.score).collect();
        let kept = non_maximum_suppression(&boxes, &scores, SAME_FACE, Overlap::SmallerInPixels);
        Ok(kept.into_iter().map(|i| faces[i]).collect())
    }

    /// What `network` says of the candidates' crops at `side` x `side`.
    fn refine(
        &self,
        photo: &Raster,
        candidates: &[Candidate],
        side: usize,
        network: &Refiner,
    ) -> Result<Vec<(Candidate, Refined)>, ModelError> {
        let mut answers = Vec::with_capacity(candidates.len());
        let cropped: Vec<(Candidate, _)> =
            candidates.iter().filter_map(|c| Some((*c, c.frame(photo.width(), photo.height())?))).collect();
        for batch in cropped.chunks(BATCH) {
            let crop = |i: usize, pixels: &mut [f32]| resize_area_interleaved(photo, batch[i].1, side, side, pixels);
            let refined = network.run(batch.len(), side, &self.device, crop).map_err(backend("R-net or O-net"))?;
            answers.extend(batch.iter().map(|(c, _)| *c).zip(refined));
        }
        Ok(answers)
    }
}

impl Detector for Mtcnn {
    fn name(&self) -> &str {
        ARCHITECTURE
    }

    fn certain(&self) -> f32 {
        CERTAIN
    }

    fn surely_upright(&self) -> f32 {
        SURELY_UPRIGHT
    }

    fn detect(&self, photo: &Raster) -> Result<Vec<Detection>, ModelError> {
        let whole = Frame { x0: 0, y0: 0, x1: i64::from(photo.width()), y1: i64::from(photo.height()) };
        let found = self.refined(photo, &self.propose(photo, whole, self.options.min_face)?)?;
        if !found.is_empty() {
            return Ok(found);
        }
        // P-net's windows lie within the photo, so that it sees no face that the photo's edges cut all round. With a
        // border there are windows for it, and large faces alone are looked for: few levels, of little cost.
        let shorter = photo.width().min(photo.height()) as f32;
        let border = i64::from((shorter * BORDER) as u32);
        let bordered = Frame { x0: -border, y0: -border, x1: whole.x1 + border, y1: whole.y1 + border };
        let least = ((shorter * CUT_FACE) as u32).max(self.options.min_face);
        self.refined(photo, &self.propose(photo, bordered, least)?)
    }
}
