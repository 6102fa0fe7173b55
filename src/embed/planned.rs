//! A trained network as a program of our own kernels: batch normalisation folded into the convolution before it, activations
//! behind it, and residual sums added in place.

use candle_core::{Result as TensorResult, Tensor, bail};
use kith_kernels::Simd;

use crate::nn::graph::{Layer, Network, Node, Parameters};
use crate::nn::{Activation, Arithmetic, Conv2d, Map, Program, ProgramBuilder};

/// The program, or the name of the first layer that programs have no operation for: that network runs over tensors.
pub(super) fn plan(network: &Network, parameters: &Parameters, simd: Simd) -> TensorResult<Result<Program, String>> {
    let (width, height) = network.chip_size();
    let (builder, chip) = ProgramBuilder::new(height as usize, width as usize, 3);
    let mut planner = Planner { parameters, simd, builder, chip };
    Ok(match planner.through(&network.nodes, chip, None)? {
        Ok(vector) => Ok(planner.builder.finish_in(&[vector.into()], simd, Arithmetic::F32)),
        Err(layer) => Err(layer),
    })
}

struct Planner<'a> {
    parameters: &'a Parameters,
    simd: Simd,
    builder: ProgramBuilder,
    chip: Map,
}

/// A map, or the name of the layer that cannot be planned.
type Planned = Result<Map, String>;

impl Planner<'_> {
    fn tensor(&self, node: &Node, part: &str) -> TensorResult<Tensor> {
        let name = format!("{}.{part}", node.name);
        let all = [&self.parameters.learnt, &self.parameters.running];
        match all.iter().find_map(|tensors| tensors.get(&name)) {
            Some(var) => var.as_detached_tensor().to_device(&candle_core::Device::Cpu),
            None => bail!("no tensor is called {name}"),
        }
    }

    /// Plans layers over `x`; the last of them adds its result to `add`, where there is one.
    fn through(&mut self, nodes: &[Node], mut x: Map, add: Option<Map>) -> TensorResult<Planned> {
        let mut at = 0;
        while let Some(node) = nodes.get(at) {
            at += 1;
            let planned = match &node.layer {
                Layer::Conv { .. } | Layer::Linear { .. } => {
                    let (conv, depthwise) = self.convolution(node, x)?;
                    let (conv, activation, taken) = self.behind(conv, &nodes[at..])?;
                    at += taken;
                    let to_add = add.filter(|_| at == nodes.len());
                    match (depthwise, to_add) {
                        // What is added comes before the activation, and a residual's sum has none behind it.
                        (false, Some(sum)) if matches!(activation, Activation::None) => {
                            self.builder.step().conv(&conv.packed(activation, self.simd)?, x, sum, Some(sum.into()));
                            return Ok(Ok(sum));
                        }
                        (_, Some(_)) => Err(node.name.clone()),
                        (true, None) if x == self.chip => Err(node.name.clone()),
                        (true, None) => {
                            let packed = conv.packed_depthwise(activation, self.simd)?;
                            Ok(self.builder.step().depthwise_to_new(&packed, x))
                        }
                        (false, None) => Ok(self.builder.step().conv_to_new(&conv.packed(activation, self.simd)?, x)),
                    }
                }
                Layer::GlobalAverage if x != self.chip && add.is_none() => {
                    let mean = self.builder.map(1, 1, x.channels);
                    self.builder.step().mean(x, mean, (x.rows, x.columns), 1);
                    Ok(mean)
                }
                Layer::Branches(branches) if branches.len() == 1 && add.is_none() => {
                    self.through(&branches[0], x, None)?
                }
                Layer::Residual { inner, scale: 1.0 } if x != self.chip && add.is_none() => {
                    self.through(inner, x, Some(x))?
                }
                _ => Err(node.name.clone()),
            };
            match planned {
                Ok(map) => x = map,
                Err(layer) => return Ok(Err(layer)),
            }
        }
        match add {
            // Nothing added itself to the sum.
            Some(_) => Ok(Err(nodes.last().map_or(String::new(), |n| n.name.clone()))),
            None => Ok(Ok(x)),
        }
    }

    /// A layer as a convolution of `x`, and whether it takes each channel by itself.
    fn convolution(&self, node: &Node, x: Map) -> TensorResult<(Conv2d, bool)> {
        let weight = self.tensor(node, "weight")?;
        let bias = |has: bool| has.then(|| self.tensor(node, "bias")).transpose();
        match node.layer {
            Layer::Conv { out, stride, padding, depthwise, bias: has, .. } => {
                let conv = Conv2d::new(weight, bias(has)?, stride, padding)?;
                Ok((if depthwise { conv.grouped(out) } else { conv }, depthwise))
            }
            Layer::Linear { out, bias: has } => {
                let window = weight.reshape((out, x.channels, x.rows, x.columns))?;
                Ok((Conv2d::new(window, bias(has)?, 1, (0, 0))?, false))
            }
            _ => bail!("{} is no convolution", node.name),
        }
    }

    /// What of the layers behind a convolution can be part of it, and how many they are.
    fn behind(&self, mut conv: Conv2d, nodes: &[Node]) -> TensorResult<(Conv2d, Activation, usize)> {
        let mut taken = 0;
        while let Some(node) = nodes.get(taken) {
            match node.layer {
                Layer::BatchNorm { epsilon } => {
                    let deviation = self.tensor(node, "running_var")?.affine(1.0, epsilon)?.sqrt()?;
                    let scale = (self.tensor(node, "weight")? / deviation)?;
                    let shift = (self.tensor(node, "bias")? - (self.tensor(node, "running_mean")? * &scale)?)?;
                    conv = conv.followed_by(&scale, &shift)?;
                    taken += 1;
                }
                Layer::Relu => return Ok((conv, Activation::Relu, taken + 1)),
                Layer::PRelu => {
                    let slopes = self.tensor(node, "weight")?.to_vec1()?;
                    return Ok((conv, Activation::PRelu(slopes), taken + 1));
                }
                _ => break,
            }
        }
        Ok((conv, Activation::None, taken))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::graph::{Mode, presets};

    /// Random weights, and running statistics that are not those of the beginning.
    fn drawn(network: &Network) -> Parameters {
        use rand::{Rng, SeedableRng};
        let parameters = Parameters::initial(network, 3, &candle_core::Device::Cpu).unwrap();
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(9);
        for (name, var) in parameters.learnt.iter().chain(&parameters.running) {
            if var.rank() == 1 {
                let least = if name.ends_with(".bias") || name.ends_with("running_mean") { -0.3 } else { 0.5 };
                let values: Vec<f32> = (0..var.elem_count()).map(|_| rng.random_range(least..least + 0.6)).collect();
                var.set(&Tensor::from_vec(values, var.shape(), var.device()).unwrap()).unwrap();
            }
        }
        parameters
    }

    #[test]
    fn programs_of_trained_networks_give_what_their_layers_give() {
        let mut planned = Vec::new();
        for name in presets::NAMES {
            let network = presets::named(name).unwrap();
            // NN1 and NNS1 have gigabytes that would prove nothing more: their first norm is no operation of programs.
            if network.parameters() > 20_000_000 {
                continue;
            }
            let parameters = drawn(&network);
            let (width, height) = network.chip_size();
            let (width, height) = (width as usize, height as usize);
            let value = |i: usize| ((i * 7919 + i / 13) % 255) as f32 / 127.5 - 1.0;
            for simd in Simd::available() {
                let program = match plan(&network, &parameters, simd).unwrap() {
                    Ok(program) => program,
                    Err(layer) => {
                        assert!(name.starts_with("nn") && layer.contains("pool1"), "{name}: {layer}");
                        continue;
                    }
                };
                let fill = |i: usize, y: usize, row: &mut [f32]| {
                    row.iter_mut().enumerate().for_each(|(at, v)| *v = value((i * height + y) * width * 3 + at));
                };
                let got = program.run_rows(2, fill).remove(0);
                let planar: Vec<f32> = (0..2 * 3 * height * width)
                    .map(|at| {
                        let (image, c, pixel) =
                            (at / (3 * height * width), at / (height * width) % 3, at % (height * width));
                        value((image * height * width + pixel) * 3 + c)
                    })
                    .collect();
                let x = Tensor::from_vec(planar, (2, 3, height, width), &candle_core::Device::Cpu).unwrap();
                let wanted = network.forward(&x, &parameters, &[], Mode::Inference).unwrap();
                let wanted = wanted.flatten_all().unwrap().to_vec1::<f32>().unwrap();
                for (got, wanted) in got.chunks(network.dimension()).zip(wanted.chunks(network.dimension())) {
                    let unit = |v: &[f32]| -> Vec<f64> {
                        let length = v.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt();
                        v.iter().map(|v| f64::from(*v) / length).collect()
                    };
                    let gap = unit(got).iter().zip(unit(wanted)).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
                    println!("{name} by {simd}: {gap:.1e}");
                    assert!(gap < 1e-4, "{name} by {simd}: {gap}");
                }
                planned.push(name);
            }
        }
        planned.dedup();
        assert!(
            ["mobilefacenet-prelu", "sface-shape", "tiny"].iter().all(|name| planned.contains(name)),
            "{planned:?}"
        );
    }
}
