//! How far a record would move with other people.
//!
//! Pairs share photos and people, so counting them as independent trials makes every rate look surer than
//! it is. The delete-a-group jackknife (P. S. Kott, "The delete-a-group jackknife", Journal of Official
//! Statistics 17(4), 2001) asks the people instead: they are parted into [`GROUPS`] groups, the measurement
//! is made again without all pairs that touch one group, and the spread of the answers is the error.

use super::calibration::{Calibration, OperatingPoint};
use super::replicate::{GROUPS, Replicate, reach};
use super::slope::{Weight, slope};

/// Bins of distances from 0 to 2: a ten-thousandth each.
const BINS: usize = 20_000;

/// Counts of distances by the two groups of people that a pair touches.
#[derive(Clone)]
pub struct GroupedDistances {
    /// `[first group][second group][bin]`, the lower group first.
    genuine: Vec<u32>,
    impostor: Vec<u32>,
}

impl Default for GroupedDistances {
    fn default() -> Self {
        let counts = vec![0; GROUPS * GROUPS * BINS];
        Self { genuine: counts.clone(), impostor: counts }
    }
}

fn bin(distance: f32) -> usize {
    ((distance * (BINS as f32 / 2.0)) as usize).min(BINS - 1)
}

fn middle(bin: usize) -> f32 {
    (bin as f32 + 0.5) * (2.0 / BINS as f32)
}

impl GroupedDistances {
    /// Takes in the distance of a photo of person number `a` and one of person number `b`: genuine where
    /// they are one.
    pub fn add(&mut self, a: usize, b: usize, distance: f32) {
        let (first, second) = ((a % GROUPS).min(b % GROUPS), (a % GROUPS).max(b % GROUPS));
        let counts = if a == b { &mut self.genuine } else { &mut self.impostor };
        counts[(first * GROUPS + second) * BINS + bin(distance)] += 1;
    }

    /// Impostor pairs counted.
    pub(crate) fn impostor_pairs(&self) -> u64 {
        self.impostor.iter().map(|&n| u64::from(n)).sum()
    }

    /// Impostor pairs at or below a distance, to a ten-thousandth.
    pub(crate) fn impostors_below(&self, distance: f32) -> u64 {
        self.impostor.chunks_exact(BINS).flat_map(|counts| &counts[..=bin(distance)]).map(|&n| u64::from(n)).sum()
    }

    /// The largest distance that leaves at most that share of impostor pairs below, and how many those are, where they
    /// are enough.
    pub(crate) fn impostor_threshold(&self, fmr: f64) -> Option<(f32, u64)> {
        let all = rest(&self.impostor, GROUPS);
        let allowed = (fmr * all.iter().sum::<u64>() as f64 + 1e-9).floor() as u64;
        let mut below = 0;
        let first_beyond = all.iter().position(|&n| {
            below += n;
            below > allowed
        })?;
        let inside = below - all[first_beyond];
        (inside >= Calibration::LEAST_SUPPORT).then_some((first_beyond as f32 * (2.0 / BINS as f32), inside))
    }

    /// The 95% interval of the share of impostor pairs at or below a distance; none where a group of people holds too
    /// much of them, or there are fewer people than groups.
    pub(crate) fn impostor_interval(&self, distance: f32, share: f64) -> Option<(f64, f64)> {
        let whole = self.impostor_pairs();
        let without: Option<Vec<f64>> = (0..GROUPS)
            .map(|left_out| {
                let rest = rest(&self.impostor, left_out);
                let of = rest.iter().sum::<u64>();
                let below: u64 = rest[..=bin(distance)].iter().sum();
                (of > 0 && of < whole).then(|| below as f64 / of as f64)
            })
            .collect();
        let reach = reach(without?.into_iter());
        Some(((share - reach).max(0.0), (share + reach).min(1.0)))
    }

    /// One replicate a group; nothing where a group holds too much of the data for the rest to be measured.
    pub(crate) fn replicates(&self, points: &[OperatingPoint]) -> Option<Vec<Replicate>> {
        (0..GROUPS).map(|left_out| self.without(left_out, points)).collect()
    }

    fn without(&self, left_out: usize, points: &[OperatingPoint]) -> Option<Replicate> {
        let (genuine, impostor) = (rest(&self.genuine, left_out), rest(&self.impostor, left_out));
        let (of_genuine, of_impostor) = (genuine.iter().sum::<u64>(), impostor.iter().sum::<u64>());
        let whole: u64 = self.impostor.iter().map(|&n| u64::from(n)).sum();
        // A replicate from all the data would say that nothing moves.
        if of_genuine == 0 || of_impostor == whole {
            return None;
        }
        let allowed = (Calibration::MIDPOINT_FMR * of_impostor as f64).floor() as u64;
        let mut below = 0;
        let midpoint = impostor.iter().position(|&count| {
            below += count;
            below > allowed
        })?;
        let midpoint = middle(midpoint);
        let mean = |counts: &[u64], of: u64, value: Weight| {
            let total: f64 =
                counts.iter().enumerate().filter(|(_, n)| **n > 0).map(|(bin, &n)| n as f64 * value(middle(bin))).sum();
            total / of as f64
        };
        let over_genuine = |value: Weight| mean(&genuine, of_genuine, value);
        let over_impostor = |value: Weight| mean(&impostor, of_impostor, value);
        let slope = slope(midpoint, &over_genuine, &over_impostor).ok()?;
        let share =
            |counts: &[u64], distance: f32, of: u64| counts[..=bin(distance)].iter().sum::<u64>() as f64 / of as f64;
        Some(Replicate {
            midpoint,
            slope,
            fmr: points.iter().map(|p| share(&impostor, p.distance, of_impostor)).collect(),
            fnmr: points.iter().map(|p| 1.0 - share(&genuine, p.distance, of_genuine)).collect(),
        })
    }
}

/// The counts of all pairs that do not touch a group.
fn rest(counts: &[u32], left_out: usize) -> Vec<u64> {
    let mut sums = vec![0; BINS];
    for (at, counts) in counts.chunks_exact(BINS).enumerate() {
        if at / GROUPS != left_out && at % GROUPS != left_out {
            sums.iter_mut().zip(counts).for_each(|(sum, &n)| *sum += u64::from(n));
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::{Distances, fit_calibration};
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    /// `people` with four photos each: distances depend on the pair of people, as they do in truth.
    fn measured(people: usize, seed: u64) -> Calibration {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut of_person: Vec<f32> = (0..people).map(|_| rng.random_range(-0.08..0.08)).collect();
        of_person.iter_mut().for_each(|p| *p += 0.01);
        let mut distances = Distances::default();
        // Impostor pairs enough for the midpoint, of however few people.
        let rounds = (80_000 / (people * (people - 1))).max(16);
        for a in 0..people {
            for b in a..people {
                for _ in 0..if a == b { 6 } else { rounds } {
                    let spread = (0..6).map(|_| rng.random_range(-0.1..0.1f32)).sum::<f32>();
                    let centre = if a == b { 0.35 } else { 0.8 };
                    distances.add(a, b, centre + spread + of_person[a] + of_person[b]);
                }
            }
        }
        fit_calibration("m/0/test", "mtcnn", "drawn", distances, 0).unwrap()
    }

    #[test]
    fn other_people_give_answers_within_the_bounds() {
        // The truth, from far more people.
        let truth = measured(600, 1);
        let (mut inside, mut asked) = (0, 0);
        for seed in 2..22 {
            let record = measured(80, seed);
            for distance in [0.4, 0.5, 0.55, 0.6] {
                let (low, high) = record.similarity_interval(distance).unwrap();
                assert!(low < record.similarity(distance) && record.similarity(distance) < high);
                asked += 1;
                inside += usize::from((low..high).contains(&truth.similarity(distance)));
            }
        }
        // 95% of them, by the book; the four distances of one record go together.
        assert!(inside * 100 >= 85 * asked, "{inside} of {asked}");
    }

    #[test]
    fn fewer_people_than_groups_give_no_bounds() {
        let record = measured(12, 1);
        assert!(record.replicates.is_none());
        assert!(record.similarity_interval(0.5).is_none());
    }
}
