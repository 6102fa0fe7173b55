//! Cache-line aligned buffers of f32 values, in huge pages where they are large.
//!
//! A network reads all of its weights once for each face. In pages of 4 KiB address translation (TLB misses) then
//! costs as much as reading; Linux gives pages of 2 MiB to those who ask.

use memmap2::MmapMut;

use crate::lanes::LANES;

/// Values from which on huge pages are asked for: two of them.
const MANY: usize = 1 << 20;

#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([f32; LANES]);

/// A buffer whose first value begins a cache line; zeros until written.
pub(crate) struct Aligned(Memory);

enum Memory {
    Heap(Vec<Line>),
    Pages(MmapMut),
}

impl Default for Aligned {
    fn default() -> Self {
        Self(Memory::Heap(Vec::new()))
    }
}

impl Aligned {
    /// Zeros for as many channels as any panel has.
    pub(crate) const ZEROS: &[f32] = &[0.0; 4 * LANES];

    /// Room for `count` values, rounded up to whole cache lines.
    pub(crate) fn zeros(count: usize) -> Self {
        let lines = count.div_ceil(LANES);
        if count >= MANY
            && let Ok(pages) = MmapMut::map_anon(lines * size_of::<Line>())
        {
            // Without huge pages the memory is the same, only slower to reach.
            #[cfg(target_os = "linux")]
            let _ = pages.advise(memmap2::Advice::HugePage);
            return Self(Memory::Pages(pages));
        }
        Self(Memory::Heap(vec![Line([0.0; LANES]); lines]))
    }

    /// `values`, then zeros to the end of the last line.
    pub(crate) fn of(values: &[f32]) -> Self {
        let mut lines = Self::zeros(values.len());
        lines.values_mut()[..values.len()].copy_from_slice(values);
        lines
    }

    /// Grows to room for `count` values; what was there may be lost.
    pub(crate) fn at_least(&mut self, count: usize) {
        if self.values().len() < count {
            *self = Self::zeros(count);
        }
    }

    pub(crate) fn values(&self) -> &[f32] {
        match &self.0 {
            // SAFETY: a `Line` is exactly sixteen f32 without padding, and all of them are initialised.
            Memory::Heap(lines) => unsafe { std::slice::from_raw_parts(lines.as_ptr().cast(), lines.len() * LANES) },
            // SAFETY: the mapping is private, as long as whole lines, begins at a page, and was zeros.
            Memory::Pages(pages) => unsafe {
                std::slice::from_raw_parts(pages.as_ptr().cast(), pages.len() / size_of::<f32>())
            },
        }
    }

    pub(crate) fn values_mut(&mut self) -> &mut [f32] {
        match &mut self.0 {
            // SAFETY: as in `values`, and the borrow is exclusive.
            Memory::Heap(lines) => unsafe {
                std::slice::from_raw_parts_mut(lines.as_mut_ptr().cast(), lines.len() * LANES)
            },
            // SAFETY: as in `values`, and the borrow is exclusive.
            Memory::Pages(pages) => unsafe {
                std::slice::from_raw_parts_mut(pages.as_mut_ptr().cast(), pages.len() / size_of::<f32>())
            },
        }
    }
}
