//! The colour of a similarity: red over yellow to green.

/// Red at 0%, yellow at 50%, green at 100%, linear between; out-of-range values are clamped, and what
/// is not a number is red.
///
/// ```
/// use kith::similarity_colour;
/// assert_eq!(similarity_colour(0.0), [255, 0, 0]);
/// assert_eq!(similarity_colour(50.0), [255, 255, 0]);
/// assert_eq!(similarity_colour(100.0), [0, 255, 0]);
/// ```
pub fn similarity_colour(percent: impl Into<f64>) -> [u8; 3] {
    let percent: f64 = percent.into();
    let s = if percent.is_nan() { 0.0 } else { percent.clamp(0.0, 100.0) };
    if s < 50.0 { [255, (255.0 * s / 50.0) as u8, 0] } else { [(255.0 * (1.0 - (s - 50.0) / 50.0)) as u8, 255, 0] }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scale_never_turns_back() {
        let scale: Vec<[u8; 3]> = (0..=1000).map(|i| similarity_colour(i as f32 / 10.0)).collect();
        assert!(scale.windows(2).all(|w| w[1][0] <= w[0][0] && w[1][1] >= w[0][1] && w[1][2] == 0));
        assert_eq!(similarity_colour(25.0), [255, 127, 0]);
        assert_eq!(similarity_colour(75.0), [127, 255, 0]);
        assert_eq!(similarity_colour(f32::NAN), [255, 0, 0]);
        assert_eq!(similarity_colour(1e9), [0, 255, 0]);
    }
}
