//! P-net, R-net and O-net (Zhang et al. 2016, figure 2), layer by layer as facenet-pytorch 2.6.0 has
//! them: PReLU after every convolution, pooling in ceil mode.

use candle_core::{Result, Tensor};

use crate::nn::{Conv2d, Linear, PRelu, WeightSource, max_pool};

const NO_PADDING: (usize, usize) = (0, 0);

/// What P-net says of every cell of a level, in row-major order.
pub(super) struct Maps {
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
pub(super) fn face_probability(no_face: f32, face: f32) -> f32 {
    1.0 / (1.0 + (no_face - face).exp())
}

/// The proposal network: a 12x12 window at stride 2, run as convolutions over a whole level, on
/// candle's tensors; the processor has [`super::strips::StripPNet`].
pub(super) struct PNet {
    blocks: [Block; 3],
    class: Conv2d,
    shift: Conv2d,
}

impl PNet {
    pub(super) fn load(source: &WeightSource) -> Result<Self> {
        Ok(Self {
            blocks: [Block::load(source, 1)?, Block::load(source, 2)?, Block::load(source, 3)?],
            class: Conv2d::load(source, "conv4_1", 1, NO_PADDING)?,
            shift: Conv2d::load(source, "conv4_2", 1, NO_PADDING)?,
        })
    }

    /// Answers for every cell of `[1, 3, h, w]`.
    pub(super) fn run(&self, x: &Tensor) -> Result<Maps> {
        let x = max_pool(&self.blocks[0].forward(x)?, 2, 2, true)?;
        let x = self.blocks[2].forward(&self.blocks[1].forward(&x)?)?;
        let columns = x.dim(3)?;
        let class: Vec<f32> = self.class.forward(&x)?.flatten_all()?.to_vec1()?;
        let shifts: Vec<f32> = self.shift.forward(&x)?.flatten_all()?.to_vec1()?;
        let (no_face, face) = class.split_at(class.len() / 2);
        let scores = no_face.iter().zip(face).map(|(n, f)| face_probability(*n, *f)).collect();
        Ok(Maps { columns, scores, shifts })
    }
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
