//! Passes with a tape against the tensor library's in f64: values, gradients and running statistics of every kind of layer.

use std::collections::BTreeMap;

use candle_core::{DType, Device, Tensor, Var};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::layer::{BATCH_NORM, LOCAL_NORM, Layer, Network, Node, Shape};
use super::{Mode, Parameters};

fn node(name: &str, layer: Layer) -> Node {
    Node { name: name.to_string(), layer }
}

fn conv(name: &str, out: usize, kernel: (usize, usize), stride: usize, padding: (usize, usize)) -> Node {
    node(name, Layer::Conv { out, kernel, stride, padding, depthwise: false, bias: true })
}

fn depthwise(name: &str, out: usize, kernel: usize, stride: usize, padding: usize) -> Node {
    let (kernel, padding) = ((kernel, kernel), (padding, padding));
    node(name, Layer::Conv { out, kernel, stride, padding, depthwise: true, bias: false })
}

fn values(x: &Tensor) -> Vec<f64> {
    x.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

fn near(got: &Tensor, wanted: &Tensor, what: &str) {
    assert_eq!(got.dims(), wanted.dims(), "{what}");
    let (got, wanted) = (values(got), values(wanted));
    let greatest = wanted.iter().fold(0f64, |m, v| m.max(v.abs()));
    let gap = got.iter().zip(&wanted).fold(0f64, |m, (a, b)| m.max((a - b).abs()));
    assert!(gap < 3e-5 * (1e-2 + greatest), "{what}: {gap} of {greatest}");
}

/// Every parameter drawn, norms and statistics about one.
fn drawn(network: &Network, seed: u64) -> Parameters {
    let parameters = Parameters::initial(network, seed, &Device::Cpu).unwrap();
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    for (name, var) in parameters.learnt.iter().chain(&parameters.running) {
        if var.rank() == 1 {
            let least = if name.ends_with("bias") || name.ends_with("mean") { -0.3 } else { 0.6 };
            let values: Vec<f32> = (0..var.elem_count()).map(|_| rng.random_range(least..least + 0.6)).collect();
            var.set(&Tensor::from_vec(values, var.shape(), &Device::Cpu).unwrap()).unwrap();
        }
    }
    parameters
}

fn hold(nodes: Vec<Node>, map: (usize, usize, usize), faces: usize, frozen: &[&str], what: &str) {
    let (channels, rows, columns) = map;
    let network = Network { name: "test", about: "", input: Shape { channels, rows, columns }, nodes };
    let frozen: Vec<String> = frozen.iter().map(|name| name.to_string()).collect();
    let parameters = drawn(&network, 5);
    let mut rng = ChaCha8Rng::seed_from_u64(8);
    let mut random = |count: usize| -> Vec<f32> { (0..count).map(|_| rng.random_range(-1.0f32..1.0)).collect() };
    let chips = random(faces * network.input.values());
    let x = Tensor::from_vec(chips, (faces, channels, rows, columns), &Device::Cpu).unwrap();
    let outer = random(faces * network.dimension());
    let outer = Tensor::from_vec(outer, (faces, network.dimension()), &Device::Cpu).unwrap();
    let double = |tensor: &Tensor| tensor.to_dtype(DType::F64).unwrap();
    let twice: BTreeMap<String, Var> =
        parameters.learnt.iter().map(|(n, v)| (n.clone(), Var::from_tensor(&double(v)).unwrap())).collect();
    let running: BTreeMap<String, Var> =
        parameters.running.iter().map(|(n, v)| (n.clone(), Var::from_tensor(&double(v)).unwrap())).collect();
    for mode in [Mode::Inference, Mode::Rehearsal] {
        let tensors = twice.iter().map(|(n, v)| (n.clone(), v.as_tensor().clone())).collect();
        let wanted = network.by_tensors(&double(&x), &tensors, &running, &frozen, mode).unwrap();
        near(&network.forward(&x, &parameters, &frozen, mode).unwrap(), &wanted, &format!("{what} in {mode:?}"));
    }
    let is_frozen = |name: &str| frozen.iter().any(|f| name.starts_with(f.as_str()));
    let tensors = twice.iter().map(|(name, var)| {
        let tensor = if is_frozen(name) { var.as_detached_tensor() } else { var.as_tensor().clone() };
        (name.clone(), tensor)
    });
    let wanted = network.by_tensors(&double(&x), &tensors.collect(), &running, &frozen, Mode::Training).unwrap();
    let store = (&wanted * double(&outer)).unwrap().sum_all().unwrap().backward().unwrap();
    let (raw, tape) = network.taped(&x, &parameters, &frozen).unwrap();
    near(&raw, &wanted, what);
    let gradients = tape.backward(&outer).unwrap();
    for (name, var) in &twice {
        // A bias in front of a norm has no gradient but for rounding.
        if store.get(var).is_some_and(|g| values(g).iter().all(|v| v.abs() < 1e-12)) {
            assert!(values(&gradients[name]).iter().all(|v| v.abs() < 1e-4), "{what}: the gradient of {name}");
            continue;
        }
        match (gradients.get(name), store.get(var)) {
            (Some(got), Some(wanted)) => near(got, wanted, &format!("{what}: the gradient of {name}")),
            (None, None) => assert!(is_frozen(name), "{what}: no gradient of {name}"),
            (got, wanted) => panic!("{what}: {name} has {} and {} gradients", got.is_some(), wanted.is_some()),
        }
    }
    for (name, var) in &running {
        near(&parameters.running[name], var, &format!("{what}: {name}"));
    }
}

fn ending() -> Node {
    node("fc", Layer::Linear { out: 5, bias: true })
}

#[test]
fn convolutions_of_every_shape_and_their_gradients_are_the_tensor_librarys() {
    // Maps are square where the library's own backward pass can have no others; faces of small maps go together.
    for (kernel, stride, padding, side) in [
        (1, 1, 0, 9),
        (1, 2, 0, 9),
        (3, 1, 1, 9),
        (3, 2, 1, 9),
        (5, 2, 2, 9),
        (7, 1, 0, 9),
        (3, 1, 1, 23),
        (1, 1, 0, 23),
        (3, 2, 0, 23),
        // Columns of the kernel that lie in the padding wherever it stands.
        (5, 1, 2, 1),
        (7, 1, 3, 2),
        (7, 2, 3, 2),
    ] {
        let what = format!("{kernel} at {stride}, {padding} of {side}");
        let first = conv("a", 4, (3, 3), 1, (1, 1));
        let nodes = vec![first, conv("b", 5, (kernel, kernel), stride, (padding, padding)), ending()];
        hold(nodes, (2, side, side), 5, &[], &what);
        let first = conv("a", 4, (3, 3), 1, (1, 1));
        if kernel > 1 {
            hold(
                vec![first, depthwise("b", 4, kernel, stride, padding), ending()],
                (2, side, side),
                5,
                &[],
                &format!("each channel: {what}"),
            );
        }
    }
    let long = vec![
        conv("a", 4, (3, 3), 1, (1, 1)),
        conv("b", 6, (1, 7), 1, (0, 3)),
        conv("c", 3, (7, 1), 1, (3, 0)),
        ending(),
    ];
    hold(long, (3, 11, 11), 4, &[], "windows of one row and of one column");
}

#[test]
fn every_other_layer_and_its_gradients_are_the_tensor_librarys() {
    let first = || conv("a", 6, (3, 3), 1, (1, 1));
    let relu = || node("relu", Layer::Relu);
    let norm = |name: &str| node(name, BATCH_NORM);
    let slopes = |name: &str| node(name, Layer::PRelu);
    let cases: Vec<(&str, Vec<Node>)> = vec![
        ("a ReLU behind a convolution", vec![first(), relu()]),
        ("a ReLU alone", vec![first(), relu(), relu()]),
        ("slopes alone", vec![first(), slopes("p")]),
        ("a norm", vec![first(), norm("bn")]),
        (
            "a norm with another epsilon and a ReLU",
            vec![first(), node("bn", Layer::BatchNorm { epsilon: 1e-2 }), relu()],
        ),
        ("a norm and slopes", vec![first(), norm("bn"), slopes("p"), conv("b", 3, (1, 1), 1, (0, 0))]),
        ("the greatest", vec![first(), node("m", Layer::MaxPool { window: 3, stride: 2, padding: 1 })]),
        ("the greatest of all", vec![first(), node("m", Layer::MaxPool { window: 3, stride: 1, padding: 1 })]),
        ("roots", vec![first(), node("l", Layer::L2Pool { window: 3, stride: 2, padding: 1 })]),
        ("roots of all", vec![first(), node("l", Layer::L2Pool { window: 3, stride: 1, padding: 1 })]),
        ("neighbouring channels", vec![first(), node("n", LOCAL_NORM)]),
        (
            "neighbouring channels, strongly",
            vec![first(), node("n", Layer::LocalNorm { size: 3, alpha: 0.3, beta: 0.75, k: 1.0 })],
        ),
        ("a mean", vec![first(), relu(), node("g", Layer::GlobalAverage)]),
        ("a norm of vectors", vec![first(), node("g", Layer::GlobalAverage), norm("bn")]),
        ("the greatest of linear layers", vec![first(), node("mo", Layer::Maxout { out: 7, pieces: 3 })]),
        (
            "side by side",
            vec![
                first(),
                node(
                    "inc",
                    Layer::Branches(vec![
                        vec![conv("b1", 4, (1, 1), 2, (0, 0)), relu()],
                        vec![conv("b2", 3, (3, 3), 2, (1, 1)), norm("b2.bn"), relu()],
                        vec![node("m", Layer::MaxPool { window: 3, stride: 2, padding: 1 })],
                    ]),
                ),
            ],
        ),
        (
            "a scaled sum",
            vec![
                first(),
                node("r", Layer::Residual { inner: vec![conv("b", 6, (3, 3), 1, (1, 1)), norm("b.bn")], scale: 0.3 }),
                relu(),
                conv("c", 3, (3, 3), 2, (0, 0)),
            ],
        ),
    ];
    for (what, mut nodes) in cases {
        nodes.push(ending());
        hold(nodes, (2, 9, 9), 5, &[], what);
    }
}

#[test]
fn what_is_frozen_has_no_gradient_and_its_statistics_stand() {
    let nodes = || {
        vec![
            conv("a", 6, (3, 3), 1, (1, 1)),
            node("a.bn", BATCH_NORM),
            node("a.prelu", Layer::PRelu),
            node(
                "r",
                Layer::Residual { inner: vec![conv("b", 6, (3, 3), 1, (1, 1)), node("b.bn", BATCH_NORM)], scale: 1.0 },
            ),
            node("relu", Layer::Relu),
            ending(),
        ]
    };
    hold(nodes(), (2, 9, 9), 4, &["a"], "the first layers frozen");
    hold(nodes(), (2, 9, 9), 4, &["b"], "layers between frozen");
    hold(nodes(), (2, 9, 9), 4, &["a", "b"], "all but the last frozen");
}

#[test]
fn what_does_not_fit_is_refused() {
    let network = |nodes: Vec<Node>| Network {
        name: "test",
        about: "",
        input: Shape { channels: 2, rows: 5, columns: 5 },
        nodes,
    };
    let refused = |nodes: Vec<Node>, faces: usize| {
        let network = network(nodes);
        let parameters = drawn(&network, 1);
        let x = Tensor::zeros((faces, 2, 5, 5), DType::F32, &Device::Cpu).unwrap();
        network.taped(&x, &parameters, &[]).map(|_| ()).unwrap_err().to_string()
    };
    assert!(refused(vec![node("m", Layer::MaxPool { window: 7, stride: 1, padding: 0 })], 2).contains("does not fit"));
    assert!(refused(vec![conv("a", 1, (6, 6), 1, (0, 0))], 2).contains("does not fit"));
    let single = vec![conv("a", 3, (5, 5), 1, (0, 0)), node("a.bn", BATCH_NORM)];
    assert!(refused(single, 1).contains("a batch of two"), "one face has no variance");
    assert!(refused(vec![ending()], 0).contains("0 chips"));
}

#[test]
fn what_is_no_number_stays_so() {
    let nodes = vec![
        conv("a", 3, (1, 1), 1, (0, 0)),
        node("relu", Layer::Relu),
        node("m", Layer::MaxPool { window: 3, stride: 2, padding: 1 }),
        node("n", LOCAL_NORM),
        ending(),
    ];
    let network = Network { name: "test", about: "", input: Shape { channels: 1, rows: 4, columns: 4 }, nodes };
    let mut chip = vec![0.5f32; 16];
    chip[5] = f32::NAN;
    let x = Tensor::from_vec(chip, (1, 1, 4, 4), &Device::Cpu).unwrap();
    let y = network.forward(&x, &drawn(&network, 1), &[], Mode::Inference).unwrap();
    assert!(y.flatten_all().unwrap().to_vec1::<f32>().unwrap().iter().all(|v| v.is_nan()));
}

#[test]
fn many_steps_take_the_memory_of_one() {
    let shape = Shape { channels: 3, rows: 8, columns: 8 };
    let average = node("g", Layer::GlobalAverage);
    let nodes = vec![
        conv("c", 4, (3, 3), 1, (1, 1)),
        node("r", Layer::Relu),
        average,
        node("l", Layer::Linear { out: 4, bias: true }),
    ];
    let network = Network { name: "test", about: "", input: shape, nodes };
    let parameters = drawn(&network, 3);
    let x = Tensor::ones((2, 3, 8, 8), DType::F32, &Device::Cpu).unwrap();
    let outer = Tensor::ones((2, 4), DType::F32, &Device::Cpu).unwrap();
    let step = || {
        let (_, tape) = network.taped(&x, &parameters, &[]).unwrap();
        tape.backward(&outer).unwrap();
        parameters.memory.unused()
    };
    let first = step();
    let last = (0..20).fold(first, |_, _| step());
    assert!(last <= 2 * first, "{last} after {first}");
}
