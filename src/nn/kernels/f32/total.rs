//! A sum that is compiled with its caller's instructions.

/// A loop, since the standard library's sum is compiled without the set's instructions.
#[inline(always)]
pub(crate) fn total(values: &[f32]) -> f32 {
    let mut sum = 0.0;
    for v in values {
        sum += v;
    }
    sum
}
