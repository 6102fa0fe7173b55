//! Products of bfloat16 numbers in the tiles of Intel's AMX: eight registers of sixteen rows of 64 bytes.

use std::arch::asm;
use std::arch::x86_64::*;
use std::sync::OnceLock;

use half::bf16;

use super::bfloat_tile::{BLOCK, BfloatKernels, Product, SIDE, Windows, finish_body};
use super::lanes::{Avx512, LANES};

pub(super) static KERNELS: BfloatKernels = BfloatKernels { begin, end, split, multiply };

/// What `ldtilecfg` reads: eight registers of sixteen rows of 64 bytes.
#[repr(C, align(64))]
struct Shape {
    palette: u8,
    start: u8,
    reserved: [u8; 14],
    row_bytes: [u16; 16],
    rows: [u8; 16],
}

static SHAPE: Shape = {
    let (mut row_bytes, mut rows) = ([0; 16], [0; 16]);
    let mut register = 0;
    while register < 8 {
        (row_bytes[register], rows[register]) = (64, 16);
        register += 1;
    }
    Shape { palette: 1, start: 0, reserved: [0; 14], row_bytes, rows }
};

/// Whether the processor has the instructions, and Linux lets this process use their registers: it has to be
/// asked, for they take eight kilobytes of a thread's state.
pub(super) fn allowed() -> bool {
    static ALLOWED: OnceLock<bool> = OnceLock::new();
    *ALLOWED.get_or_init(|| {
        let vectors = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512bf16");
        vectors && has_tiles() && asked()
    })
}

fn has_tiles() -> bool {
    const BFLOAT16_AND_TILES: u32 = 1 << 22 | 1 << 24;
    // Whether reading it is safe differs between compilers.
    #[allow(unused_unsafe)]
    // SAFETY: every processor with AVX-512 has this leaf.
    let features = unsafe { __cpuid_count(7, 0) };
    features.edx & BFLOAT16_AND_TILES == BFLOAT16_AND_TILES
}

/// `arch_prctl(ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA)`; kernels without it answer with an error.
fn asked() -> bool {
    const ARCH_REQ_XCOMP_PERM: libc::c_long = 0x1023;
    const XFEATURE_XTILEDATA: libc::c_long = 18;
    // SAFETY: the call takes numbers only, and gives this process a right.
    unsafe { libc::syscall(libc::SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0 }
}

unsafe fn begin() {
    // SAFETY: the processor has the instructions; nothing else uses the registers.
    unsafe { asm!("ldtilecfg [{}]", in(reg) &raw const SHAPE, options(nostack, readonly)) }
}

unsafe fn end() {
    // SAFETY: as for `begin`.
    unsafe { asm!("tilerelease", options(nostack, nomem)) }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
unsafe fn split(w: &Windows) {
    // The places of the upper halves in two vectors.
    let mut odd = [0i16; BLOCK];
    odd.iter_mut().enumerate().for_each(|(at, odd)| *odd = 2 * at as i16 + 1);
    // SAFETY: as long as a vector.
    let odd = unsafe { _mm512_loadu_si512(odd.as_ptr().cast()) };
    for pixel in 0..w.count {
        let (from, row) = (w.first.wrapping_add(pixel * w.step), w.rows.wrapping_add(pixel * w.pitch));
        let mut k = 0;
        for &begin in w.runs {
            let mut i = 0;
            while i < w.run {
                // SAFETY: inside the run, and inside the row.
                unsafe {
                    let from = from.add(begin + i);
                    let to = row.add(k / BLOCK * 2 * BLOCK + k % BLOCK);
                    let (bits, lower) = halves(from);
                    if k % BLOCK == 0 && i + BLOCK <= w.run {
                        let (more, right) = halves(from.add(LANES));
                        _mm512_storeu_si512(to.cast(), _mm512_permutex2var_epi16(bits, odd, more));
                        to.add(BLOCK).cast::<__m512bh>().write_unaligned(_mm512_cvtne2ps_pbh(right, lower));
                        (i, k) = (i + BLOCK, k + BLOCK);
                    } else {
                        _mm256_storeu_si256(to.cast(), _mm512_cvtepi32_epi16(_mm512_srli_epi32::<16>(bits)));
                        to.add(BLOCK).cast::<__m256bh>().write_unaligned(_mm512_cvtneps_pbh(lower));
                        (i, k) = (i + LANES, k + LANES);
                    }
                }
            }
        }
        if k % BLOCK > 0 {
            let to = row.wrapping_add(k / BLOCK * 2 * BLOCK + k % BLOCK);
            // SAFETY: the other half of the row's last block.
            unsafe {
                to.write_bytes(0, BLOCK / 2);
                to.add(BLOCK).write_bytes(0, BLOCK / 2);
            }
        }
    }
}

/// Sixteen numbers, the upper half of whose bits is the nearest bfloat16, and what those leave.
#[target_feature(enable = "avx512f")]
#[inline]
unsafe fn halves(from: *const f32) -> (__m512i, __m512) {
    // SAFETY: sixteen numbers can be read, as the caller holds.
    let v = unsafe { _mm512_loadu_ps(from) };
    // As `split` does it: cut off, what is left would always be of the number's own sign, and what products of such
    // rests are left out would add up.
    let bits = _mm512_add_epi32(_mm512_castps_si512(v), _mm512_set1_epi32(0x8000));
    let upper = _mm512_and_si512(bits, _mm512_set1_epi32(0xffff_0000_u32 as i32));
    (bits, _mm512_sub_ps(v, _mm512_castsi512_ps(upper)))
}

unsafe fn multiply(p: &Product) {
    let mut sums = std::mem::MaybeUninit::<Sums>::uninit();
    let to = sums.as_mut_ptr().cast::<f32>();
    // SAFETY: handed on to the caller; `finish` reads what was stored.
    unsafe {
        sum(p);
        if p.is_sums() {
            return store(p, p.first(), p.target.pixel);
        }
        store(p, to, SIDE);
        finish(p, to);
    }
}

#[repr(align(64))]
struct Sums(#[allow(dead_code)] [f32; SIDE * SIDE]); // written and read through a pointer

/// Leaves the sums of a product in the registers.
///
/// # Safety
/// As for [`BfloatKernels::multiply`].
unsafe fn sum(p: &Product) {
    // SAFETY: handed on to the caller.
    unsafe {
        match (p.halves, p.target.places.len() > LANES, p.vectors) {
            (1, true, 2) => two_by_two(p),
            (1, true, _) => two_by_one(p),
            (1, false, 2) => one_by_two(p),
            (1, false, _) => one_by_one(p),
            (_, true, 2) => two_by_two_halves(p),
            (_, true, _) => two_by_one_halves(p),
            (_, false, 2) => one_by_two_halves(p),
            (_, false, _) => one_by_one_halves(p),
        }
    }
}

/// Writes what [`sum`] left in the registers, which no compiled code touches, `step` numbers from one pixel to the next.
///
/// # Safety
/// Whole sixteens of pixels can be written.
unsafe fn store(p: &Product, to: *mut f32, step: usize) {
    let step_bytes = step * size_of::<f32>();
    let more = to.wrapping_add(LANES * step);
    // SAFETY: the caller holds valid what is written.
    unsafe {
        asm!("tilestored [{to} + {step}], tmm0", to = in(reg) to, step = in(reg) step_bytes, options(nostack));
        if p.vectors == 2 {
            asm!("tilestored [{to} + {step} + 64], tmm1", to = in(reg) to, step = in(reg) step_bytes, options(nostack));
        }
        if p.target.places.len() > LANES {
            asm!("tilestored [{to} + {step}], tmm2", to = in(reg) more, step = in(reg) step_bytes, options(nostack));
            if p.vectors == 2 {
                asm!("tilestored [{to} + {step} + 64], tmm3", to = in(reg) more, step = in(reg) step_bytes, options(nostack));
            }
        }
    }
}

/// # Safety
/// As for [`BfloatKernels::multiply`].
#[target_feature(enable = "avx512f")]
unsafe fn finish(p: &Product, sums: *const f32) {
    // SAFETY: handed on to the caller.
    unsafe {
        match p.vectors {
            2 => finish_body::<Avx512, 2>(p, sums),
            _ => finish_body::<Avx512, 1>(p, sums),
        }
    }
}

/// Sums of one or two sixteens of pixels by one or two of outputs, `tmm0` to `tmm3`. What of a block is read last
/// is the upper halves of the weights (`tmm6` and `tmm7`) and the lower ones of the inputs (`tmm4` and `tmm5`).
macro_rules! sums {
    ($name:ident, $weights:literal, [$($first:literal)+], [$($each:literal)+]) => {
        unsafe fn $name(p: &Product) {
            // SAFETY: what is read is what the caller holds valid; the registers were made ready.
            unsafe {
                asm!(
                    $($first,)+
                    "2:",
                    $($each,)+
                    "add {rows}, 128",
                    "add {more}, 128",
                    concat!("add {weights}, ", $weights),
                    "dec {blocks}",
                    "jnz 2b",
                    rows = inout(reg) p.rows => _,
                    more = inout(reg) p.rows.wrapping_add(LANES * p.pitch) => _,
                    weights = inout(reg) p.weights => _,
                    blocks = inout(reg) p.blocks => _,
                    pitch = in(reg) p.pitch * size_of::<bf16>(),
                    line = in(reg) 64usize,
                    // A step of nothing: each sum of an output begins as its bias.
                    none = in(reg) 0usize,
                    bias = in(reg) p.bias,
                    out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                    out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                    options(nostack, readonly),
                );
            }
        }
    };
}

sums!(
    two_by_two, "2048",
    ["tileloadd tmm0, [{bias} + {none}]" "tileloadd tmm1, [{bias} + {none} + 64]"
     "tileloadd tmm2, [{bias} + {none}]" "tileloadd tmm3, [{bias} + {none} + 64]"],
    ["tileloadd tmm6, [{weights} + {line}]"
     "tileloadd tmm4, [{rows} + {pitch}]" "tdpbf16ps tmm0, tmm4, tmm6"
     "tileloadd tmm7, [{weights} + {line} + 1024]" "tdpbf16ps tmm1, tmm4, tmm7"
     "tileloadd tmm5, [{more} + {pitch}]" "tdpbf16ps tmm2, tmm5, tmm6" "tdpbf16ps tmm3, tmm5, tmm7"
     "tileloadd tmm4, [{rows} + {pitch} + 64]" "tdpbf16ps tmm0, tmm4, tmm6" "tdpbf16ps tmm1, tmm4, tmm7"
     "tileloadd tmm5, [{more} + {pitch} + 64]" "tdpbf16ps tmm2, tmm5, tmm6" "tdpbf16ps tmm3, tmm5, tmm7"]
);
sums!(
    two_by_two_halves, "4096",
    ["tileloadd tmm0, [{bias} + {none}]" "tileloadd tmm1, [{bias} + {none} + 64]"
     "tileloadd tmm2, [{bias} + {none}]" "tileloadd tmm3, [{bias} + {none} + 64]"],
    ["tileloadd tmm6, [{weights} + {line} + 2048]"
     "tileloadd tmm4, [{rows} + {pitch}]" "tdpbf16ps tmm0, tmm4, tmm6"
     "tileloadd tmm7, [{weights} + {line} + 3072]" "tdpbf16ps tmm1, tmm4, tmm7"
     "tileloadd tmm5, [{more} + {pitch}]" "tdpbf16ps tmm2, tmm5, tmm6" "tdpbf16ps tmm3, tmm5, tmm7"
     "tileloadd tmm6, [{weights} + {line}]" "tdpbf16ps tmm0, tmm4, tmm6" "tdpbf16ps tmm2, tmm5, tmm6"
     "tileloadd tmm7, [{weights} + {line} + 1024]" "tdpbf16ps tmm1, tmm4, tmm7" "tdpbf16ps tmm3, tmm5, tmm7"
     "tileloadd tmm4, [{rows} + {pitch} + 64]" "tdpbf16ps tmm0, tmm4, tmm6" "tdpbf16ps tmm1, tmm4, tmm7"
     "tileloadd tmm5, [{more} + {pitch} + 64]" "tdpbf16ps tmm2, tmm5, tmm6" "tdpbf16ps tmm3, tmm5, tmm7"]
);
sums!(
    two_by_one, "1024",
    ["tileloadd tmm0, [{bias} + {none}]" "tileloadd tmm2, [{bias} + {none}]"],
    ["tileloadd tmm6, [{weights} + {line}]"
     "tileloadd tmm4, [{rows} + {pitch}]" "tdpbf16ps tmm0, tmm4, tmm6" "tileloadd tmm5, [{more} + {pitch}]" "tdpbf16ps tmm2, tmm5, tmm6"
     "tileloadd tmm4, [{rows} + {pitch} + 64]" "tdpbf16ps tmm0, tmm4, tmm6" "tileloadd tmm5, [{more} + {pitch} + 64]" "tdpbf16ps tmm2, tmm5, tmm6"]
);
sums!(
    two_by_one_halves, "2048",
    ["tileloadd tmm0, [{bias} + {none}]" "tileloadd tmm2, [{bias} + {none}]"],
    ["tileloadd tmm7, [{weights} + {line} + 1024]"
     "tileloadd tmm4, [{rows} + {pitch}]" "tdpbf16ps tmm0, tmm4, tmm7" "tileloadd tmm5, [{more} + {pitch}]" "tdpbf16ps tmm2, tmm5, tmm7"
     "tileloadd tmm6, [{weights} + {line}]" "tdpbf16ps tmm0, tmm4, tmm6" "tdpbf16ps tmm2, tmm5, tmm6"
     "tileloadd tmm4, [{rows} + {pitch} + 64]" "tdpbf16ps tmm0, tmm4, tmm6" "tileloadd tmm5, [{more} + {pitch} + 64]" "tdpbf16ps tmm2, tmm5, tmm6"]
);
sums!(
    one_by_two, "2048",
    ["tileloadd tmm0, [{bias} + {none}]" "tileloadd tmm1, [{bias} + {none} + 64]"],
    ["tileloadd tmm6, [{weights} + {line}]"
     "tileloadd tmm4, [{rows} + {pitch}]" "tdpbf16ps tmm0, tmm4, tmm6"
     "tileloadd tmm7, [{weights} + {line} + 1024]" "tdpbf16ps tmm1, tmm4, tmm7"
     "tileloadd tmm4, [{rows} + {pitch} + 64]" "tdpbf16ps tmm0, tmm4, tmm6" "tdpbf16ps tmm1, tmm4, tmm7"]
);
sums!(
    one_by_two_halves, "4096",
    ["tileloadd tmm0, [{bias} + {none}]" "tileloadd tmm1, [{bias} + {none} + 64]"],
    ["tileloadd tmm6, [{weights} + {line} + 2048]"
     "tileloadd tmm4, [{rows} + {pitch}]" "tdpbf16ps tmm0, tmm4, tmm6"
     "tileloadd tmm7, [{weights} + {line} + 3072]" "tdpbf16ps tmm1, tmm4, tmm7"
     "tileloadd tmm6, [{weights} + {line}]" "tdpbf16ps tmm0, tmm4, tmm6"
     "tileloadd tmm7, [{weights} + {line} + 1024]" "tdpbf16ps tmm1, tmm4, tmm7"
     "tileloadd tmm4, [{rows} + {pitch} + 64]" "tdpbf16ps tmm0, tmm4, tmm6" "tdpbf16ps tmm1, tmm4, tmm7"]
);
sums!(
    one_by_one, "1024",
    ["tileloadd tmm0, [{bias} + {none}]"],
    ["tileloadd tmm6, [{weights} + {line}]"
     "tileloadd tmm4, [{rows} + {pitch}]" "tdpbf16ps tmm0, tmm4, tmm6"
     "tileloadd tmm4, [{rows} + {pitch} + 64]" "tdpbf16ps tmm0, tmm4, tmm6"]
);
sums!(
    one_by_one_halves, "2048",
    ["tileloadd tmm0, [{bias} + {none}]"],
    ["tileloadd tmm6, [{weights} + {line}]" "tileloadd tmm7, [{weights} + {line} + 1024]"
     "tileloadd tmm4, [{rows} + {pitch}]" "tdpbf16ps tmm0, tmm4, tmm7" "tdpbf16ps tmm0, tmm4, tmm6"
     "tileloadd tmm4, [{rows} + {pitch} + 64]" "tdpbf16ps tmm0, tmm4, tmm6"]
);
