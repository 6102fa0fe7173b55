//! Faces to people: neighbours from an exact scan, the line from the calibration record.

use super::Engine;
use crate::cluster::{Doubt, Line, Method, Near, Options, Rows, Rules, cosine_at, doubts, group};
use crate::error::{RefusalError, Result};
use crate::index::{FaceIndex, Precision};
use crate::vector::Embedding;
use crate::verify::Calibration;

/// Where the line between one person and two is drawn: pairs of strangers, for each face among all, that may be as alike
/// as it asks for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Strangers {
    /// Between two single faces.
    pub faces: f64,
    /// Between large groups.
    pub groups: f64,
}

/// Compared with SFace on people of folds 1 and 2 of LFW, alone and among half of those outside the folds; settled after
/// results on all photos had been seen, so figures on LFW flatter (`benches/cluster.rs` chooses anew on one half of the
/// people). Large groups stray a little less than two faces do.
impl Default for Strangers {
    fn default() -> Self {
        Self { faces: 0.035, groups: 0.085 }
    }
}

/// Fewer faces are reckoned as so many (a false-match rate of 2e-4 between two): they are often a family's.
const FEWEST: usize = 175;
/// Groups near each that are held against it in search of doubt.
const DOUBTED: usize = 8;
/// Rows whose neighbours are asked for at once.
const TOGETHER: usize = 4096;

/// The line between one person and two among so many faces: the more faces, the more pairs of strangers, and the
/// stricter.
///
/// # Errors
/// Those of [`Calibration::for_search`], which these rates do not meet.
pub fn line_among(calibration: &Calibration, faces: usize) -> Result<Line, RefusalError> {
    line_by(calibration, faces, Strangers::default())
}

/// [`line_among`], drawn elsewhere.
///
/// # Errors
/// Those of [`Calibration::for_search`].
pub fn line_by(calibration: &Calibration, faces: usize, strangers: Strangers) -> Result<Line, RefusalError> {
    let cosine = |strangers| Ok::<_, RefusalError>(cosine_at(distance_at(calibration, strangers, faces.max(FEWEST))?));
    Ok(Line { faces: cosine(strangers.faces)?, groups: cosine(strangers.groups)? })
}

/// The distance at which each face among so many has so many strangers nearer: between two measured points on the line
/// through them (logarithm of the rate over distance), so that one face more moves it little.
fn distance_at(calibration: &Calibration, strangers: f64, faces: usize) -> Result<f32, RefusalError> {
    let rate = strangers / faces as f64;
    let points = &calibration.points;
    let (wide, strict) = points.split_at(points.partition_point(|p| p.fmr > rate));
    match (wide.last(), strict.first()) {
        (Some(wide), Some(strict)) => {
            let share = (wide.fmr / rate).ln() / (wide.fmr / strict.fmr).ln();
            Ok(wide.distance + share as f32 * (strict.distance - wide.distance))
        }
        (None, Some(widest)) => Ok(widest.distance),
        (_, None) => Ok(calibration.for_search(-(-strangers).exp_m1(), faces)?.distance),
    }
}

/// Groups unit vectors (rows of `dimension` values) into people, by a line and rules. Groups are numbered from 0 in order
/// of their first rows.
pub fn group_rows(rows: Rows, rules: &Rules, line: Line, method: Method) -> Vec<u32> {
    let options = Options { method, line, neighbours: Options::NEIGHBOURS, seed: 1 };
    group(rows, rules, &options, &nearest)
}

/// Groups (the sums of their faces' unit vectors, and how many those are) by how doubtful it is whether two of them are
/// one person's: see [`doubts`].
pub(crate) fn doubtful(
    sums: Rows,
    sizes: &[u32],
    line: Line,
    may_ask: &(dyn Fn(usize, usize) -> bool + Sync),
) -> Vec<Doubt> {
    doubts(sums, sizes, line, DOUBTED, may_ask, &nearest)
}

/// The true nearest of some rows among the others.
fn nearest(rows: Rows, probes: &[u32], count: usize) -> Vec<Vec<Near>> {
    let mut index = FaceIndex::new(rows.dimension(), Precision::F32);
    (0..rows.len()).for_each(|row| index.insert(row as u64, rows.row(row)));
    let mut lists = Vec::with_capacity(probes.len());
    for together in probes.chunks(TOGETHER) {
        let probes: Vec<&[f32]> = together.iter().map(|&row| rows.row(row as usize)).collect();
        // One more: each is its own nearest.
        for (&row, near) in together.iter().zip(index.exact_of_each(&probes, count + 1, None)) {
            let others = near.into_iter().filter(|n| n.face != u64::from(row)).take(count);
            lists.push(others.map(|n| (n.face as u32, cosine_at(n.distance))).collect());
        }
    }
    lists
}

impl Engine {
    /// Groups faces into people: the number of each face's group, from 0 on in order of their first faces.
    ///
    /// ```
    /// # use kith::{Engine, Photo};
    /// let engine = Engine::builder().build()?;
    /// let face = |name: &str| -> kith::Result<_> {
    ///     Ok(engine.one_face(&Photo::open(format!("tests/fixtures/photos/{name}"))?, kith::FaceChoice::Largest)?.embedding)
    /// };
    /// let faces = [face("grace_hopper.jpg")?, face("astronaut.png")?, face("hopper_tilt.jpg")?];
    /// assert_eq!(engine.group(&faces)?, [0, 1, 0]);
    /// # Ok::<(), kith::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`RefusalError::NotCalibrated`]; [`crate::error::ModelError::MixedModels`] for faces of several models.
    pub fn group(&self, faces: &[Embedding]) -> Result<Vec<u32>> {
        self.group_by(faces, Method::Linkage)
    }

    /// [`Engine::group`] by a method that is named.
    ///
    /// # Errors
    /// As [`Engine::group`].
    pub fn group_by(&self, faces: &[Embedding], method: Method) -> Result<Vec<u32>> {
        let Some(first) = faces.first() else { return Ok(Vec::new()) };
        faces.iter().try_for_each(|face| face.cosine(first).map(drop))?;
        let unknown = || RefusalError::NotCalibrated { model: self.model().to_string() };
        let line = line_among(self.calibration().ok_or_else(unknown)?, faces.len())?;
        let values: Vec<f32> = faces.iter().flat_map(Embedding::values).copied().collect();
        Ok(group_rows(Rows::new(&values, first.dimension()), &Rules::none(faces.len()), line, method))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    const DIMENSION: usize = 128;

    /// Made-up faces: so many of each person in a row, as far from each other as SFace's are (cosine about 0.65), people
    /// at right angles; then faces of nobody else.
    fn drawn(people: usize, faces: usize, alone: usize) -> (Vec<f32>, Vec<u32>) {
        let mut rng = ChaCha8Rng::seed_from_u64(100_000);
        let mut draw = |about: Option<&[f32]>| -> Vec<f32> {
            // Twelve uniform numbers make a nearly normal one.
            let mut normal = || (0..12).map(|_| rng.random_range(-0.5f32..0.5)).sum::<f32>();
            let mut v: Vec<f32> = (0..DIMENSION).map(|_| normal()).collect();
            let length = |v: &[f32]| v.iter().map(|x| x * x).sum::<f32>().sqrt();
            let own = length(&v);
            v.iter_mut().for_each(|x| *x /= own);
            if let Some(about) = about {
                v.iter_mut().zip(about).for_each(|(x, a)| *x = 0.6 * *x + 0.8 * a);
                let all = length(&v);
                v.iter_mut().for_each(|x| *x /= all);
            }
            v
        };
        let (mut values, mut truth) = (Vec::new(), Vec::new());
        for person in 0..people {
            let centre = draw(None);
            for _ in 0..faces {
                values.extend(draw(Some(&centre)));
                truth.push(person as u32);
            }
        }
        for stranger in 0..alone {
            values.extend(draw(None));
            truth.push((people + stranger) as u32);
        }
        (values, truth)
    }

    fn sface() -> Calibration {
        let model = crate::vector::ModelId::from_text("sface/72a0b0467d18eab6/five-point-112");
        Engine::shipped_calibration(&model).unwrap()
    }

    #[test]
    fn the_line_is_stricter_among_more_faces() {
        let mut before = line_among(&sface(), 0).unwrap();
        for faces in [1, 256, 1000, 10_000, 100_000, 1_000_000] {
            let line = line_among(&sface(), faces).unwrap();
            assert!(line.faces >= before.faces && line.groups >= before.groups && line.faces > line.groups, "{line:?}");
            before = line;
        }
        assert!(before.faces > 0.5 && before.faces < 0.8, "{before:?}");
    }

    #[test]
    fn people_among_strangers_are_found() {
        let (values, truth) = drawn(40, 12, 500);
        let rows = Rows::new(&values, DIMENSION);
        let line = line_among(&sface(), rows.len()).unwrap();
        assert_eq!(group_rows(rows, &Rules::none(rows.len()), line, Method::Linkage), truth);
    }

    #[test]
    #[ignore = "takes a minute; says how long 100,000 faces take"]
    fn a_hundred_thousand_faces() {
        let (values, truth) = drawn(5000, 12, 40_000);
        let rows = Rows::new(&values, DIMENSION);
        let line = line_among(&sface(), rows.len()).unwrap();
        let begun = Instant::now();
        let groups = group_rows(rows, &Rules::none(rows.len()), line, Method::Linkage);
        println!("{} faces in {:.1} s, {line:?}", rows.len(), begun.elapsed().as_secs_f64());
        let wrong = groups.iter().zip(&truth).filter(|(a, b)| a != b).count();
        println!("{wrong} of other numbers than drawn; {} groups", groups.iter().max().unwrap() + 1);
    }
}
