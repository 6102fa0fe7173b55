//! The steepness of the similarity scale: the slope of greatest likelihood.

/// Steps of bisection for the slope: more than f32 can tell apart.
const BISECTIONS: usize = 60;

/// A function of a distance, of which a mean over many is wanted.
pub(super) type Weight<'a> = &'a (dyn Fn(f32) -> f64 + Sync);
/// Takes the mean of a function over all pairs of one kind.
pub(super) type MeanOver<'a> = &'a dyn Fn(Weight) -> f64;

/// The slope at which the derivative of the log likelihood, which falls with the slope, is zero.
pub(super) fn slope(midpoint: f32, genuine: MeanOver, impostor: MeanOver) -> Result<f32, String> {
    let derivative = |slope: f64| {
        let part = |mean: MeanOver, wanted: f64| {
            mean(&|d| {
                let from_middle = f64::from(d) - f64::from(midpoint);
                let similarity = 1.0 / (1.0 + (slope * from_middle).exp());
                (similarity - wanted) * from_middle
            })
        };
        part(genuine, 1.0) + part(impostor, 0.0)
    };
    let (mut low, mut high) = (0.0f64, 1e4f64);
    if derivative(low) <= 0.0 {
        return Err("genuine pairs are no nearer than impostor pairs: this model tells nobody apart".to_string());
    }
    for _ in 0..BISECTIONS {
        let middle = (low + high) / 2.0;
        if derivative(middle) > 0.0 { low = middle } else { high = middle }
    }
    Ok(low as f32)
}
