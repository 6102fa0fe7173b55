//! P-net, R-net and O-net (Zhang et al. 2016, figure 2), layer by layer as facenet-pytorch 2.6.0 has
//! them: PReLU after every convolution, pooling in ceil mode.

use candle_core::{Result, Tensor};
use rayon::prelude::*;

use crate::nn::{
    Activation, Conv2d, Device, InputRows, Linear, PRelu, PackedConv, Program, ProgramBuilder, WeightSource, max_pool,
    pooled_length,
};
use kith_kernels::Simd;

const NO_PADDING: (usize, usize) = (0, 0);
/// Side of R-net's crops in pixels.
pub(super) const RNET_SIDE: usize = 24;
/// Side of O-net's crops in pixels.
pub(super) const ONET_SIDE: usize = 48;

/// Crops that a thread takes through R-net or O-net together. Their maps take 0.1 and 0.5 MB a crop: so many
/// stay in a core's L2 cache, and share the reading of the dense layers' weights.
const RNET_GROUP: usize = 8;
const ONET_GROUP: usize = 3;

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

    fn packed(&self, simd: Simd) -> Result<PackedConv> {
        self.conv.packed(self.prelu.activation()?, simd)
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

/// Window and stride of a pooling in ceil mode.
type Pool = (usize, usize);

/// R-net or O-net: convolutions, poolings after the first of them, a dense layer, and dense layers over
/// that side by side (class, shift and, in O-net, landmarks).
pub(super) struct Refiner {
    blocks: Vec<Block>,
    pools: &'static [Pool],
    dense: Linear,
    prelu: PRelu,
    answers: Linear,
    /// The same network on our own kernels, where it runs on the processor.
    program: Option<Program>,
    group: usize,
}

impl Refiner {
    /// The refinement network: crops of [`RNET_SIDE`].
    pub(super) fn rnet(source: &WeightSource, simd: Simd) -> Result<Self> {
        Self::load(source, simd, RNET_SIDE, &[(3, 2), (3, 2)], 4, 2)
    }

    /// The output network: crops of [`ONET_SIDE`].
    pub(super) fn onet(source: &WeightSource, simd: Simd) -> Result<Self> {
        Self::load(source, simd, ONET_SIDE, &[(3, 2), (3, 2), (2, 2)], 5, 3)
    }

    /// `dense` is the number of the dense layer; the convolutions are those before it.
    fn load(
        source: &WeightSource,
        simd: Simd,
        side: usize,
        pools: &'static [Pool],
        dense: usize,
        answers: usize,
    ) -> Result<Self> {
        let names = (1..=answers).map(|i| format!("dense{}_{i}", dense + 1));
        let layers: Vec<Linear> = names.map(|name| Linear::load(source, &name)).collect::<Result<_>>()?;
        let mut net = Self {
            blocks: (1..dense).map(|number| Block::load(source, number)).collect::<Result<_>>()?,
            pools,
            dense: Linear::load(source, &format!("dense{dense}"))?,
            prelu: PRelu::load(source, &format!("prelu{dense}"))?,
            answers: Linear::side_by_side(&layers.iter().collect::<Vec<_>>())?,
            program: None,
            group: if side == RNET_SIDE { RNET_GROUP } else { ONET_GROUP },
        };
        if source.is_cpu() {
            net.program = Some(net.program(side, simd)?);
        }
        Ok(net)
    }

    fn program(&self, side: usize, simd: Simd) -> Result<Program> {
        let (mut builder, mut x) = ProgramBuilder::new(side, side, 3);
        for (i, block) in self.blocks.iter().enumerate() {
            builder.step();
            x = builder.conv_to_new(&block.packed(simd)?, x);
            if let Some(&(window, stride)) = self.pools.get(i) {
                let length = |l| pooled_length(l, window, stride);
                let pooled = builder.map(length(x.rows), length(x.columns), x.channels);
                builder.step().max_pool(x, pooled, window, stride);
                x = pooled;
            }
        }
        builder.step();
        x = builder.conv_to_new(&self.dense.packed((x.rows, x.columns), self.prelu.activation()?, simd)?, x);
        builder.step();
        x = builder.conv_to_new(&self.answers.packed((1, 1), Activation::None, simd)?, x);
        Ok(builder.finish(&[x.into()], simd))
    }

    /// Answers for `n` crops of `side` x `side`, each written by `fill` as interleaved pixels.
    pub(super) fn run(
        &self,
        n: usize,
        side: usize,
        device: &Device,
        fill: impl Fn(usize, &mut [f32]) + Sync,
    ) -> Result<Vec<Refined>> {
        if let Some(program) = &self.program {
            let fill = |i: usize, rows: &mut InputRows| rows.whole().into_iter().for_each(|pixels| fill(i, pixels));
            let answers = program.run_in_groups(n, self.group, fill);
            return Ok(collect(&answers[0], n));
        }
        let mut pixels = vec![0f32; n * side * side * 3];
        pixels.par_chunks_mut(side * side * 3).enumerate().for_each(|(i, crop)| fill(i, crop));
        let x = Tensor::from_vec(pixels, (n, side, side, 3), device.inner())?;
        let x = x.permute((0, 3, 1, 2))?.contiguous()?;
        Ok(collect(&self.forward(&x)?.flatten_all()?.to_vec1::<f32>()?, n))
    }

    /// Answers side by side, `[n, 6]` or `[n, 16]`, for `[n, 3, side, side]`.
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let mut x = x.clone();
        for (i, block) in self.blocks.iter().enumerate() {
            x = block.forward(&x)?;
            if let Some(&(window, stride)) = self.pools.get(i) {
                x = max_pool(&x, window, stride, true)?;
            }
        }
        let x = self.prelu.forward(&self.dense.forward(&flatten_columns_first(&x)?)?)?;
        self.answers.forward(&x)
    }
}

/// `[n, c, h, w]` to `[n, w * h * c]`: the order in which the dense layers were trained.
fn flatten_columns_first(x: &Tensor) -> Result<Tensor> {
    x.permute((0, 3, 2, 1))?.contiguous()?.flatten_from(1)
}

/// What the `n` rows of `answers` say: class (2), shift (4) and, where there are more, landmarks (10).
fn collect(answers: &[f32], n: usize) -> Vec<Refined> {
    let refined = |row: &[f32]| Refined {
        score: face_probability(row[0], row[1]),
        shift: std::array::from_fn(|k| row[2 + k]),
        landmarks: std::array::from_fn(|k| row.get(6 + k).copied().unwrap_or(0.0)),
    };
    answers.chunks_exact((answers.len() / n.max(1)).max(1)).map(refined).collect()
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng};

    use super::*;
    use crate::nn::DeviceChoice;
    use crate::nn::weights::WeightStore;

    #[test]
    fn programs_of_every_path_answer_as_the_layers_do() {
        let device = Device::open(DeviceChoice::Cpu).unwrap();
        let loaded = WeightStore::new(None).load("mtcnn").unwrap();
        let source = WeightSource::new(&loaded.tensors, device.inner());
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(5);
        for simd in Simd::available() {
            for (side, n) in [(RNET_SIDE, 1), (RNET_SIDE, 30), (ONET_SIDE, 1), (ONET_SIDE, 7)] {
                let net = match side {
                    RNET_SIDE => Refiner::rnet(&source.under("rnet"), simd).unwrap(),
                    _ => Refiner::onet(&source.under("onet"), simd).unwrap(),
                };
                let crops: Vec<f32> = (0..n * side * side * 3).map(|_| rng.random_range(-1.0..1.0)).collect();
                let crop = |i: usize| &crops[i * side * side * 3..][..side * side * 3];
                let x = Tensor::from_slice(&crops, (n, side, side, 3), device.inner()).unwrap();
                let x = x.permute((0, 3, 1, 2)).unwrap().contiguous().unwrap();
                let wanted: Vec<f32> = net.forward(&x).unwrap().flatten_all().unwrap().to_vec1().unwrap();
                let program = net.program.as_ref().unwrap();
                let got = program.run(n, |i, rows| rows.whole().unwrap().copy_from_slice(crop(i))).remove(0);
                assert_eq!(got.len(), wanted.len());
                let gap = got.iter().zip(&wanted).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                assert!(gap < 1e-4, "{simd}, {n} crops of {side}: {gap}");
            }
        }
    }
}
