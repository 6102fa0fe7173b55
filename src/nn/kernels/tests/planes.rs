//! What training does to planes: every instruction set gives what slow references in f64 give.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::f32::planes::{self, Centred, ChannelWindow, LocalNorm, Sloped};
use crate::simd::Simd;

fn random(count: usize, rng: &mut ChaCha8Rng) -> Vec<f32> {
    (0..count).map(|_| rng.random_range(-1.0f32..1.0)).collect()
}

fn near(got: &[f32], wanted: &[f64], what: &str) {
    assert_eq!(got.len(), wanted.len(), "{what}");
    for (i, (got, wanted)) in got.iter().zip(wanted).enumerate() {
        assert!((f64::from(*got) - wanted).abs() < 1e-5 * (1.0 + wanted.abs()), "{what}: {i} is {got}, not {wanted}");
    }
}

#[test]
fn norms_slopes_and_their_gradients_are_those_of_a_slow_reference() {
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    // Planes of less and more than a vector.
    for count in [1, 7, 16, 49, 83] {
        let (x, g) = (random(count, &mut rng), random(count, &mut rng));
        for by in [(0.7, 0.1, 0.25), (-1.3, -0.2, 0.0), (2.0, 0.0, 1.0)] {
            let by = Sloped { scale: by.0, shift: by.1, slope: by.2 };
            let (scale, shift, slope) = (f64::from(by.scale), f64::from(by.shift), f64::from(by.slope));
            let mean = f64::from(0.3f32);
            let v = |x: f32| f64::from(x * by.scale + by.shift);
            let before = |x: f32, g: f32| if v(x) > 0.0 { f64::from(g) } else { f64::from(g) * slope };
            let pairs = || x.iter().copied().zip(g.iter().copied());
            for simd in Simd::available() {
                let what = format!("{count} by {simd}");
                near(&[planes::sum(&x, simd)], &[x.iter().map(|v| f64::from(*v)).sum()], &what);
                let squares = x.iter().map(|v| (f64::from(*v) - mean).powi(2)).sum();
                near(&[planes::squares(&x, 0.3, simd)], &[squares], &what);
                let mut y = vec![f32::NAN; count];
                planes::sloped(&x, by, &mut y, simd);
                let wanted: Vec<f64> = x.iter().map(|x| if v(*x) > 0.0 { v(*x) } else { v(*x) * slope }).collect();
                near(&y, &wanted, &what);
                let wanted = [
                    pairs().map(|(x, g)| before(x, g)).sum(),
                    pairs().map(|(x, g)| before(x, g) * (f64::from(x) - mean)).sum(),
                    pairs().map(|(x, g)| if v(x) > 0.0 { 0.0 } else { f64::from(g) * v(x) }).sum(),
                ];
                near(&planes::sloped_sums(&x, &g, 0.3, by, simd), &wanted, &what);
                let centred = Centred { mean: 0.3, mean_gradient: 0.2, along: 0.4 };
                let mut back = g.clone();
                planes::sloped_back(&x, by, centred, &mut back, simd);
                let (mean_gradient, along) = (f64::from(0.2f32), f64::from(0.4f32));
                let wanted: Vec<f64> = pairs()
                    .map(|(x, g)| scale * (before(x, g) - mean_gradient - (f64::from(x) - mean) * along))
                    .collect();
                near(&back, &wanted, &what);
                let mut y = x.clone();
                planes::biased(&mut y, by.shift, true, simd);
                let wanted: Vec<f64> = x.iter().map(|x| (f64::from(*x) + shift).max(0.0)).collect();
                near(&y, &wanted, &what);
                let mut back = g.clone();
                planes::relu_back(&x, &mut back, simd);
                let wanted: Vec<f64> = pairs().map(|(y, g)| if y > 0.0 { f64::from(g) } else { 0.0 }).collect();
                near(&back, &wanted, &what);
            }
        }
    }
}

#[test]
fn local_response_normalisation_and_its_gradient_are_those_of_a_slow_reference() {
    let mut rng = ChaCha8Rng::seed_from_u64(6);
    for (channels, pixels, size) in [(1, 5, 5), (7, 16, 3), (20, 37, 5)] {
        let (x, g) = (random(channels * pixels, &mut rng), random(channels * pixels, &mut rng));
        let by = LocalNorm { size, alpha: 0.3, k: 1.5 };
        let (alpha, k) = (f64::from(by.alpha), f64::from(by.k));
        let of = |c: usize| c.saturating_sub(size / 2)..(c + size / 2 + 1).min(channels);
        let s = |c: usize, p: usize| -> f64 {
            k + alpha * of(c).map(|c| f64::from(x[c * pixels + p]).powi(2)).sum::<f64>()
        };
        let at = |i: usize| (i / pixels, i % pixels);
        let wanted: Vec<f64> = (0..x.len()).map(|i| f64::from(x[i]) * s(at(i).0, at(i).1).powf(-0.75)).collect();
        let back: Vec<f64> = (0..x.len())
            .map(|i| {
                let (c, p) = at(i);
                let along =
                    of(c).map(|o| f64::from(g[o * pixels + p]) * f64::from(x[o * pixels + p]) * s(o, p).powf(-1.75));
                f64::from(g[i]) * s(c, p).powf(-0.75) - 1.5 * alpha * f64::from(x[i]) * along.sum::<f64>()
            })
            .collect();
        for simd in Simd::available() {
            let (mut y, mut dx) = (vec![f32::NAN; x.len()], g.clone());
            by.forward(&x, channels, &mut y, simd);
            near(&y, &wanted, &format!("{channels} channels by {simd}"));
            by.backward(&x, channels, &mut dx, simd);
            near(&dx, &back, &format!("the gradient of {channels} channels by {simd}"));
        }
    }
}

#[test]
fn windows_of_a_channel_and_their_gradients_are_those_of_a_slow_reference() {
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    for (window, stride, padding, map) in [
        ((3, 3), 1, (1, 1), (7, 9)),
        ((3, 3), 2, (1, 1), (9, 8)),
        ((1, 7), 1, (0, 3), (4, 11)),
        ((7, 7), 1, (0, 0), (7, 7)),
        ((3, 3), 3, (1, 0), (13, 10)),
        ((5, 2), 2, (2, 1), (30, 41)),
    ] {
        let windows = ChannelWindow::new(window, stride, padding, map);
        let (rows, columns) = windows.result();
        let (x, taps) = (random(map.0 * map.1, &mut rng), random(window.0 * window.1, &mut rng));
        let g = random(rows * columns, &mut rng);
        // Where a tap of a result reads, if that is inside the map.
        let place = |result: usize, tap: usize| {
            let row = (result / columns * stride + tap / window.1).checked_sub(padding.0)?;
            let column = (result % columns * stride + tap % window.1).checked_sub(padding.1)?;
            (row < map.0 && column < map.1).then_some(row * map.1 + column)
        };
        let (mut sums, mut best) = (vec![0f64; g.len()], vec![(f32::NEG_INFINITY, 0); g.len()]);
        let (mut d_taps, mut dx, mut d_best) = (vec![0f64; taps.len()], vec![0f64; x.len()], vec![0f64; x.len()]);
        for result in 0..g.len() {
            for tap in 0..taps.len() {
                let Some(from) = place(result, tap) else { continue };
                sums[result] += f64::from(x[from]) * f64::from(taps[tap]);
                d_taps[tap] += f64::from(x[from]) * f64::from(g[result]);
                dx[from] += f64::from(taps[tap]) * f64::from(g[result]);
                if x[from] > best[result].0 {
                    best[result] = (x[from], from);
                }
            }
            d_best[best[result].1] += f64::from(g[result]);
        }
        let greatest: Vec<f64> = best.iter().map(|(v, _)| f64::from(*v)).collect();
        for simd in Simd::available() {
            let what = format!("{window:?} at {stride} by {simd}");
            let (mut sum, mut out) = (windows.scratch(0.0), vec![f32::NAN; g.len()]);
            // Twice: what was there before does not matter.
            for _ in 0..2 {
                windows.forward(&x, &taps, &mut sum, &mut out, simd);
                near(&out, &sums, &what);
                let (mut d, mut back) = (vec![0f32; taps.len()], vec![f32::NAN; x.len()]);
                windows.backward(&x, &taps, &g, &mut sum, Some(&mut d), &mut back, simd);
                near(&d, &d_taps, &format!("{what}: the taps"));
                near(&back, &dx, &format!("{what}: the plane"));
            }
            let (mut most, mut chosen, mut back) =
                (windows.scratch(f32::NEG_INFINITY), vec![0u8; g.len()], vec![0f32; x.len()]);
            windows.greatest(&x, &mut most, &mut out, &mut chosen, simd);
            near(&out, &greatest, &format!("{what}: the greatest"));
            windows.greatest_back(&chosen, &g, &mut back);
            near(&back, &d_best, &format!("{what}: the greatest's gradient"));
        }
    }
}
