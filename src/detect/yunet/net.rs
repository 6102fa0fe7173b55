//! YuNet's layers: a backbone of depthwise-separable units, a neck that carries coarse features down to
//! finer levels, and four heads a level.
//!
//! The four heads of a level (face or not, objectness, box, landmarks) have 1, 1, 4 and 10 outputs. They
//! are run as one unit of sixteen, which is the same arithmetic.

use candle_core::{Result, Tensor};

use crate::nn::weights::YunetShape;
use crate::nn::{
    Activation, Arithmetic, Conv2d, DepthwiseConv, Map, PackedConv, Program, ProgramBuilder, WeightSource, max_pool,
};
use kith_kernels::Simd;

/// Pixels from a cell to the next, at each level.
pub(super) const STRIDES: [usize; 3] = [8, 16, 32];
/// Outputs of a cell: class, objectness, box (4), landmarks (10).
pub(super) const OUTPUTS: usize = 16;
/// The heads in the order of a cell's outputs.
const HEADS: [&str; 4] = ["cls", "obj", "bbox", "kps"];

/// What the network says of one level: `[rows, columns, OUTPUTS]`, class and objectness as logits.
pub(super) struct Answers {
    pub columns: usize,
    pub values: Vec<f32>,
}

/// A 1x1 convolution, then a 3x3 over each channel alone.
struct Unit {
    pointwise: Conv2d,
    depthwise: Conv2d,
}

impl Unit {
    fn load(source: &WeightSource, name: &str) -> Result<Self> {
        let source = source.under(name);
        let weight = source.get("conv2.weight")?;
        let channels = weight.dim(0)?;
        Ok(Self {
            pointwise: Conv2d::load(&source, "conv1", 1, (0, 0))?,
            depthwise: Conv2d::new(weight, Some(source.get("conv2.bias")?), 1, (1, 1))?.grouped(channels),
        })
    }

    /// The heads of one level as a unit of [`OUTPUTS`] channels.
    fn load_heads(source: &WeightSource, level: usize) -> Result<Self> {
        let part = |conv: &str, part: &str| -> Result<Tensor> {
            let name = |head| format!("bbox_head.multi_level_{head}.{level}.{conv}.{part}");
            let parts = HEADS.iter().map(|head| source.get(&name(head))).collect::<Result<Vec<_>>>()?;
            Tensor::cat(&parts, 0)
        };
        Ok(Self {
            pointwise: Conv2d::new(part("conv1", "weight")?, Some(part("conv1", "bias")?), 1, (0, 0))?,
            depthwise: Conv2d::new(part("conv2", "weight")?, Some(part("conv2", "bias")?), 1, (1, 1))?.grouped(OUTPUTS),
        })
    }

    fn packed(&self, after: Activation, simd: Simd) -> Result<PackedUnit> {
        Ok(PackedUnit(self.pointwise.packed(Activation::None, simd)?, self.depthwise.packed_depthwise(after, simd)?))
    }

    /// Without the ReLU that follows a unit everywhere but in the heads.
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.depthwise.forward(&self.pointwise.forward(x)?)
    }
}

/// A unit ready for the kernels.
struct PackedUnit(PackedConv, DepthwiseConv);

impl PackedUnit {
    fn append(&self, builder: &mut ProgramBuilder, x: Map) -> Map {
        builder.step();
        let y = builder.conv_to_new(&self.0, x);
        builder.step();
        builder.depthwise_to_new(&self.1, y)
    }
}

/// The network for the processor: packed once, laid out for each size of input.
pub(super) struct PackedNet {
    stem: PackedConv,
    first: PackedUnit,
    stages: Vec<[PackedUnit; 2]>,
    neck: [PackedUnit; 3],
    shared: Option<[PackedUnit; 3]>,
    heads: [PackedUnit; 3],
    simd: Simd,
    arithmetic: Arithmetic,
}

/// Stages whose results are levels, counted without the first.
fn is_level(stage: usize) -> bool {
    stage >= 2
}

/// Stages that halve what they hand on, counted without the first.
fn halves(stage: usize) -> bool {
    (1..4).contains(&stage)
}

impl PackedNet {
    /// The network for `rows` x `columns` of red, green and blue, 0 to 255, in multiples of 32. Gives the
    /// three levels' answers, finest first.
    pub(super) fn program(&self, rows: usize, columns: usize) -> Program {
        let (mut builder, input) = ProgramBuilder::new(rows, columns, 3);
        let builder = &mut builder;
        let half = |builder: &mut ProgramBuilder, x: Map| {
            let y = builder.map(x.rows / 2, x.columns / 2, x.channels);
            builder.step().max_pool(x, y, 2, 2);
            y
        };
        let stem = builder.conv_to_new(&self.stem, input);
        let first = self.first.append(builder, stem);
        let mut x = half(builder, first);
        let mut levels = Vec::new();
        for (i, [first, second]) in self.stages.iter().enumerate() {
            x = first.append(builder, x);
            x = second.append(builder, x);
            if is_level(i) {
                levels.push(x);
            }
            if halves(i) {
                x = half(builder, x);
            }
        }
        // From the coarsest level down, each taking up what the coarser one found.
        let mut answers = Vec::new();
        let mut coarser: Option<Map> = None;
        for (level, &x) in levels.iter().enumerate().rev() {
            if let Some(coarser) = coarser {
                builder.step().add_coarser(coarser, x, 2);
            }
            let found = self.neck[level].append(builder, x);
            coarser = Some(found);
            let shared = self.shared.as_ref().map_or(found, |shared| shared[level].append(builder, found));
            answers.push(self.heads[level].append(builder, shared).into());
        }
        answers.reverse();
        std::mem::replace(builder, ProgramBuilder::new(1, 1, 1).0).finish_in(&answers, self.simd, self.arithmetic)
    }
}

/// The network as layers. See [`super`] for the paper.
pub(super) struct Net {
    stem: Conv2d,
    first: Unit,
    stages: Vec<[Unit; 2]>,
    /// Finest level first.
    neck: [Unit; 3],
    shared: Option<[Unit; 3]>,
    heads: [Unit; 3],
}

impl Net {
    pub(super) fn load(source: &WeightSource, shape: &YunetShape) -> Result<Self> {
        let three = |name: &dyn Fn(usize) -> String| -> Result<[Unit; 3]> {
            Ok([Unit::load(source, &name(0))?, Unit::load(source, &name(1))?, Unit::load(source, &name(2))?])
        };
        let stage = |i: usize| -> Result<[Unit; 2]> {
            let stage = source.under("backbone").under(format!("model{i}"));
            Ok([Unit::load(&stage, "conv1")?, Unit::load(&stage, "conv2")?])
        };
        Ok(Self {
            stem: Conv2d::load(source, "backbone.model0.conv1", 2, (1, 1))?,
            first: Unit::load(source, "backbone.model0.conv2")?,
            stages: (1..shape.stages.len()).map(stage).collect::<Result<_>>()?,
            neck: three(&|level| format!("neck.lateral_convs.{level}"))?,
            shared: if shape.shared {
                Some(three(&|level| format!("bbox_head.multi_level_share_convs.{level}.0"))?)
            } else {
                None
            },
            heads: [Unit::load_heads(source, 0)?, Unit::load_heads(source, 1)?, Unit::load_heads(source, 2)?],
        })
    }

    pub(super) fn packed(&self, simd: Simd, arithmetic: Arithmetic) -> Result<PackedNet> {
        let relu = |unit: &Unit| unit.packed(Activation::Relu, simd);
        let three = |[a, b, c]: &[Unit; 3], after: Activation| -> Result<[PackedUnit; 3]> {
            Ok([a.packed(after.clone(), simd)?, b.packed(after.clone(), simd)?, c.packed(after, simd)?])
        };
        let stages = self.stages.iter().map(|[first, second]| Ok([relu(first)?, relu(second)?]));
        Ok(PackedNet {
            stem: self.stem.with_inputs_reversed()?.packed(Activation::Relu, simd)?,
            first: relu(&self.first)?,
            stages: stages.collect::<Result<_>>()?,
            neck: three(&self.neck, Activation::Relu)?,
            shared: self.shared.as_ref().map(|shared| three(shared, Activation::Relu)).transpose()?,
            heads: three(&self.heads, Activation::None)?,
            simd,
            arithmetic,
        })
    }

    /// The answers of the three levels, finest first, for `[1, 3, h, w]` of blue, green and red, 0 to 255;
    /// height and width are multiples of 32.
    pub(super) fn run(&self, x: &Tensor) -> Result<[Answers; 3]> {
        let half = |x: &Tensor| max_pool(x, 2, 2, false);
        let mut x = half(&self.first.forward(&self.stem.forward(x)?.relu()?)?.relu()?)?;
        let mut levels = Vec::new();
        for (i, [first, second]) in self.stages.iter().enumerate() {
            x = second.forward(&first.forward(&x)?.relu()?)?.relu()?;
            if is_level(i) {
                levels.push(x.clone());
            }
            if halves(i) {
                x = half(&x)?;
            }
        }
        let [fine, middle, coarse] = &levels[..] else { candle_core::bail!("{} levels", levels.len()) };
        let down = |level: usize, x: &Tensor, above: Option<&Tensor>| -> Result<Tensor> {
            let x = match above {
                Some(above) => (x + above.upsample_nearest2d(x.dim(2)?, x.dim(3)?)?)?,
                None => x.clone(),
            };
            self.neck[level].forward(&x)?.relu()
        };
        let coarse = down(2, coarse, None)?;
        let middle = down(1, middle, Some(&coarse))?;
        let fine = down(0, fine, Some(&middle))?;
        let answers = |level: usize, x: &Tensor| -> Result<Answers> {
            let x = match &self.shared {
                Some(shared) => shared[level].forward(x)?.relu()?,
                None => x.clone(),
            };
            let y = self.heads[level].forward(&x)?;
            let columns = y.dim(3)?;
            Ok(Answers { columns, values: y.permute((0, 2, 3, 1))?.flatten_all()?.to_vec1()? })
        };
        Ok([answers(0, &fine)?, answers(1, &middle)?, answers(2, &coarse)?])
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;
    use serde_json::Value;

    use super::*;
    use crate::media::Photo;
    use crate::nn::weights::{TensorMap, YUNET_N, YUNET_S, golden};

    const NETS: [(&str, &YunetShape); 2] = [("yunet-s", &YUNET_S), ("yunet-n", &YUNET_N)];

    /// What an output's values may be held to.
    struct Said<'a> {
        /// Their standard deviation.
        std: f64,
        /// What they were computed in.
        numbers: &'a str,
        /// Whether they are scores from 0 to 1.
        score: bool,
    }

    /// One of ONNX Runtime's twelve outputs.
    fn output(answers: &Answers, head: &str) -> Vec<f32> {
        let sigmoid = |v: &f32| 1.0 / (1.0 + (-v).exp());
        let cells = answers.values.chunks_exact(OUTPUTS);
        match head {
            "cls" => cells.map(|cell| sigmoid(&cell[0])).collect(),
            "obj" => cells.map(|cell| sigmoid(&cell[1])).collect(),
            "bbox" => cells.flat_map(|cell| cell[2..6].to_vec()).collect(),
            _ => cells.flat_map(|cell| cell[6..].to_vec()).collect(),
        }
    }

    fn hold(tensors: &TensorMap, shape: &YunetShape, x: &Tensor, wanted: &Value, tolerance: impl Fn(&Said) -> f64) {
        let net = Net::load(&WeightSource::new(tensors, &Device::Cpu), shape).unwrap();
        let (_, _, rows, columns) = x.dims4().unwrap();
        let mut pixels: Vec<f32> = x.permute((0, 2, 3, 1)).unwrap().flatten_all().unwrap().to_vec1().unwrap();
        pixels.as_chunks_mut::<3>().0.iter_mut().for_each(|bgr| bgr.reverse());
        let by_program = |(simd, kind): (Simd, Arithmetic)| {
            let program = net.packed(simd, kind).unwrap().program(rows, columns);
            // Twice: a workspace that was used holds nothing that matters.
            let run = || {
                program.run(1, |_, out| {
                    pixels.chunks(3 * columns).enumerate().for_each(|(y, row)| out.row(y).copy_from_slice(row));
                })
            };
            run();
            let levels = run().into_iter().zip(STRIDES);
            let answers = levels.map(|(values, stride)| Answers { columns: columns / stride, values });
            (format!("{simd} in {}", kind.name()), answers.collect::<Vec<_>>())
        };
        let by_layers = ("layers".to_string(), net.run(x).unwrap().into());
        // Those that a detector is computed in.
        let kinds = [Arithmetic::F32, Arithmetic::F16];
        let programs = Arithmetic::available().into_iter().filter(|(_, kind)| kinds.contains(kind)).map(by_program);
        for (by, answers) in std::iter::once(by_layers).chain(programs) {
            for (answers, stride) in answers.iter().zip(STRIDES) {
                for head in HEADS {
                    let wanted = &wanted[&format!("{head}_{stride}")];
                    let numbers = by.rsplit(' ').next().unwrap_or_default();
                    let said =
                        Said { std: wanted["std"].as_f64().unwrap(), numbers, score: ["cls", "obj"].contains(&head) };
                    let what = format!("{head}_{stride} by {by}");
                    let gap = golden::hold(wanted, &what, &output(answers, head), tolerance(&said));
                    println!("{what}: {gap:.1e}");
                }
            }
        }
    }

    #[test]
    fn drawn_weights_give_what_onnx_runtime_gives() {
        for (name, shape) in NETS {
            let (tensors, x) = (golden::drawn(name), golden::input(&[1, 3, 96, 160]));
            // Drawn weights make outputs of hundreds, and so large are the logits behind the scores.
            let room = |said: &Said| match said.numbers {
                "f16" if said.score => 0.4,
                "f16" => 1e-1 * said.std.max(1.0),
                _ => 1e-4 * said.std.max(1.0),
            };
            hold(&tensors, shape, &x, &golden::fast_pair()["drawn"][name], room);
        }
    }

    #[test]
    fn published_weights_give_what_onnx_runtime_gives() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        let photo = Photo::open(root.join("tests/fixtures/photos/astronaut.png")).unwrap();
        let mut x = vec![0f32; 3 * 512 * 512];
        crate::detect::input::planar(photo.raster(), super::super::BGR, 512 * 512, 512, &mut x);
        for (name, shape) in NETS {
            let Some(loaded) = golden::published(name) else { continue };
            let x = Tensor::from_vec(x.clone(), (1, 3, 512, 512), &Device::Cpu).unwrap();
            hold(&loaded.tensors, shape, &x, &golden::fast_pair()["published"][name], |said| match said.numbers {
                // A hundredth of a cell: a third of a pixel at the coarsest level.
                "f16" => 1e-2,
                _ => 1e-4,
            });
        }
    }
}
