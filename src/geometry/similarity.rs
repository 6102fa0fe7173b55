//! Similarity transforms (turn, scale, shift) and their least-squares fit.
//!
//! S. Umeyama, "Least-squares estimation of transformation parameters between two point patterns",
//! IEEE TPAMI 13(4), 1991. In the plane, without reflection, the fit has a closed form: with both
//! point sets centred and read as complex numbers, the factor is `sum(conj(p) q) / sum(|p|^2)`.

/// The map `(x, y) -> (a x - b y + tx, b x + a y + ty)`.
///
/// ```
/// use kith::geometry::Similarity;
/// let from = [[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]];
/// let to = [[5.0, 5.0], [5.0, 7.0], [3.0, 5.0]]; // a quarter turn, twice the size, shifted
/// let t = Similarity::fit(&from, &to).unwrap();
/// assert!((t.scale() - 2.0).abs() < 1e-12);
/// assert!((t.apply([1.0, 1.0])[0] - 3.0).abs() < 1e-12);
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Similarity {
    a: f64,
    b: f64,
    tx: f64,
    ty: f64,
}

impl Similarity {
    /// The similarity that brings `from` nearest to `to` in the sum of squared distances (Umeyama
    /// 1991, equations 40 to 43, in the plane). `None` when fewer than two points are given, when they
    /// coincide, or when a number is not finite.
    ///
    /// # Panics
    /// When the two slices differ in length.
    pub fn fit(from: &[[f64; 2]], to: &[[f64; 2]]) -> Option<Self> {
        assert_eq!(from.len(), to.len(), "points come in pairs");
        let n = from.len() as f64;
        let mean = |points: &[[f64; 2]], axis: usize| points.iter().map(|p| p[axis]).sum::<f64>() / n;
        let (fx, fy, gx, gy) = (mean(from, 0), mean(from, 1), mean(to, 0), mean(to, 1));
        let (mut along, mut across, mut spread) = (0.0, 0.0, 0.0);
        for (p, q) in from.iter().zip(to) {
            let (px, py, qx, qy) = (p[0] - fx, p[1] - fy, q[0] - gx, q[1] - gy);
            along += px * qx + py * qy;
            across += px * qy - py * qx;
            spread += px * px + py * py;
        }
        let (a, b) = (along / spread, across / spread);
        let fitted = Self { a, b, tx: gx - a * fx + b * fy, ty: gy - b * fx - a * fy };
        let usable = spread > 0.0 && (a != 0.0 || b != 0.0);
        (usable && [a, b, fitted.tx, fitted.ty].iter().all(|v| v.is_finite())).then_some(fitted)
    }

    /// Where the point goes.
    pub fn apply(&self, [x, y]: [f64; 2]) -> [f64; 2] {
        [self.a * x - self.b * y + self.tx, self.b * x + self.a * y + self.ty]
    }

    /// The factor by which lengths grow.
    pub fn scale(&self) -> f64 {
        self.a.hypot(self.b)
    }

    /// The turn in radians, anticlockwise where y points up (clockwise on a photo, where it points down).
    pub fn angle(&self) -> f64 {
        self.b.atan2(self.a)
    }

    /// The way back.
    pub fn inverse(&self) -> Self {
        let square = self.a * self.a + self.b * self.b;
        let (a, b) = (self.a / square, -self.b / square);
        Self { a, b, tx: -(a * self.tx - b * self.ty), ty: -(b * self.tx + a * self.ty) }
    }

    /// The two rows of the matrix, for a warp.
    pub fn rows(&self) -> [[f64; 3]; 2] {
        [[self.a, -self.b, self.tx], [self.b, self.a, self.ty]]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    #[test]
    fn recovers_a_known_transform_and_its_inverse() {
        let mut rng = ChaCha8Rng::seed_from_u64(1991);
        for _ in 0..200 {
            let truth = Similarity {
                a: rng.random_range(-3.0..3.0),
                b: rng.random_range(0.1..3.0),
                tx: rng.random_range(-100.0..100.0),
                ty: rng.random_range(-100.0..100.0),
            };
            let from: Vec<[f64; 2]> =
                (0..5).map(|_| [rng.random_range(0.0..150.0), rng.random_range(0.0..150.0)]).collect();
            let to: Vec<[f64; 2]> = from.iter().map(|&p| truth.apply(p)).collect();
            let fitted = Similarity::fit(&from, &to).unwrap();
            for (&p, &q) in from.iter().zip(&to) {
                let there = fitted.apply(p);
                let back = fitted.inverse().apply(q);
                assert!((there[0] - q[0]).hypot(there[1] - q[1]) < 1e-8);
                assert!((back[0] - p[0]).hypot(back[1] - p[1]) < 1e-6);
            }
        }
    }

    #[test]
    fn no_other_similarity_comes_nearer() {
        let mut rng = ChaCha8Rng::seed_from_u64(7);
        let mut points =
            || -> Vec<[f64; 2]> { (0..5).map(|_| [rng.random_range(0.0..9.0), rng.random_range(0.0..9.0)]).collect() };
        let (from, to) = (points(), points());
        let cost = |t: &Similarity| -> f64 {
            from.iter().zip(&to).map(|(&p, q)| (t.apply(p)[0] - q[0]).powi(2) + (t.apply(p)[1] - q[1]).powi(2)).sum()
        };
        let best = Similarity::fit(&from, &to).unwrap();
        for step in [-1e-3, 1e-3] {
            for nudged in [
                Similarity { a: best.a + step, ..best },
                Similarity { b: best.b + step, ..best },
                Similarity { tx: best.tx + step, ..best },
                Similarity { ty: best.ty + step, ..best },
            ] {
                assert!(cost(&nudged) > cost(&best));
            }
        }
    }

    #[test]
    fn degenerate_points_have_no_fit() {
        assert_eq!(Similarity::fit(&[[1.0, 1.0]; 5], &[[0.0, 0.0]; 5]), None);
        assert_eq!(Similarity::fit(&[], &[]), None);
        assert_eq!(Similarity::fit(&[[f64::NAN, 0.0], [1.0, 0.0]], &[[0.0, 0.0], [1.0, 0.0]]), None);
        assert_eq!(Similarity::fit(&[[0.0, 0.0], [1.0, 0.0]], &[[2.0, 2.0], [2.0, 2.0]]), None);
    }
}
