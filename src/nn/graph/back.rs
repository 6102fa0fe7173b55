//! The way back over a [`super::tape`]: gradients of layers from the last to the first.

use std::collections::BTreeMap;

use candle_core::{Device, Result, Tensor};
use kith_kernels::planes;
use rayon::prelude::*;

use super::layer::Node;
use super::norm::channel_sums;
use super::tape::{After, DEAL, Frame, Pass, Tape, values};

/// Gradients by the parameter's name.
type Gradients = BTreeMap<String, Tensor>;

impl Tape<'_> {
    /// The gradients of all parameters that are not frozen from that of the raw output.
    pub fn backward(self, outer: &Tensor) -> Result<Gradients> {
        let mut gradients = Gradients::new();
        let grad = values(outer, |outer| Ok(outer.to_vec()))?;
        self.pass.back(self.frames, grad, &mut gradients)?;
        Ok(gradients)
    }
}

impl<'a> Pass<'a> {
    /// Goes back through layers from the gradient of what they made; answers that of what they were given, if it is wanted.
    fn back(&self, frames: Vec<Frame<'a>>, grad: Vec<f32>, into: &mut Gradients) -> Result<Option<Vec<f32>>> {
        let mut grad = grad;
        for frame in frames.into_iter().rev() {
            grad = match self.back_one(frame, grad, into)? {
                Some(grad) => grad,
                None => return Ok(None),
            };
        }
        Ok(Some(grad))
    }

    fn put(&self, into: &mut Gradients, node: &Node, part: &str, values: Vec<f32>) -> Result<()> {
        let tensor = Tensor::from_vec(values, self.var(node, part)?.shape(), &Device::Cpu)?;
        into.insert(format!("{}.{part}", node.name), tensor);
        Ok(())
    }

    fn back_one(&self, frame: Frame<'a>, mut grad: Vec<f32>, into: &mut Gradients) -> Result<Option<Vec<f32>>> {
        Ok(match frame {
            Frame::End => None,
            Frame::Conv { node, conv, x, bias, relu } => {
                if let Some(y) = relu {
                    let both = grad.par_chunks_mut(DEAL).zip(y.par_chunks(DEAL));
                    both.for_each(|(grad, y)| planes::relu_back(y, grad, self.simd));
                    self.drop(y);
                }
                let (learns, shape) = (self.learns(node), conv.result());
                if bias && learns {
                    let sums = channel_sums(&grad, shape.channels, shape.rows * shape.columns, self.simd);
                    self.put(into, node, "bias", sums)?;
                }
                let mut dx = x.moves.then(|| self.parameters.memory.take(x.values.len()));
                let dw = self.with(node, "weight", |weight| {
                    conv.backward(&x.values, weight, &grad, dx.as_deref_mut(), learns)
                })?;
                if let Some(dw) = dw {
                    self.put(into, node, "weight", dw)?;
                }
                self.parameters.memory.give(grad);
                self.drop(x.values);
                dx
            }
            Frame::Norm { node, norm, x, after } => {
                let gradients =
                    self.weighed(node, after, norm.channels, |by| norm.backward(&x.values, by, &mut grad))?;
                if let Some(node) = node.filter(|node| self.learns(node)) {
                    self.put(into, node, "weight", gradients.weight)?;
                    self.put(into, node, "bias", gradients.bias)?;
                }
                if let After::PRelu(node) = after
                    && self.learns(node)
                {
                    self.put(into, node, "weight", gradients.slope)?;
                }
                self.drop(x.values);
                x.moves.then_some(grad)
            }
            Frame::Relu { y } => {
                let both = grad.par_chunks_mut(DEAL).zip(y.par_chunks(DEAL));
                both.for_each(|(grad, y)| planes::relu_back(y, grad, self.simd));
                self.drop(y);
                Some(grad)
            }
            Frame::Max { pooling, taps, before } => {
                let mut dx = self.parameters.memory.zeros(before);
                pooling.greatest_back(&taps, &grad, &mut dx);
                self.parameters.memory.give(grad);
                Some(dx)
            }
            Frame::Roots { pooling, x, y } => {
                let mut dx = self.parameters.memory.take(x.values.len());
                pooling.roots_back(&x.values, &y, &grad, &mut dx);
                self.parameters.memory.give(grad);
                self.drop(x.values);
                self.drop(y);
                Some(dx)
            }
            Frame::Average { pixels } => {
                let mut dx = self.parameters.memory.take(grad.len() * pixels);
                dx.chunks_exact_mut(pixels).zip(&grad).for_each(|(dx, g)| dx.fill(g / pixels as f32));
                Some(dx)
            }
            Frame::LocalNorm { by, x } => {
                let length = x.shape.values();
                let faces = grad.par_chunks_exact_mut(length).zip(x.values.par_chunks_exact(length));
                faces.for_each(|(grad, values)| by.backward(values, x.shape.channels, grad, self.simd));
                self.drop(x.values);
                Some(grad)
            }
            Frame::Linear { node, x, moves, bias, chosen } => {
                if let Some((pieces, taken)) = chosen {
                    let out = taken.len() / self.faces;
                    let mut all = vec![0f32; grad.len() * pieces];
                    for (at, (g, piece)) in grad.iter().zip(&taken).enumerate() {
                        all[at / out * out * pieces + usize::from(*piece) * out + at % out] = *g;
                    }
                    grad = all;
                }
                let width = grad.len() / self.faces;
                let grad = Tensor::from_vec(grad, (self.faces, width), &Device::Cpu)?;
                if self.learns(node) {
                    into.insert(format!("{}.weight", node.name), grad.t()?.matmul(&x)?);
                    if bias {
                        into.insert(format!("{}.bias", node.name), grad.sum(0)?);
                    }
                }
                match moves {
                    true => {
                        let dx = grad.matmul(&self.var(node, "weight")?.as_detached_tensor())?;
                        Some(dx.flatten_all()?.to_vec1()?)
                    }
                    false => None,
                }
            }
            Frame::Branches { branches, pixels } => self.branches_back(branches, pixels, grad, into)?,
            Frame::Residual { inner, scale } => {
                let mut scaled = self.copy(&grad);
                if scale != 1.0 {
                    scaled.par_chunks_mut(DEAL).for_each(|chunk| chunk.iter_mut().for_each(|g| *g *= scale));
                }
                // What goes around the layers has a gradient only where that is wanted of what they were given.
                let through = self.back(inner, scaled, into)?;
                let dx = through.map(|mut dx| {
                    add(&mut dx, &grad);
                    dx
                });
                self.parameters.memory.give(grad);
                dx
            }
        })
    }

    fn branches_back(
        &self,
        mut branches: Vec<(Vec<Frame<'a>>, usize)>,
        pixels: usize,
        grad: Vec<f32>,
        into: &mut Gradients,
    ) -> Result<Option<Vec<f32>>> {
        if branches.len() == 1 {
            return self.back(branches.remove(0).0, grad, into);
        }
        let face = grad.len() / self.faces;
        let (mut before, mut total): (usize, Option<Vec<f32>>) = (0, None);
        for (frames, channels) in branches {
            let length = channels * pixels;
            let mut own = self.parameters.memory.take(self.faces * length);
            let faces = own.par_chunks_exact_mut(length).zip(grad.par_chunks_exact(face));
            faces.for_each(|(own, grad)| own.copy_from_slice(&grad[before..before + length]));
            before += length;
            if let Some(dx) = self.back(frames, own, into)? {
                match &mut total {
                    Some(total) => {
                        add(total, &dx);
                        self.parameters.memory.give(dx);
                    }
                    None => total = Some(dx),
                }
            }
        }
        self.parameters.memory.give(grad);
        Ok(total)
    }
}

fn add(sum: &mut [f32], part: &[f32]) {
    let both = sum.par_chunks_mut(DEAL).zip(part.par_chunks(DEAL));
    both.for_each(|(sum, part)| sum.iter_mut().zip(part).for_each(|(sum, v)| *sum += v));
}
