//! Fused row tiles give what their steps give one by one.

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::cases::{conv, random, rng, run};
use crate::simd::Simd;
use crate::{Activation, Arithmetic, ConvWeights, DepthwiseConv, Map, PackedConv, Program, ProgramBuilder};

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Conv,
    Depthwise,
    Max,
}

/// A step over what the one before gave.
#[derive(Debug)]
struct Layer {
    kind: Kind,
    window: usize,
    stride: usize,
    padding: usize,
    channels: usize,
    weight: Vec<f32>,
    marked: bool,
}

fn layers(rng: &mut ChaCha8Rng, inputs: usize) -> Vec<Layer> {
    let count = rng.random_range(3..7);
    let (mut before, mut halved) = (inputs, 0);
    let mut layer = |at: usize| {
        let least = if halved < 2 { 2 } else { 1 };
        let kind = match at {
            0 => Kind::Conv,
            1 => Kind::Depthwise,
            _ => [Kind::Conv, Kind::Depthwise, Kind::Max][rng.random_range(0..1 + least)],
        };
        let (window, stride) = match kind {
            Kind::Conv => ([1, 1, 3][rng.random_range(0..3)], rng.random_range(1..=least)),
            Kind::Depthwise => ([3, 3, 5][rng.random_range(0..3)], rng.random_range(1..=least)),
            Kind::Max => (2, 2),
        };
        halved += stride - 1;
        let channels = match kind {
            Kind::Conv if at + 1 == count => rng.random_range(1..40),
            Kind::Conv => 16 * rng.random_range(1..3),
            _ => before,
        };
        let padding = if kind == Kind::Max { 0 } else { rng.random_range(0..=window / 2) };
        let inputs = if kind == Kind::Conv { before } else { 1 };
        let weight = (0..channels * inputs * window * window).map(|_| rng.random_range(-0.5..0.5)).collect();
        before = channels;
        Layer { kind, window, stride, padding, channels, weight, marked: rng.random_range(0..8) == 0 }
    };
    (0..count).map(&mut layer).collect()
}

/// `layers` one after the other, fused where maps of `large` values lie between them.
fn program(
    layers: &[Layer],
    (rows, columns, inputs): (usize, usize, usize),
    simd: Simd,
    arithmetic: Arithmetic,
    large: usize,
) -> Program {
    let (mut builder, input) = ProgramBuilder::new(rows, columns, inputs);
    let mut map: Map = input;
    for layer in layers {
        builder.step();
        let length = |length: usize| (length + 2 * layer.padding - layer.window) / layer.stride + 1;
        map = match layer.kind {
            Kind::Max => {
                let halved = builder.map(map.rows.div_ceil(2), map.columns.div_ceil(2), map.channels);
                builder.max_pool(map, halved, 2, 2);
                halved
            }
            _ => {
                let inputs = if layer.kind == Kind::Conv { map.channels } else { 1 };
                let conv = ConvWeights {
                    bias: &vec![0.1; layer.channels],
                    stride: layer.stride,
                    padding: (layer.padding, layer.padding),
                    activation: match layer.channels % 2 {
                        0 => Activation::Relu,
                        _ => Activation::PRelu(vec![-0.3; layer.channels]),
                    },
                    ..conv(&layer.weight, layer.channels, inputs, (layer.window, layer.window))
                };
                let result = builder.map(length(map.rows), length(map.columns), layer.channels);
                match layer.kind {
                    Kind::Conv => builder.conv(&PackedConv::new(&conv, simd), map, result, None),
                    _ => builder.depthwise(&DepthwiseConv::new(&conv, simd), map, result),
                };
                result
            }
        };
        if layer.marked {
            builder.mark("marked", map);
        }
    }
    builder.finish_with(&[map.into()], simd, arithmetic, large)
}

#[test]
fn a_map_is_not_read_and_written_by_fused_steps_and_slices_end_where_they_should() {
    let simd = Simd::available()[0];
    let (weight, ones) = (vec![0.1; 16 * 16], vec![1.0; 16 * 9]);
    let mix = PackedConv::new(&conv(&weight, 16, 16, (1, 1)), simd);
    let each = DepthwiseConv::new(&conv(&ones, 16, 1, (3, 3)), simd);
    let build = |large| {
        let (mut builder, input) = ProgramBuilder::new(40, 40, 16);
        let first = builder.conv_to_new(&mix, input);
        let wide = builder.map(20, 20, 64);
        let [second, third] = [0, 1].map(|_| builder.map(40, 40, 16));
        builder.step().conv(&mix, first, second, None);
        // What was read is written: the two are not fused.
        builder.step().depthwise(&each, second, first);
        builder.step().depthwise(&each, first, third);
        for quarter in 0..4 {
            builder.step().max_pool(third, wide.channels(16 * quarter, 16), 2, 2);
        }
        let last = builder.map(40, 40, 16);
        builder.step().conv(&mix, third, last, None);
        let narrow = builder.map(40, 40, 16);
        builder.step().depthwise(&each, last, narrow);
        builder.step().max_pool(narrow, wide.channels(16, 16), 2, 2);
        builder.finish_with(&[first.into(), wide.into()], simd, Arithmetic::F32, large)
    };
    let values = random(40 * 40 * 16, &mut rng(62));
    let (alone, joined) = (build(usize::MAX), build(1));
    assert_eq!((alone.fused(1, 1).len(), joined.fused(1, 1).len()), (0, 1));
    assert!(run(&joined, &values, 1, (40, 40 * 16)) == run(&alone, &values, 1, (40, 40 * 16)));
}

#[test]
fn fused_steps_give_what_their_steps_give_one_by_one() {
    let mut rng = rng(61);
    let pools: Vec<_> =
        (1..4).map(|count| rayon::ThreadPoolBuilder::new().num_threads(count).build().unwrap()).collect();
    let (mut fused, mut cut, mut by_rows) = (0, 0, 0);
    for case in 0..60 {
        let kinds = [Arithmetic::F32, Arithmetic::Int16, Arithmetic::F16];
        let arithmetic = kinds[case % 6 / 2];
        let shape = (rng.random_range(50..110), rng.random_range(50..80), [1, 3, 16][case % 3]);
        let image = (shape.0, shape.1 * shape.2);
        let layers = layers(&mut rng, shape.2);
        let n = rng.random_range(1..4);
        let values = random(n * shape.0 * shape.1 * shape.2, &mut rng);
        for simd in Simd::available() {
            let alone = program(&layers, shape, simd, arithmetic, usize::MAX);
            let joined = program(&layers, shape, simd, arithmetic, 1);
            assert!(alone.fused(n, 1).is_empty());
            let wanted = run(&alone, &values, n, image);
            // F16 is slow in plain code.
            let pools = if (simd, arithmetic) == (Simd::Scalar, Arithmetic::F16) { &pools[1..2] } else { &pools };
            for pool in pools {
                fused += joined.fused(n, 1).len();
                cut += joined.fused(n, pool.current_num_threads()).iter().filter(|&&pieces| pieces > n).count();
                // Twice: a scratch that was used holds nothing that matters.
                for _ in 0..2 {
                    let got = pool.install(|| run(&joined, &values, n, image));
                    assert!(got == wanted, "case {case} by {simd}: {n} of {shape:?} through {layers:?}");
                }
                // As much where the input is written row by row, in a scratch that holds what comes of another one.
                let row = shape.1 * shape.2;
                let fill = |image: usize, y: usize, out: &mut [f32]| {
                    out.copy_from_slice(&values[(image * shape.0 + y) * row..][..row]);
                };
                by_rows += usize::from(joined.takes_rows());
                for scale in [-3.0, 1.0] {
                    let scaled = |image: usize, y: usize, out: &mut [f32]| {
                        fill(image, y, out);
                        out.iter_mut().for_each(|v| *v *= scale);
                    };
                    let got = pool.install(|| joined.run_rows(n, scaled)).remove(0);
                    let same = Some(&got) == wanted.last();
                    assert!(same == (scale > 0.0), "case {case} by {simd}: {n} of {shape:?} by rows");
                }
            }
        }
    }
    assert!(fused > 200 && cut > 50, "{fused} fused, {cut} of them in bands: too few to tell");
    assert!(by_rows > 100, "{by_rows} whose input is written row by row: too few to tell");
}
