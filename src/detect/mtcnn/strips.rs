//! P-net on the processor: strips of rows, each streamed through the whole network.
//!
//! A strip begins at the photo's bytes. Every row of the level is resized when the first convolution
//! needs it, and between the layers only the few rows live that a window still looks at, so that all
//! of it stays in the core's own cache: no level of the pyramid, and no map of a layer, is ever held
//! whole. Strips of all levels run in parallel.

use candle_core::Result;
use rayon::prelude::*;

use super::boxes::{Candidate, of_cell};
use super::nets::face_probability;
use super::pyramid::Level;
use crate::media::{AreaRows, Frame, Raster, RowSums};
use crate::nn::{Row, RowConv, WeightSource, row_conv};
use kith_kernels::Simd;

/// Strips for each thread, so that none waits long for the last.
const STRIPS_A_THREAD: usize = 6;
/// Rows of cells that a strip has at least: it computes eight rows of pixels more than it has cells for.
const LEAST_ROWS: usize = 16;
/// How far below the threshold a difference of logits may be looked at closely, in f32's favour.
const SLACK: f32 = 0.01;

/// P-net's layers over rows.
pub(super) struct StripPNet {
    conv1: RowConv<3>,
    conv2: RowConv<3>,
    conv3: RowConv<3>,
    class: RowConv<1>,
    /// `[4, channels]`, and one bias each: few cells are asked.
    shift: Vec<f32>,
    shift_bias: Vec<f32>,
}

/// Rows of cells `first` to `last` of a level.
struct Strip {
    level: usize,
    first: usize,
    last: usize,
}

impl StripPNet {
    pub(super) fn load(source: &WeightSource, simd: Simd) -> Result<Self> {
        Ok(Self {
            conv1: row_conv(source, "conv1", Some("prelu1"), simd)?,
            conv2: row_conv(source, "conv2", Some("prelu2"), simd)?,
            conv3: row_conv(source, "conv3", Some("prelu3"), simd)?,
            class: row_conv(source, "conv4_1", None, simd)?,
            shift: source.get("conv4_2.weight")?.flatten_all()?.to_vec1()?,
            shift_bias: source.get("conv4_2.bias")?.to_vec1()?,
        })
    }

    /// The cells of each level of that part of the photo with at least `threshold`, row by row, from the part's corner.
    pub(super) fn run(&self, photo: &Raster, frame: Frame, levels: &[Level], threshold: f32) -> Vec<Vec<Candidate>> {
        let strips = strips(levels);
        let pixels: Vec<AreaRows> = levels.iter().map(|level| level.pixels(photo, frame)).collect();
        let found: Vec<Vec<Candidate>> = strips
            .par_iter()
            .with_max_len(1)
            .map(|strip| self.strip(&pixels[strip.level], &levels[strip.level], strip, threshold))
            .collect();
        let mut by_level = vec![Vec::new(); levels.len()];
        for (strip, found) in strips.iter().zip(found) {
            by_level[strip.level].extend(found);
        }
        by_level
    }

    fn strip(&self, pixels: &AreaRows, level: &Level, strip: &Strip, threshold: f32) -> Vec<Candidate> {
        let (_, cells) = level.cells();
        let (after_conv1, pooled_width) = (level.width - 2, (level.width - 2).div_ceil(2));
        // Ring buffers: row `r` of a map is at `r` modulo the ring's length.
        let mut levels: [Row; 4] = std::array::from_fn(|_| Row::new(3, level.width));
        let mut convolved: [Row; 2] = std::array::from_fn(|_| self.conv1.row(after_conv1));
        let mut pooled: [Row; 3] = std::array::from_fn(|_| self.conv1.row(pooled_width));
        let mut second: [Row; 3] = std::array::from_fn(|_| self.conv2.row(pooled_width - 2));
        let mut third = self.conv3.row(cells);
        let mut class = self.class.row(cells);
        let mut sums = RowSums::default();
        let mut found = Vec::new();
        // A cell sees five rows of the pooled map, which begin at its own.
        let mut resized = 2 * strip.first;
        for p in strip.first..strip.last + 4 {
            let last = (2 * p + 3).min(level.height - 1);
            while resized <= last {
                let mut channels = levels[resized % 4].channels_mut();
                if let (Some(red), Some(green), Some(blue)) = (channels.next(), channels.next(), channels.next()) {
                    pixels.row(resized, &mut sums, red, green, blue);
                }
                resized += 1;
            }
            let window = |from: usize| std::array::from_fn(|k| &levels[(from + k) % 4]);
            self.conv1.forward(window(2 * p), after_conv1, &mut convolved[0]);
            // Pooling in ceil mode: the last row may have no second one.
            let both = last == 2 * p + 3;
            if both {
                self.conv1.forward(window(2 * p + 1), after_conv1, &mut convolved[1]);
            }
            self.conv1.pool(&convolved[0], &convolved[usize::from(both)], after_conv1, &mut pooled[p % 3]);
            if p < strip.first + 2 {
                continue;
            }
            let row = p - 2;
            let window = std::array::from_fn(|k| &pooled[(row + k) % 3]);
            self.conv2.forward(window, pooled_width - 2, &mut second[row % 3]);
            if p < strip.first + 4 {
                continue;
            }
            let row = p - 4;
            let window = std::array::from_fn(|k| &second[(row + k) % 3]);
            self.conv3.forward(window, cells, &mut third);
            self.class.forward([&third], cells, &mut class);
            self.collect(&class, &third, (cells, row), level.scale, threshold, &mut found);
        }
        found
    }

    /// The cells of a row that pass.
    fn collect(
        &self,
        class: &Row,
        features: &Row,
        (cells, row): (usize, usize),
        scale: f64,
        threshold: f32,
        found: &mut Vec<Candidate>,
    ) {
        // Nearly every cell is far below the threshold, which its logits tell without an exponential. Near
        // certainty f32 rounds differences away, so there every cell is asked.
        let least = if threshold < 0.99 { (threshold / (1.0 - threshold)).ln() - SLACK } else { f32::NEG_INFINITY };
        let (no_face, face) = (&class.channel(0)[..cells], &class.channel(1)[..cells]);
        for (x, (no_face, face)) in no_face.iter().zip(face).enumerate() {
            if face - no_face < least {
                continue;
            }
            let score = face_probability(*no_face, *face);
            if score < threshold {
                continue;
            }
            let channels = self.shift.len() / 4;
            let shift = std::array::from_fn(|k| {
                let weights = &self.shift[k * channels..][..channels];
                let products = weights.iter().enumerate().map(|(c, w)| w * features.channel(c)[x]);
                products.fold(self.shift_bias[k], |sum, product| sum + product)
            });
            found.push(of_cell(x, row, scale, score, shift));
        }
    }
}

/// The levels cut into strips of about the same work, the finest level first.
fn strips(levels: &[Level]) -> Vec<Strip> {
    let all: usize = levels.iter().map(|l| l.cells().0 * l.cells().1).sum();
    let target = all / (STRIPS_A_THREAD * rayon::current_num_threads());
    let mut strips = Vec::new();
    for (level, l) in levels.iter().enumerate() {
        let (rows, columns) = l.cells();
        let each = (target / columns).max(LEAST_ROWS);
        strips.extend((0..rows).step_by(each).map(|first| Strip { level, first, last: rows.min(first + each) }));
    }
    strips
}

#[cfg(test)]
mod tests {
    use candle_core::Tensor;
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::super::boxes::from_maps;
    use super::super::nets::PNet;
    use super::super::{MtcnnOptions, pyramid};
    use super::*;
    use crate::nn::weights::WeightStore;

    /// What the order of sums may change in a score.
    const ROUNDING: f32 = 1e-5;

    #[test]
    fn strips_give_what_the_whole_level_gives() {
        let loaded = WeightStore::new(None).load("mtcnn").unwrap();
        let cpu = candle_core::Device::Cpu;
        let source = WeightSource::new(&loaded.tensors, &cpu);
        let (whole, strips) = (
            PNet::load(&source.under("pnet")).unwrap(),
            StripPNet::load(&source.under("pnet"), Simd::available()[0]).unwrap(),
        );
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        for (width, height) in [(20, 20), (21, 35), (150, 97), (64, 201), (333, 90)] {
            let data = (0..width * height * 3).map(|_| rng.random()).collect();
            let photo = Raster::from_rgb(width, height, data).unwrap();
            let levels = pyramid::levels(width, height, &MtcnnOptions::default());
            let all = crate::media::Region { x0: 0, y0: 0, x1: width as usize, y1: height as usize };
            // So low that noise passes, and then that every cell does.
            for threshold in [0.05, 0.0] {
                let found = strips.run(&photo, all.into(), &levels, threshold);
                for (level, found) in levels.iter().zip(found) {
                    let (w, h) = (level.width, level.height);
                    let mut pixels = vec![0f32; 3 * w * h];
                    crate::media::resize_area(&photo, all, w, h, &mut pixels);
                    let maps = whole.run(&Tensor::from_vec(pixels, (1, 3, h, w), &cpu).unwrap()).unwrap();
                    let (rows, columns) = level.cells();
                    assert_eq!((maps.scores.len(), maps.columns), (rows * columns, columns));
                    let wanted = from_maps(&maps, level.scale, threshold);
                    // A score within rounding of the threshold may fall on either side of it.
                    let sure = |c: &&Candidate| c.score > threshold + ROUNDING;
                    let missing = |from: &[Candidate], to: &[Candidate]| {
                        let same = |c: &Candidate, t: &Candidate| t.bbox == c.bbox && (t.score - c.score).abs() < 1e-4;
                        from.iter().filter(sure).filter(|c| !to.iter().any(|t| same(c, t))).count()
                    };
                    if threshold > 0.0 {
                        assert_eq!(missing(&found, &wanted), 0, "{width}x{height} at {threshold}");
                        assert_eq!(missing(&wanted, &found), 0, "{width}x{height} at {threshold}");
                        continue;
                    }
                    assert_eq!(found.len(), wanted.len(), "{width}x{height} at {threshold}");
                    for (f, w) in found.iter().zip(&wanted) {
                        assert_eq!(f.bbox, w.bbox);
                        assert!((f.score - w.score).abs() < 1e-4, "{} for {}", f.score, w.score);
                        assert!(f.shift.iter().zip(w.shift).all(|(a, b)| (a - b).abs() < 1e-4));
                    }
                }
            }
        }
    }
}
