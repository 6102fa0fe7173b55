//! What tests of whole programs are made of: seeded values, convolutions, candle's answers, and the one generator of
//! small networks.

use candle_core::{Device, Tensor};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::{Activation, Arithmetic, ConvWeights, DepthwiseConv, InputRows, PackedConv, Program, ProgramBuilder, Simd};

pub fn rng(seed: u64) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(seed)
}

pub fn random(count: usize, rng: &mut ChaCha8Rng) -> Vec<f32> {
    (0..count).map(|_| rng.random_range(-1.0..1.0)).collect()
}

/// Multiples of `1 / parts` whose sums of products f16 holds exactly, where they are few.
pub fn exact(count: usize, reach: i8, parts: f32, rng: &mut ChaCha8Rng) -> Vec<f32> {
    (0..count).map(|_| f32::from(rng.random_range(-reach..=reach)) / parts).collect()
}

/// A convolution at stride 1 whose result is as large as its map, without a bias and an activation.
pub fn conv(weight: &[f32], outputs: usize, inputs: usize, window: (usize, usize)) -> ConvWeights<'_> {
    let padding = (window.0 / 2, window.1 / 2);
    ConvWeights { weight, outputs, inputs, window, bias: &[], stride: 1, padding, activation: Activation::None }
}

/// Every activation; the last one has these slopes.
pub fn activations(slopes: &[f32]) -> [Activation; 4] {
    [Activation::None, Activation::Relu, Activation::Relu6, Activation::PRelu(slopes.to_vec())]
}

/// Writes images of `rows` rows from `values`, one after the other.
pub fn filler(values: &[f32], rows: usize, row: usize) -> impl Fn(usize, &mut InputRows) + Sync {
    move |image, out| {
        (0..rows).for_each(|y| out.row(y).copy_from_slice(&values[(image * rows + y) * row..][..row]));
    }
}

/// What is marked, then the outputs.
pub fn run(program: &Program, values: &[f32], n: usize, (rows, row): (usize, usize)) -> Vec<Vec<f32>> {
    let mut seen = Vec::new();
    let outputs = program.run_seen(n, filler(values, rows, row), |_, read| seen.push(read()));
    seen.into_iter().chain(outputs).collect()
}

/// `[n, rows, columns, channels]` as candle's `[n, channels, rows, columns]`.
pub fn tensor(values: &[f32], shape: (usize, usize, usize, usize)) -> Tensor {
    let tensor = Tensor::from_slice(values, shape, &Device::Cpu).unwrap();
    tensor.permute((0, 3, 1, 2)).unwrap().contiguous().unwrap()
}

/// The way back.
pub fn values(tensor: &Tensor) -> Vec<f32> {
    tensor.permute((0, 2, 3, 1)).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

/// A convolution by candle; one of one input for each output is depthwise.
pub fn by_candle(x: &Tensor, c: &ConvWeights) -> Tensor {
    let cpu = &Device::Cpu;
    let ((rows, columns), shape) = (c.padding, (c.outputs, c.inputs, c.window.0, c.window.1));
    let x = x.pad_with_zeros(2, rows, rows).unwrap().pad_with_zeros(3, columns, columns).unwrap();
    let groups = x.dim(1).unwrap() / c.inputs;
    let mut y = x.conv2d(&Tensor::from_slice(c.weight, shape, cpu).unwrap(), 0, c.stride, 1, groups).unwrap();
    let of_channels = |values: &[f32]| Tensor::from_slice(values, (1, values.len(), 1, 1), cpu).unwrap();
    if !c.bias.is_empty() {
        y = y.broadcast_add(&of_channels(c.bias)).unwrap();
    }
    match &c.activation {
        Activation::None => y,
        Activation::Relu => y.relu().unwrap(),
        Activation::Relu6 => y.clamp(0f32, 6f32).unwrap(),
        Activation::PRelu(slopes) => {
            let below = y.neg().unwrap().relu().unwrap().broadcast_mul(&of_channels(slopes)).unwrap();
            (y.relu().unwrap() - below).unwrap()
        }
    }
}

pub fn hold(got: &[f32], wanted: &Tensor, what: &str) {
    let wanted = values(wanted);
    assert_eq!(got.len(), wanted.len(), "{what}");
    for (i, (g, w)) in got.iter().zip(&wanted).enumerate() {
        assert!((g - w).abs() < 2e-4 * w.abs().max(1.0), "{what}: value {i} is {g}, not {w}");
    }
}

/// A small network with one of everything: what it is made of.
pub struct Case {
    pub size: (usize, usize),
    channels: usize,
    pub outputs: usize,
    window: (usize, usize),
    stride: usize,
    stem: Vec<f32>,
    pub weight: Vec<f32>,
    each: Vec<f32>,
    last: Vec<f32>,
    bias: Vec<f32>,
    slope: Vec<f32>,
    pub activation: usize,
    /// Whether the channels that are not read come before those that are.
    spoiled_first: bool,
}

impl Case {
    /// Number `number` of many that differ in everything.
    pub fn drawn(number: usize, rng: &mut ChaCha8Rng) -> Self {
        let window = [(1, 1), (3, 3), (1, 7), (7, 1), (2, 3)][number % 5];
        // Odd numbers of channels, too.
        let channels = match number % 3 {
            0 => 16 * rng.random_range(1..4usize),
            1 => 2 * rng.random_range(1..40),
            _ => rng.random_range(1..70),
        };
        let outputs = if number % 4 < 3 { 2 * rng.random_range(12..35usize) } else { rng.random_range(1..90) };
        let depth = channels * window.0 * window.1;
        // Outputs differ in size by a thousand, one is zero.
        let size = |o: usize| if o == 3 { 0.0 } else { 10f32.powi(-(o as i32 % 4)) };
        let mut weight = random(outputs * depth, rng);
        for (o, kernel) in weight.chunks_mut(depth).enumerate() {
            kernel.iter_mut().for_each(|w| *w *= size(o) / (depth as f32).sqrt());
        }
        Self {
            // Every few so wide that tiles lie side by side in lines.
            size: (rng.random_range(8..14), rng.random_range(8..24) + if number % 7 == 3 { 50 } else { 0 }),
            channels,
            outputs,
            window,
            stride: rng.random_range(1..3),
            // Sums over the input are exact, so that every path rounds the same values.
            stem: exact(3 * channels, 8, 8.0, rng),
            weight,
            each: random(9 * outputs, rng),
            last: random(32 * outputs, rng).iter().map(|w| w / (outputs as f32).sqrt()).collect(),
            bias: random(outputs, rng),
            slope: random(outputs, rng),
            activation: number % 4,
            spoiled_first: number.is_multiple_of(2) || !channels.is_multiple_of(16),
        }
    }

    /// Marks the case's own convolution, added to itself; outputs are what it reads, a depthwise convolution of it, that
    /// one's maxima (added back to it) and mean, and a 1x1 convolution of it, added to itself.
    pub fn program(&self, simd: Simd, arithmetic: Arithmetic) -> Program {
        let pack = |conv: &ConvWeights| PackedConv::new(conv, simd);
        let (channels, outputs) = (self.channels, self.outputs);
        let activations = activations(&self.slope);
        let stem = pack(&conv(&self.stem, channels, 3, (1, 1)));
        let own = conv(&self.weight, outputs, channels, self.window);
        let own = ConvWeights {
            bias: &self.bias,
            stride: self.stride,
            activation: activations[self.activation].clone(),
            ..own
        };
        let own = pack(&own);
        // Behind a PReLU sums are as large as before it, which its results do not tell.
        let bounded = activations[self.activation.min(2)].clone();
        let each = ConvWeights { bias: &self.bias, activation: bounded, ..conv(&self.each, outputs, 1, (3, 3)) };
        let last = pack(&conv(&self.last, 32, outputs, (1, 1)));
        let (mut builder, input) = ProgramBuilder::new(self.size.0, self.size.1, 3);
        // Beside what is read are NaN, which would be seen.
        let wide = builder.map(self.size.0, self.size.1, 32 + channels);
        let (at, beside) = if self.spoiled_first { (32, 0) } else { (0, channels) };
        let x = wide.channels(at, channels);
        let spoiled = pack(&conv(&[f32::NAN; 3 * 32], 32, 3, (1, 1)));
        builder.step().conv(&stem, input, x, None).conv(&spoiled, input, wide.channels(beside, 32), None).step();
        let result = builder.conv_to_new(&own, x);
        builder.step().conv(&own, x, result, Some(result.into()));
        builder.mark("twice", result);
        builder.step();
        let alone = builder.depthwise_to_new(&DepthwiseConv::new(&each, simd), result);
        let narrow = builder.conv_to_new(&last, result);
        let pooled = builder.map(alone.rows.div_ceil(2), alone.columns.div_ceil(2), outputs);
        let mean = builder.map(1, 1, outputs + 20);
        builder.step().max_pool(alone, pooled, 2, 2).mean(alone, mean, (alone.rows, alone.columns), 1);
        builder.conv(&last, result, narrow, Some(narrow.into()));
        builder.step().add_coarser(pooled, alone, 2);
        let outputs = [x, alone.into(), pooled.into(), mean.into(), narrow.into()];
        builder.finish_in(&outputs, simd, arithmetic)
    }

    /// Values of all inputs of `n` images, of three channels.
    pub fn length(&self, n: usize) -> usize {
        n * self.size.0 * self.size.1 * 3
    }

    pub fn run(&self, program: &Program, values: &[f32], n: usize) -> Vec<Vec<f32>> {
        run(program, values, n, (self.size.0, self.size.1 * 3))
    }
}
