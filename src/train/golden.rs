//! What tests need to hold training against tests/golden/train.json: tensors drawn by name, and samples.

use std::path::Path;

use candle_core::{Device, Tensor};
use serde_json::Value;

use crate::nn::weights::golden::uniform;

/// The tensor of that name: weights by their fan-in, `running_var` and norms' weights about 1, all else within 0.1.
pub(super) fn drawn(name: &str, shape: &[usize]) -> Tensor {
    let count = shape.iter().product();
    let reach = (6.0 / shape.iter().skip(1).product::<usize>() as f64).sqrt();
    let about_one = name.ends_with("running_var") || (name.ends_with("bn.weight") && shape.len() == 1);
    let value = |u: f64| match (shape.len() > 1, about_one) {
        (true, _) => (2.0 * u - 1.0) * reach,
        (false, true) => 0.8 + 0.4 * u,
        (false, false) => 0.2 * u - 0.1,
    };
    let values: Vec<f32> = uniform(name, count).into_iter().map(|u| value(u) as f32).collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

pub(super) fn read() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/train.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

pub(super) fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
}

/// Holds values against others, the difference relative to `1 + |wanted|`.
pub(super) fn near(got: &[f32], wanted: &[f64], tolerance: f64, what: &str) {
    assert_eq!(got.len(), wanted.len(), "{what}");
    for (i, (got, wanted)) in got.iter().zip(wanted).enumerate() {
        let gap = (f64::from(*got) - wanted).abs() / (1.0 + wanted.abs());
        assert!(gap <= tolerance, "{what}: value {i} is {got}, not {wanted}");
    }
}

#[cfg(test)]
mod tests {
    use super::super::losses::{triplet, unit_rows};
    use super::super::mining::Triplet;
    use super::super::optimiser::{Gradients, Optimiser, Rule};
    use super::*;
    use crate::nn::graph::{BATCH_NORM, LOCAL_NORM, Layer, Mode, Network, Node, Parameters, Shape, presets};
    use crate::nn::weights::TensorMap;

    fn node(name: &str, layer: Layer) -> Node {
        Node { name: name.to_string(), layer }
    }

    fn conv(name: &str, out: usize, kernel: usize, stride: usize) -> Node {
        let (kernel, padding) = ((kernel, kernel), (kernel / 2, kernel / 2));
        node(name, Layer::Conv { out, kernel, stride, padding, depthwise: false, bias: true })
    }

    /// Every kind of layer: `small` of train.py.
    fn small() -> Network {
        let depthwise =
            Layer::Conv { out: 8, kernel: (3, 3), stride: 1, padding: (1, 1), depthwise: true, bias: false };
        let relu = || node("relu", Layer::Relu);
        let branches = vec![
            vec![conv("b1", 4, 1, 2), relu()],
            vec![conv("b2", 6, 5, 2), relu()],
            vec![node("pool", Layer::MaxPool { window: 3, stride: 2, padding: 1 }), conv("b3", 4, 1, 1)],
            vec![node("l2", Layer::L2Pool { window: 3, stride: 2, padding: 1 })],
        ];
        let nodes = vec![
            conv("c1", 8, 3, 2),
            node("c1.bn", BATCH_NORM),
            node("c1.prelu", Layer::PRelu),
            node("norm", LOCAL_NORM),
            node("dw", depthwise),
            node("dw.bn", BATCH_NORM),
            relu(),
            node("res", Layer::Residual { inner: vec![conv("r1", 8, 3, 1), node("r1.bn", BATCH_NORM)], scale: 1.0 }),
            node("inc", Layer::Branches(branches)),
            node("mo", Layer::Maxout { out: 10, pieces: 2 }),
            node("fc", Layer::Linear { out: 5, bias: true }),
        ];
        Network { name: "small", about: "", input: Shape { channels: 3, rows: 17, columns: 15 }, nodes }
    }

    /// Trains as train.py does, and holds every tensor's move against torch's.
    fn hold(network: &Network, x: &Tensor, triplets: &[Triplet], rate: f64, wanted: &Value) -> Parameters {
        let (parameters, tensors) = stepped(network, x, triplets, rate, wanted);
        hold_moves(network, &parameters, &tensors, rate, wanted);
        parameters
    }

    /// Trains as train.py does, and holds the losses; the parameters, and what they were.
    fn stepped(
        network: &Network,
        x: &Tensor,
        triplets: &[Triplet],
        rate: f64,
        wanted: &Value,
    ) -> (Parameters, TensorMap) {
        let tensors: TensorMap = network.specs().iter().map(|s| (s.name.clone(), drawn(&s.name, &s.shape))).collect();
        let parameters = Parameters::load(network, &tensors, &Device::Cpu).unwrap();
        let mut optimiser = Optimiser::new(Rule::SGD, 5e-4, parameters.learnt.clone());
        for loss in numbers(&wanted["losses"]) {
            let (raw, tape) = network.taped(x, &parameters, &[]).unwrap();
            let raw = candle_core::Var::from_tensor(&raw).unwrap();
            let got = triplet(&unit_rows(&raw).unwrap(), triplets, 0.2).unwrap();
            near(&[got.to_scalar::<f32>().unwrap()], &[loss], 1e-5, "loss");
            let gradients: Gradients = tape.backward(got.backward().unwrap().get(&raw).unwrap()).unwrap();
            assert!(gradients.keys().eq(parameters.learnt.keys()));
            optimiser.step(&gradients, rate).unwrap();
        }
        (parameters, tensors)
    }

    fn hold_moves(network: &Network, parameters: &Parameters, tensors: &TensorMap, rate: f64, wanted: &Value) {
        let (mut worst, moves) = (0f64, wanted["moves"].as_object().unwrap());
        assert_eq!(moves.len(), parameters.learnt.len());
        for (name, wanted) in moves {
            let values = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            let moved = (parameters.learnt[name].as_detached_tensor() - &tensors[name]).unwrap();
            let moved = values(&moved);
            assert_eq!(moved.len() as u64, wanted["count"].as_u64().unwrap(), "{name}");
            // A bias before a batch normalisation has no gradient but for rounding.
            let greatest = wanted["greatest"].as_f64().unwrap().max(1e-2 * rate);
            let got = moved.iter().fold(0f32, |most, v| most.max(v.abs()));
            let gap = (f64::from(got) - wanted["greatest"].as_f64().unwrap()).abs();
            assert!(gap < 1e-4 * greatest, "{name}: {got}, not {greatest}");
            let mean = moved.iter().map(|v| f64::from(*v)).sum::<f64>() / moved.len() as f64;
            assert!((mean - wanted["mean"].as_f64().unwrap()).abs() < 1e-4 * greatest, "{name}: mean {mean}");
            let samples = numbers(&wanted["samples"]);
            for (k, sample) in samples.iter().enumerate() {
                let got = f64::from(moved[k * moved.len() / samples.len()]);
                worst = worst.max((got - sample).abs() / greatest);
                assert!((got - sample).abs() < 1e-4 * greatest, "{name}, sample {k}: {got}, not {sample}");
            }
        }
        println!("{}: {} tensors within {worst:.1e} of their greatest move", network.name, moves.len());
    }

    fn triplets(places: &[(usize, usize, usize)]) -> Vec<Triplet> {
        places.iter().map(|&(anchor, positive, negative)| Triplet { anchor, positive, negative }).collect()
    }

    #[test]
    fn two_steps_of_every_kind_of_layer_are_torchs_and_so_are_running_statistics() {
        let golden = read();
        let values: Vec<f32> = uniform("small input", 6 * 3 * 17 * 15).iter().map(|u| (2.0 * u - 1.0) as f32).collect();
        let x = Tensor::from_vec(values, (6, 3, 17, 15), &Device::Cpu).unwrap();
        let network = small();
        let some = triplets(&[(0, 1, 2), (1, 0, 4), (2, 3, 0), (3, 2, 5), (4, 5, 3), (5, 4, 1)]);
        let parameters = hold(&network, &x, &some, 0.5, &golden["small"]);
        let running = golden["small"]["running"].as_object().unwrap();
        assert_eq!(running.len(), parameters.running.len());
        for (name, wanted) in running {
            near(&parameters.running[name].to_vec1::<f32>().unwrap(), &numbers(wanted), 1e-5, name);
        }
        let out = network.forward(&x, &parameters, &[], Mode::Inference).unwrap();
        let got = unit_rows(&out).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let wanted: Vec<f64> = golden["small"]["embeddings"].as_array().unwrap().iter().flat_map(numbers).collect();
        near(&got, &wanted, 1e-4, "embeddings at inference");
        // A rehearsal gives what training gives, and leaves no trace.
        let before = parameters.running["c1.bn.running_mean"].to_vec1::<f32>().unwrap();
        let run = |mode| {
            let out = network.forward(&x, &parameters, &[], mode).unwrap();
            out.flatten_all().unwrap().to_vec1::<f32>().unwrap()
        };
        let rehearsed = run(Mode::Rehearsal);
        assert_eq!(parameters.running["c1.bn.running_mean"].to_vec1::<f32>().unwrap(), before);
        assert_eq!(rehearsed, run(Mode::Training));
        assert_ne!(parameters.running["c1.bn.running_mean"].to_vec1::<f32>().unwrap(), before);
    }

    #[test]
    fn a_step_of_nn1_is_torchs() {
        let golden = read();
        let grey = [0.4, 0.1, -0.5];
        let face = 3 * 220 * 220;
        let values: Vec<f32> = uniform("nn1 input", 3 * face)
            .iter()
            .enumerate()
            .map(|(i, u)| (0.5 * (2.0 * u - 1.0)) as f32 + grey[i / face] as f32)
            .collect();
        let x = Tensor::from_vec(values, (3, 3, 220, 220), &Device::Cpu).unwrap();
        hold(&presets::named("nn1").unwrap(), &x, &triplets(&[(0, 1, 2), (1, 0, 2)]), 0.05, &golden["nn1"]);
    }

    /// Against torch's f64, since in f32 a hundred norms over four faces and the ReLUs behind them leave gradients that differ
    /// by a thousandth of a tensor's greatest (the median), and by an eighth (the worst), torch's own as well.
    #[test]
    fn a_step_of_inception_resnet_v1_is_torchs_as_far_as_f32_goes() {
        let golden = read();
        let grey = [0.4, 0.1, -0.5, 0.2];
        let face = 3 * 160 * 160;
        let values: Vec<f32> = uniform("irv1 input", 4 * face)
            .iter()
            .enumerate()
            .map(|(i, u)| (2.0 * u - 1.0) as f32 + grey[i / face] as f32)
            .collect();
        let x = Tensor::from_vec(values, (4, 3, 160, 160), &Device::Cpu).unwrap();
        let network = presets::named("inception-resnet-v1").unwrap();
        let some = triplets(&[(0, 1, 2), (1, 0, 3), (2, 3, 0), (3, 2, 1)]);
        let (parameters, before) = stepped(&network, &x, &some, 0.05, &golden["irv1"]);
        let moves = golden["irv1"]["moves"].as_object().unwrap();
        assert!(moves.len() > 40);
        let mut gaps = Vec::new();
        for (name, wanted) in moves {
            let greatest = wanted["greatest"].as_f64().unwrap();
            let moved = (parameters.learnt[name].as_detached_tensor() - &before[name]).unwrap();
            let moved = moved.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            assert_eq!(moved.len() as u64, wanted["count"].as_u64().unwrap(), "{name}");
            let samples = numbers(&wanted["samples"]);
            for (k, sample) in samples.iter().enumerate().filter(|_| greatest > 1e-6) {
                let gap = (f64::from(moved[k * moved.len() / samples.len()]) - sample).abs() / greatest;
                assert!(gap < 0.2, "{name}, sample {k}: {gap}");
                gaps.push(gap);
            }
        }
        gaps.sort_by(f64::total_cmp);
        let (median, worst) = (gaps[gaps.len() / 2], gaps[gaps.len() - 1]);
        println!("{} moves within {worst:.1e} of the greatest, half of them within {median:.1e}", gaps.len());
        assert!(gaps.len() > 160 && median < 2e-3, "{median}");
        let running = golden["irv1"]["running"].as_object().unwrap();
        assert!(running.len() > 30);
        for (name, wanted) in running {
            let (all, wanted) = (parameters.running[name].to_vec1::<f32>().unwrap(), numbers(wanted));
            let got: Vec<f32> = (0..wanted.len()).map(|k| all[k * all.len() / wanted.len()]).collect();
            near(&got, &wanted, 1e-4, name);
        }
    }
}
