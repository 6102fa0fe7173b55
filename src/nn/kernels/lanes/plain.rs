//! Plain code: the reference that the other instruction sets are held to, and the path of processors without one.

use crate::lanes::{LANES, Vectors, load_floats_as_they_are};

/// Sixteen f32, in whatever the compiler makes of them.
pub(crate) struct Plain;

type Sixteen = [f32; LANES];

/// `f` of the values at each place. A loop, which becomes vectors; `std::array::from_fn` becomes a call for each place.
#[inline(always)]
fn each([a, b, c]: [Sixteen; 3], f: impl Fn([f32; 3]) -> f32) -> Sixteen {
    let mut out = [0.0; LANES];
    for (i, out) in out.iter_mut().enumerate() {
        *out = f([a[i], b[i], c[i]]);
    }
    out
}

/// Functions of two vectors, lane by lane.
macro_rules! lane_by_lane {
    ($($name:ident = |$a:ident, $b:ident| $function:expr;)+) => {$(
        #[inline(always)]
        unsafe fn $name(a: Sixteen, b: Sixteen) -> Sixteen {
            each([a, b, b], |[$a, $b, _]| $function)
        }
    )+};
}

impl Vectors for Plain {
    type Number = f32;
    type Vector = Sixteen;
    const WIDTH: usize = LANES;

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Sixteen {
        // SAFETY: sixteen values can be read, as the trait demands; an array of f32 is aligned as f32 is.
        unsafe { from.cast::<Sixteen>().read() }
    }

    load_floats_as_they_are!();

    #[inline(always)]
    unsafe fn store(to: *mut f32, v: Sixteen) {
        // SAFETY: sixteen values can be written, as the trait demands.
        unsafe { to.cast::<Sixteen>().write(v) }
    }

    #[inline(always)]
    unsafe fn splat(from: *const f32) -> Sixteen {
        // SAFETY: one value can be read, as the trait demands.
        [unsafe { *from }; LANES]
    }

    // Fusing would be a library call where the target lacks the instruction.
    #[inline(always)]
    unsafe fn multiply_add(a: Sixteen, b: Sixteen, c: Sixteen) -> Sixteen {
        each([a, b, c], |[a, b, c]| a * b + c)
    }

    lane_by_lane! {
        add = |a, b| a + b;
        subtract = |a, b| a - b;
        multiply = |a, b| a * b;
        max = |a, b| if a > b { a } else { b };
        min = |a, b| if a < b { a } else { b };
    }
}
