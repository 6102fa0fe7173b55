//! The network: MobileNetV2 as a backbone, a feature pyramid that ends in one level, four heads in one pass.
//!
//! The maps of 32, 16 and 8 pixels a cell are enlarged in turn by transposed convolutions and summed with what 1x1
//! convolutions make of the next finer map. The four heads are 1x1 convolutions over the same map; they are run as one of
//! [`OUTPUTS`], which is the same arithmetic.

use candle_core::{Result, Tensor};

use crate::nn::weights::{CENTERFACE_BLOCKS, CENTERFACE_HEADS, CENTERFACE_LATERALS};
use crate::nn::{
    Activation, Arithmetic, Conv2d, DepthwiseConv, Map, PackedConv, Program, ProgramBuilder, TransposedConv,
    TransposedConv2d, WeightSource,
};
use kith_kernels::Simd;

/// Pixels from a cell to the next.
pub(super) const STRIDE: usize = 4;
/// The network takes heights and widths in multiples of its coarsest stride.
pub(super) const MULTIPLE: usize = 32;
/// Outputs of a cell: heat (a logit), scale (2), offset (2), landmarks (10).
pub(super) const OUTPUTS: usize = 15;

/// An inverted residual: 1x1 to more channels, 3x3 over each alone, 1x1 to fewer.
struct Block {
    expand: Option<Conv2d>,
    depthwise: Conv2d,
    project: Conv2d,
    /// Whether the input is added to the result.
    adds: bool,
}

impl Block {
    fn load(source: &WeightSource, i: usize) -> Result<Self> {
        let (source, shape) = (source.under("blocks").under(i), &CENTERFACE_BLOCKS[i]);
        let expand = shape.expands().then(|| Conv2d::load(&source, "expand", 1, (0, 0))).transpose()?;
        Ok(Self {
            expand,
            depthwise: Conv2d::load(&source, "depthwise", shape.stride, (1, 1))?.grouped(shape.middle),
            project: Conv2d::load(&source, "project", 1, (0, 0))?,
            adds: shape.adds(),
        })
    }

    fn packed(&self, simd: Simd) -> Result<PackedBlock> {
        Ok(PackedBlock {
            expand: self.expand.as_ref().map(|expand| expand.packed(Activation::Relu, simd)).transpose()?,
            depthwise: self.depthwise.packed_depthwise(Activation::Relu, simd)?,
            project: self.project.packed(Activation::None, simd)?,
            adds: self.adds,
        })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let wide = match &self.expand {
            Some(expand) => expand.forward(x)?.relu()?,
            None => x.clone(),
        };
        let y = self.project.forward(&self.depthwise.forward(&wide)?.relu()?)?;
        if self.adds { y + x } else { Ok(y) }
    }
}

/// A block ready for the kernels.
struct PackedBlock {
    expand: Option<PackedConv>,
    depthwise: DepthwiseConv,
    project: PackedConv,
    adds: bool,
}

impl PackedBlock {
    fn append(&self, builder: &mut ProgramBuilder, x: Map) -> Map {
        let wide = self.expand.as_ref().map_or(x, |expand| {
            builder.step();
            builder.conv_to_new(expand, x)
        });
        builder.step();
        let alone = builder.depthwise_to_new(&self.depthwise, wide);
        builder.step();
        let y = builder.conv_to_new(&self.project, alone);
        if self.adds {
            // By itself, so that the three steps before it can run row by row.
            builder.step().add_coarser(x, y, 1);
        }
        y
    }
}

/// The network for the processor: packed once, laid out for each size of input.
pub(super) struct PackedNet {
    stem: PackedConv,
    blocks: Vec<PackedBlock>,
    top: PackedConv,
    /// Coarsest first: from the coarser map, and from the side.
    neck: Vec<(TransposedConv, PackedConv)>,
    shared: PackedConv,
    heads: PackedConv,
    simd: Simd,
    arithmetic: Arithmetic,
}

impl PackedNet {
    /// The network for `rows` x `columns` of red, green and blue, 0 to 255, in multiples of [`MULTIPLE`].
    pub(super) fn program(&self, rows: usize, columns: usize) -> Program {
        let (mut builder, input) = ProgramBuilder::new(rows, columns, 3);
        let mut x = builder.conv_to_new(&self.stem, input);
        let mut laterals = [x; CENTERFACE_LATERALS.len()];
        for (i, block) in self.blocks.iter().enumerate() {
            x = block.append(&mut builder, x);
            for (lateral, _) in laterals.iter_mut().zip(CENTERFACE_LATERALS).filter(|(_, after)| *after == i) {
                *lateral = x;
            }
        }
        builder.step();
        x = builder.conv_to_new(&self.top, x);
        for ((up, side), lateral) in self.neck.iter().zip(laterals) {
            builder.step();
            let finer = builder.conv_to_new(side, lateral);
            builder.add_transposed(up, x, finer);
            x = finer;
        }
        builder.step();
        x = builder.conv_to_new(&self.shared, x);
        builder.step();
        let answers = builder.conv_to_new(&self.heads, x);
        builder.finish_in(&[answers.into()], self.simd, self.arithmetic)
    }
}

/// The network as layers. See [`super`] for the paper.
pub(super) struct Net {
    stem: Conv2d,
    blocks: Vec<Block>,
    top: Conv2d,
    /// Coarsest first: from the coarser map, and from the side.
    neck: Vec<(TransposedConv2d, Conv2d)>,
    shared: Conv2d,
    /// The four heads as one.
    heads: Conv2d,
}

impl Net {
    pub(super) fn load(source: &WeightSource) -> Result<Self> {
        let plain = |name: &str| Conv2d::load(source, name, 1, (0, 0));
        let neck = (0..CENTERFACE_LATERALS.len()).map(|i| {
            let up = TransposedConv2d::load(source, &format!("neck.up.{i}"), 2)?;
            Ok((up, plain(&format!("neck.lateral.{i}"))?))
        });
        let joined = |part: &str| -> Result<Tensor> {
            let parts = CENTERFACE_HEADS.iter().map(|(head, ..)| source.get(&format!("head.{head}.{part}")));
            Tensor::cat(&parts.collect::<Result<Vec<_>>>()?, 0)
        };
        Ok(Self {
            stem: Conv2d::load(source, "stem", 2, (1, 1))?,
            blocks: (0..CENTERFACE_BLOCKS.len()).map(|i| Block::load(source, i)).collect::<Result<_>>()?,
            top: plain("neck.top")?,
            neck: neck.collect::<Result<_>>()?,
            shared: Conv2d::load(source, "head.shared", 1, (1, 1))?,
            heads: Conv2d::new(joined("weight")?, Some(joined("bias")?), 1, (0, 0))?,
        })
    }

    pub(super) fn packed(&self, simd: Simd, arithmetic: Arithmetic) -> Result<PackedNet> {
        let relu = |conv: &Conv2d| conv.packed(Activation::Relu, simd);
        let neck = self.neck.iter().map(|(up, side)| Ok((up.packed(Activation::Relu, simd)?, relu(side)?)));
        Ok(PackedNet {
            stem: relu(&self.stem)?,
            blocks: self.blocks.iter().map(|block| block.packed(simd)).collect::<Result<_>>()?,
            top: relu(&self.top)?,
            neck: neck.collect::<Result<_>>()?,
            shared: relu(&self.shared)?,
            heads: self.heads.packed(Activation::None, simd)?,
            simd,
            arithmetic,
        })
    }

    /// The answers `[rows, columns, OUTPUTS]` for `[1, 3, h, w]` of red, green and blue, 0 to 255; height and width are
    /// multiples of [`MULTIPLE`].
    pub(super) fn run(&self, x: &Tensor) -> Result<Vec<f32>> {
        let mut x = self.stem.forward(x)?.relu()?;
        let mut laterals = CENTERFACE_LATERALS.map(|_| None);
        for (i, block) in self.blocks.iter().enumerate() {
            x = block.forward(&x)?;
            for (lateral, _) in laterals.iter_mut().zip(CENTERFACE_LATERALS).filter(|(_, after)| *after == i) {
                *lateral = Some(x.clone());
            }
        }
        x = self.top.forward(&x)?.relu()?;
        for ((up, side), lateral) in self.neck.iter().zip(laterals.iter().flatten()) {
            x = (up.forward(&x)?.relu()? + side.forward(lateral)?.relu()?)?;
        }
        let answers = self.heads.forward(&self.shared.forward(&x)?.relu()?)?;
        answers.permute((0, 2, 3, 1))?.flatten_all()?.to_vec1()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use candle_core::Device;
    use serde_json::Value;

    use super::*;
    use crate::media::Photo;
    use crate::nn::weights::{TensorMap, golden};

    fn answers() -> Value {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/centerface.json");
        serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
    }

    /// The map of a head, channel after channel, as ONNX Runtime gives it.
    fn map(answers: &[f32], head: &str) -> Vec<f32> {
        let at = CENTERFACE_HEADS.iter().position(|(name, ..)| *name == head).unwrap();
        let first: usize = CENTERFACE_HEADS[..at].iter().map(|(_, outputs, _)| outputs).sum();
        let channel = |c: usize| answers.iter().skip(c).step_by(OUTPUTS).copied();
        match head {
            "heat" => channel(0).map(|v| 1.0 / (1.0 + (-v).exp())).collect(),
            _ => (first..first + CENTERFACE_HEADS[at].1).flat_map(channel).collect(),
        }
    }

    /// Holds the layers and the programs of every path against ONNX Runtime on the same input; `room` is how far a head's
    /// values may be off, by its standard deviation and what they were computed in.
    fn hold(tensors: &TensorMap, x: &Tensor, wanted: &Value, room: impl Fn(&str, f64, &str) -> f64) {
        let net = Net::load(&WeightSource::new(tensors, &Device::Cpu)).unwrap();
        let (_, _, rows, columns) = x.dims4().unwrap();
        let pixels: Vec<f32> = x.permute((0, 2, 3, 1)).unwrap().flatten_all().unwrap().to_vec1().unwrap();
        let by_program = |(simd, kind): (Simd, Arithmetic)| {
            let program = net.packed(simd, kind).unwrap().program(rows, columns);
            let run = || {
                let row = 3 * columns;
                program.run_rows(1, |_, y, out| out.copy_from_slice(&pixels[y * row..][..row])).remove(0)
            };
            // Twice: a workspace that was used holds nothing that matters.
            run();
            (simd.to_string(), kind.name(), run())
        };
        let by_layers = ("layers".to_string(), "f32", net.run(x).unwrap());
        // Those that a detector is computed in.
        let kinds = [Arithmetic::F32, Arithmetic::F16];
        let programs = Arithmetic::available().into_iter().filter(|(_, kind)| kinds.contains(kind)).map(by_program);
        for (by, kind, values) in std::iter::once(by_layers).chain(programs) {
            for (head, ..) in CENTERFACE_HEADS {
                let wanted = &wanted[head];
                let (what, std) = (format!("{head} by {by} in {kind}"), wanted["std"].as_f64().unwrap());
                let values = map(&values, head);
                let gap = golden::hold(wanted, &what, &values, room(head, std, kind));
                let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / values.len() as f64;
                assert!((mean - wanted["mean"].as_f64().unwrap()).abs() < room(head, std, kind), "{what}: mean {mean}");
                println!("{what}: {gap:.1e}");
            }
        }
    }

    #[test]
    fn drawn_weights_give_what_onnx_runtime_gives() {
        // Drawn weights make outputs of hundreds, and so large are the logits behind the heat.
        hold(&golden::drawn("centerface"), &golden::input(&[1, 3, 96, 160]), &answers()["drawn"], |head, std, kind| {
            match (kind, head) {
                ("f16", "heat") => 0.4,
                ("f16", _) => 1e-1 * std.max(1.0),
                _ => 1e-4 * std.max(1.0),
            }
        });
    }

    #[cfg(feature = "embedded-weights")]
    #[test]
    fn published_weights_give_what_onnx_runtime_gives() {
        use crate::detect::input::{padded, planar};
        let loaded = crate::nn::weights::WeightStore::new(None).load("centerface").unwrap();
        let photos = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/photos");
        for name in ["hopper_small.jpg", "no_face.jpg"] {
            let photo = Photo::open(photos.join(name)).unwrap();
            let (columns, rows) = padded(photo.raster(), MULTIPLE);
            let mut x = vec![0f32; 3 * rows * columns];
            planar(photo.raster(), super::super::RGB, rows * columns, columns, &mut x);
            let x = Tensor::from_vec(x, (1, 3, rows, columns), &Device::Cpu).unwrap();
            hold(&loaded.tensors, &x, &answers()["photos"][name]["maps"], |_, _, kind| match kind {
                // A twentieth of a cell: a fifth of a pixel.
                "f16" => 5e-2,
                _ => 1e-3,
            });
        }
    }
}
