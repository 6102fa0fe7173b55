//! Weights of networks over maps of f16 values, packed once for each program.
//!
//! The input stays f32, and so do the sums over it, which are large beside their result (light and dark next to each
//! other cancel out): in f16 YuNet's boxes moved three times as far. Their results are rounded row by row.

use std::sync::Arc;

use half::f16;

use crate::f16::tile::F16Kernels;
use crate::f32::depthwise::{self, DepthwiseConv};
use crate::f32::pack::{Packed, PackedConv};
use crate::lanes::aligned::Aligned;
use crate::lanes::{LANES, Number};

/// The runs of a window as pairs: how many runs there are, and how long each is.
#[derive(Clone, Copy)]
pub(crate) struct Runs {
    pub count: usize,
    pub length: usize,
}

impl Runs {
    /// F16 values of an output's weights: runs of odd length are filled up with a zero.
    pub(crate) fn depth(self) -> usize {
        self.count * self.length.next_multiple_of(2)
    }
}

/// F32 whose memory all weights take.
pub(crate) fn length(packed: &Packed, runs: Runs) -> usize {
    packed.vectors() * LANES * runs.depth() / f16::IN_ONE
}

/// Rounds weights into where a program has them.
pub(crate) fn pack(conv: &PackedConv, runs: Runs, memory: &mut [f32]) {
    let (packed, depth) = (conv.packed(), runs.depth());
    conv.each_panel(depth, f16::of_mut(memory), |panel, to| {
        let width = panel.vectors * LANES;
        let mut own = vec![0.0; packed.depth() * width];
        conv.pack_panel(panel, &mut own);
        for (run, to) in own.chunks(runs.length * width).zip(to.chunks_mut(depth / runs.count * width)) {
            for (two, to) in run.chunks(2 * width).zip(to.chunks_mut(2 * width)) {
                let (even, odd) = two.split_at(width);
                for (lane, pair) in to.chunks_mut(2).enumerate() {
                    pair[0] = f16::from_f32(even[lane]);
                    pair[1] = odd.get(lane).map_or(f16::ZERO, |&w| f16::from_f32(w));
                }
            }
        }
    });
}

impl F16Kernels {
    /// The same depthwise convolution in f16.
    pub(crate) fn depthwise(&self, conv: &DepthwiseConv) -> Arc<depthwise::Packed<f16>> {
        let packed = conv.packed();
        let rounded = |values: &Aligned| {
            let mut memory = Aligned::zeros(values.values().len().div_ceil(f16::IN_ONE));
            let to = f16::of_mut(memory.values_mut());
            to.iter_mut().zip(values.values()).for_each(|(to, &v)| *to = f16::from_f32(v));
            memory
        };
        Arc::new(depthwise::Packed {
            channels: packed.channels,
            window: packed.window,
            stride: packed.stride,
            padding: packed.padding,
            weights: rounded(&packed.weights),
            bias: rounded(&packed.bias),
            slopes: packed.slopes.as_ref().map(rounded),
            least: f16::from_f32(packed.least),
            greatest: f16::from_f32(packed.greatest),
            kernel: self.depthwise,
        })
    }
}
