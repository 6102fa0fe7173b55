//! P-net, R-net and O-net (Zhang et al. 2016, figure 2), layer by layer as facenet-pytorch 2.6.0 has
//! them: PReLU after every convolution, pooling in ceil mode.

use candle_core::{Result, Tensor};
use rayon::prelude::*;

use super::pyramid::{CELL, Level, STRIDE};
use crate::nn::{Conv2d, ConvPrelu, Device, Linear, PRelu, Planes, WeightSource, max_pool};

const NO_PADDING: (usize, usize) = (0, 0);

/// What P-net says of every cell of a level, in row-major order.
pub(super) struct Maps {
    pub rows: usize,
    pub columns: usize,
    /// Probability of a face, `[rows, columns]`.
    pub scores: Vec<f32>,
    /// Shift of the four edges, `[4, rows, columns]`.
    pub shifts: Vec<f32>,
}

/// What R-net or O-net says of one candidate.
pub(super) struct Refined {
    pub score: f32,
    pub shift: [f32; 4],
    /// Five x, then five y; all zero from R-net, which places none.
    pub landmarks: [f32; 10],
}

/// A convolution and its PReLU.
struct Block {
    conv: Conv2d,
    prelu: PRelu,
}

impl Block {
    fn load(source: &WeightSource, number: usize) -> Result<Self> {
        Ok(Self {
            conv: Conv2d::load(source, &format!("conv{number}"), 1, NO_PADDING)?,
            prelu: PRelu::load(source, &format!("prelu{number}"))?,
        })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.prelu.forward(&self.conv.forward(x)?)
    }
}

/// Probability of the second of two classes.
fn face_probability(no_face: f32, face: f32) -> f32 {
    1.0 / (1.0 + (no_face - face).exp())
}

/// Rows of cells that P-net computes at a time: bounds the memory of a level whatever the photo's
/// size, and gives every core work on the finest level, which holds half of all cells.
const STRIP: usize = 48;

/// The proposal network: a 12x12 window at stride 2, run as convolutions over a whole level.
pub(super) struct PNet {
    blocks: [Block; 3],
    class: Conv2d,
    shift: Conv2d,
    /// The same network on our own kernels, where it runs on the processor.
    direct: Option<DirectPNet>,
}

/// P-net on the processor's kernels: its maps are large and its channels few, where lowering each
/// convolution to a matrix product is slowest.
struct DirectPNet {
    conv1: ConvPrelu<3>,
    conv2: ConvPrelu<3>,
    conv3: ConvPrelu<3>,
    class: ConvPrelu<1>,
    shift: ConvPrelu<1>,
}

impl DirectPNet {
    fn load(source: &WeightSource) -> Result<Self> {
        Ok(Self {
            conv1: ConvPrelu::load(source, "conv1", Some("prelu1"))?,
            conv2: ConvPrelu::load(source, "conv2", Some("prelu2"))?,
            conv3: ConvPrelu::load(source, "conv3", Some("prelu3"))?,
            class: ConvPrelu::load(source, "conv4_1", None)?,
            shift: ConvPrelu::load(source, "conv4_2", None)?,
        })
    }

    /// Class logits `[2, h', w']` and shifts `[4, h', w']` of `[3, h, w]`.
    fn forward(&self, x: &Planes) -> (Vec<f32>, Vec<f32>) {
        let x = self.conv1.forward(x).max_pool_2x2();
        let x = self.conv3.forward(&self.conv2.forward(&x));
        (self.class.forward(&x).values, self.shift.forward(&x).values)
    }
}

impl PNet {
    pub(super) fn load(source: &WeightSource) -> Result<Self> {
        Ok(Self {
            blocks: [Block::load(source, 1)?, Block::load(source, 2)?, Block::load(source, 3)?],
            class: Conv2d::load(source, "conv4_1", 1, NO_PADDING)?,
            shift: Conv2d::load(source, "conv4_2", 1, NO_PADDING)?,
            direct: if source.is_cpu() { Some(DirectPNet::load(source)?) } else { None },
        })
    }

    /// Class logits `[n, 2, h', w']` and shifts `[n, 4, h', w']` of `[n, 3, h, w]`.
    pub(super) fn forward(&self, x: &Tensor) -> Result<(Tensor, Tensor)> {
        let x = max_pool(&self.blocks[0].forward(x)?, 2, 2, true)?;
        let x = self.blocks[2].forward(&self.blocks[1].forward(&x)?)?;
        Ok((self.class.forward(&x)?, self.shift.forward(&x)?))
    }

    /// Runs over a level given as `[3, height, width]` pixels.
    pub(super) fn run(&self, pixels: &[f32], level: &Level, device: &Device) -> Result<Maps> {
        let rows = cells(level.height);
        let columns = cells(level.width);
        let strips: Vec<usize> = (0..rows).step_by(if device.is_cpu() { STRIP } else { rows }).collect();
        let run_strip = |&first: &usize| -> Result<(Vec<f32>, Vec<f32>)> {
            let last = rows.min(first + if device.is_cpu() { STRIP } else { rows });
            // A cell sees the `CELL` rows below its own first row; the last strip takes all that is left,
            // since pooling in ceil mode may use a row more.
            let from = first * STRIDE as usize;
            let to = if last == rows { level.height } else { (last - 1) * STRIDE as usize + CELL as usize };
            let strip: Vec<f32> = pixels
                .chunks(level.height * level.width)
                .flat_map(|plane| &plane[from * level.width..to * level.width])
                .copied()
                .collect();
            if let Some(direct) = &self.direct {
                let x = Planes { channels: 3, rows: to - from, columns: level.width, values: strip };
                return Ok(direct.forward(&x));
            }
            let x = Tensor::from_vec(strip, (1, 3, to - from, level.width), device.inner())?;
            let (class, shift) = self.forward(&x)?;
            Ok((class.flatten_all()?.to_vec1()?, shift.flatten_all()?.to_vec1()?))
        };
        let answers: Vec<(Vec<f32>, Vec<f32>)> = if device.is_cpu() {
            strips.par_iter().map(run_strip).collect::<Result<_>>()?
        } else {
            strips.iter().map(run_strip).collect::<Result<_>>()?
        };
        let plane = rows * columns;
        let mut maps = Maps { rows, columns, scores: vec![0.0; plane], shifts: vec![0.0; 4 * plane] };
        let mut done = 0;
        for (class, shift) in answers {
            let part = class.len() / 2;
            for at in 0..part {
                maps.scores[done + at] = face_probability(class[at], class[part + at]);
            }
            for k in 0..4 {
                maps.shifts[k * plane + done..][..part].copy_from_slice(&shift[k * part..][..part]);
            }
            done += part;
        }
        Ok(maps)
    }
}

/// Cells along an axis of `length` pixels: a 3x3 convolution, 2x2 pooling in ceil mode, two more 3x3.
fn cells(length: usize) -> usize {
    (length - 2).div_ceil(2) - 4
}

/// The refinement network: 24x24 crops.
pub(super) struct RNet {
    blocks: [Block; 3],
    dense: Linear,
    prelu: PRelu,
    class: Linear,
    shift: Linear,
}

impl RNet {
    /// Side of the crops in pixels.
    pub(super) const SIDE: usize = 24;

    pub(super) fn load(source: &WeightSource) -> Result<Self> {
        Ok(Self {
            blocks: [Block::load(source, 1)?, Block::load(source, 2)?, Block::load(source, 3)?],
            dense: Linear::load(source, "dense4")?,
            prelu: PRelu::load(source, "prelu4")?,
            class: Linear::load(source, "dense5_1")?,
            shift: Linear::load(source, "dense5_2")?,
        })
    }

    /// Answers for `[n, 3, 24, 24]`.
    pub(super) fn run(&self, x: &Tensor) -> Result<Vec<Refined>> {
        let x = max_pool(&self.blocks[0].forward(x)?, 3, 2, true)?;
        let x = max_pool(&self.blocks[1].forward(&x)?, 3, 2, true)?;
        let x = flatten_columns_first(&self.blocks[2].forward(&x)?)?;
        let x = self.prelu.forward(&self.dense.forward(&x)?)?;
        collect(&self.class.forward(&x)?, &self.shift.forward(&x)?, None)
    }
}

/// The output network: 48x48 crops, landmarks too.
pub(super) struct ONet {
    blocks: [Block; 4],
    dense: Linear,
    prelu: PRelu,
    class: Linear,
    shift: Linear,
    landmarks: Linear,
}

impl ONet {
    /// Side of the crops in pixels.
    pub(super) const SIDE: usize = 48;

    pub(super) fn load(source: &WeightSource) -> Result<Self> {
        Ok(Self {
            blocks: [
                Block::load(source, 1)?,
                Block::load(source, 2)?,
                Block::load(source, 3)?,
                Block::load(source, 4)?,
            ],
            dense: Linear::load(source, "dense5")?,
            prelu: PRelu::load(source, "prelu5")?,
            class: Linear::load(source, "dense6_1")?,
            shift: Linear::load(source, "dense6_2")?,
            landmarks: Linear::load(source, "dense6_3")?,
        })
    }

    /// Answers for `[n, 3, 48, 48]`.
    pub(super) fn run(&self, x: &Tensor) -> Result<Vec<Refined>> {
        let x = max_pool(&self.blocks[0].forward(x)?, 3, 2, true)?;
        let x = max_pool(&self.blocks[1].forward(&x)?, 3, 2, true)?;
        let x = max_pool(&self.blocks[2].forward(&x)?, 2, 2, true)?;
        let x = flatten_columns_first(&self.blocks[3].forward(&x)?)?;
        let x = self.prelu.forward(&self.dense.forward(&x)?)?;
        collect(&self.class.forward(&x)?, &self.shift.forward(&x)?, Some(&self.landmarks.forward(&x)?))
    }
}

/// `[n, c, h, w]` to `[n, w * h * c]`: the order in which the dense layers were trained.
fn flatten_columns_first(x: &Tensor) -> Result<Tensor> {
    x.permute((0, 3, 2, 1))?.contiguous()?.flatten_from(1)
}

fn collect(class: &Tensor, shift: &Tensor, landmarks: Option<&Tensor>) -> Result<Vec<Refined>> {
    let class: Vec<Vec<f32>> = class.to_vec2()?;
    let shift: Vec<Vec<f32>> = shift.to_vec2()?;
    let landmarks: Option<Vec<Vec<f32>>> = landmarks.map(Tensor::to_vec2).transpose()?;
    Ok((0..class.len())
        .map(|i| Refined {
            score: face_probability(class[i][0], class[i][1]),
            shift: std::array::from_fn(|k| shift[i][k]),
            landmarks: std::array::from_fn(|k| landmarks.as_ref().map_or(0.0, |l| l[i][k])),
        })
        .collect())
}
