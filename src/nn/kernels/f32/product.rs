//! Products of matrices that lie as training has them: any strides, so that nothing is transposed in memory, and sums that
//! go on. By the `gemm` crate, on the calling thread.

use gemm::Parallelism;

/// A matrix inside a slice.
#[derive(Clone, Copy)]
pub struct Matrix<'a> {
    values: &'a [f32],
    rows: usize,
    columns: usize,
    row_step: usize,
    column_step: usize,
}

impl<'a> Matrix<'a> {
    /// `[rows, columns]`, a row following `row_step` values after the one before.
    ///
    /// # Panics
    /// When the last row ends beyond the values, or rows overlap.
    pub fn new(values: &'a [f32], rows: usize, columns: usize, row_step: usize) -> Self {
        assert!(rows > 0 && columns > 0 && row_step >= columns, "{rows} rows of {columns} values, {row_step} apart");
        assert!((rows - 1) * row_step + columns <= values.len(), "a matrix of {rows}x{columns} in its values");
        Self { values, rows, columns, row_step, column_step: 1 }
    }

    /// Rows as columns, in the same place.
    pub fn transposed(self) -> Self {
        let Self { values, rows, columns, row_step, column_step } = self;
        Self { values, rows: columns, columns: rows, row_step: column_step, column_step: row_step }
    }
}

/// Writes `a` times `b` to `out`, whose rows follow each other after `row_step` values; with `add` onto what is there.
///
/// # Panics
/// When the sizes do not fit, or the last row ends beyond `out`.
pub fn multiply(a: Matrix, b: Matrix, out: &mut [f32], row_step: usize, add: bool) {
    assert_eq!(a.columns, b.rows, "as many columns as rows");
    assert!(row_step >= b.columns && (a.rows - 1) * row_step + b.columns <= out.len(), "room for the product");
    // SAFETY: both matrices lie inside their slices (held when they were made), the product inside `out` (asked above),
    // which is borrowed exclusively; f32 is one of the types that the crate has products of.
    unsafe {
        gemm::gemm(
            a.rows,
            b.columns,
            a.columns,
            out.as_mut_ptr(),
            1,
            row_step as isize,
            add,
            a.values.as_ptr(),
            a.column_step as isize,
            a.row_step as isize,
            b.values.as_ptr(),
            b.column_step as isize,
            b.row_step as isize,
            1.0,
            1.0,
            false,
            false,
            false,
            Parallelism::None,
        );
    }
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng};

    use super::*;

    #[test]
    fn products_are_those_of_a_slow_reference_in_any_order_of_values() {
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(3);
        for case in 0..60 {
            let (m, n, k) = (rng.random_range(1..40), rng.random_range(1..70), rng.random_range(1..50));
            let gap = rng.random_range(0..5);
            let mut drawn = |rows: usize, columns: usize| -> Vec<f32> {
                (0..rows * (columns + gap)).map(|_| rng.random_range(-1.0..1.0)).collect()
            };
            let (turned_a, turned_b, add) = (case % 2 == 1, case % 3 == 1, case % 5 == 1);
            let (a, b) =
                (if turned_a { drawn(k, m) } else { drawn(m, k) }, if turned_b { drawn(n, k) } else { drawn(k, n) });
            let before = drawn(m, n);
            let mut out = before.clone();
            let matrix = |values, rows: usize, columns: usize, turned: bool| match turned {
                true => Matrix::new(values, columns, rows, rows + gap).transposed(),
                false => Matrix::new(values, rows, columns, columns + gap),
            };
            multiply(matrix(&a, m, k, turned_a), matrix(&b, k, n, turned_b), &mut out, n + gap, add);
            let at = |v: &[f32], rows: usize, columns: usize, turned: bool, r: usize, c: usize| {
                f64::from(if turned { v[c * (rows + gap) + r] } else { v[r * (columns + gap) + c] })
            };
            for r in 0..m {
                for c in 0..n + gap {
                    let here = r * (n + gap) + c;
                    let sum: f64 = (0..k)
                        .filter(|_| c < n)
                        .map(|i| at(&a, m, k, turned_a, r, i) * at(&b, k, n, turned_b, i, c))
                        .sum();
                    let wanted = if c >= n || add { sum + f64::from(before[here]) } else { sum };
                    assert!((f64::from(out[here]) - wanted).abs() < 1e-4, "case {case}: {r}, {c}");
                }
            }
        }
    }

    #[test]
    #[should_panic(expected = "as many columns as rows")]
    fn what_does_not_fit_is_refused() {
        multiply(Matrix::new(&[1.0; 6], 2, 3, 3), Matrix::new(&[1.0; 6], 2, 3, 3), &mut [0.0; 9], 3, false);
    }
}
