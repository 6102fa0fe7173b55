//! A network for one input size as a list of steps over maps.
//!
//! Invariants, held by [`ProgramBuilder::finish`] and relied on by the executor:
//! 1. Every operator reads and writes inside its maps, borders included.
//! 2. Within a step no operator writes channels that another reads or writes; an operator may add in
//!    place, reading only the value that it then writes.
//! 3. Borders and the channels that fill a map up to whole vectors hold zeros: memory begins as zeros,
//!    borders are never written, and fillers are written with sums of zero weights.
//! 4. A map is written whole before it is read: other maps may share its memory (see `plan`).

use crate::f32::depthwise::DepthwiseConv;
use crate::f32::pack::PackedConv;
use crate::lanes::LANES;

/// A map that a program computes: `[n, rows, columns, channels]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Map {
    pub(crate) id: usize,
    /// Rows of an image.
    pub rows: usize,
    /// Columns of an image.
    pub columns: usize,
    /// Values of a pixel.
    pub channels: usize,
}

impl Map {
    /// Channels `first` to `first + channels`.
    pub fn channels(self, first: usize, channels: usize) -> Slice {
        assert!(first + channels <= self.channels, "channels {first} to {} of {self:?}", first + channels);
        Slice { map: self, first, channels }
    }
}

/// Some channels of a map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slice {
    pub map: Map,
    pub first: usize,
    pub channels: usize,
}

impl From<Map> for Slice {
    fn from(map: Map) -> Self {
        map.channels(0, map.channels)
    }
}

impl Slice {
    fn overlaps(&self, other: &Self) -> bool {
        // What is written is whole vectors.
        let end = |s: &Self| s.first + s.channels.next_multiple_of(LANES);
        self.map.id == other.map.id && self.first < end(other) && other.first < end(self)
    }
}

/// What a step does.
pub(crate) enum Task {
    /// Tasks that each read what the one before wrote, and nothing else does. See [`crate::program::fuse`].
    Fused(Vec<Task>),
    Conv {
        conv: PackedConv,
        from: Slice,
        to: Slice,
        add: Option<Slice>,
    },
    Depthwise {
        conv: DepthwiseConv,
        from: Slice,
        to: Slice,
    },
    /// Each pixel of `from` is added to the `factor` x `factor` pixels of `to` that it covers.
    AddCoarser {
        from: Slice,
        to: Slice,
        factor: usize,
    },
    /// Channels of `from` in `factor` x `factor` equal parts are added to the pixels of `to` that its pixel covers, row by
    /// row. See [`super::transposed`].
    AddDepthToSpace {
        from: Slice,
        to: Slice,
        factor: usize,
    },
    /// The greatest of each window; a window that hangs over the end counts what is inside.
    MaxPool {
        from: Slice,
        to: Slice,
        window: usize,
        stride: usize,
    },
    /// The mean of each window, then zeros in the channels that `to` has more; windows lie inside.
    Mean {
        from: Slice,
        to: Slice,
        window: (usize, usize),
        stride: usize,
    },
}

impl Task {
    /// Of fused tasks, the one that reads a map; else this one.
    pub(crate) fn first(&self) -> &Self {
        match self {
            Self::Fused(tasks) => tasks[0].first(),
            _ => self,
        }
    }

    pub(crate) fn reads(&self) -> Slice {
        match self {
            Self::Fused(tasks) => tasks[0].reads(),
            Self::Conv { from, .. }
            | Self::Depthwise { from, .. }
            | Self::AddCoarser { from, .. }
            | Self::AddDepthToSpace { from, .. }
            | Self::MaxPool { from, .. }
            | Self::Mean { from, .. } => *from,
        }
    }

    pub(crate) fn writes(&self) -> Slice {
        match self {
            Self::Fused(tasks) => tasks[tasks.len() - 1].writes(),
            Self::Conv { to, .. }
            | Self::Depthwise { to, .. }
            | Self::AddCoarser { to, .. }
            | Self::AddDepthToSpace { to, .. }
            | Self::MaxPool { to, .. }
            | Self::Mean { to, .. } => *to,
        }
    }

    pub(crate) fn adds(&self) -> Option<Slice> {
        match self {
            Self::Conv { add, .. } => *add,
            _ => None,
        }
    }
}

/// Collects the steps of a program.
pub struct ProgramBuilder {
    pub(crate) maps: Vec<Map>,
    pub(crate) steps: Vec<Vec<Task>>,
    /// After how many steps a map is to be shown, and under which name.
    pub(crate) marks: Vec<(usize, &'static str, Slice)>,
}

impl ProgramBuilder {
    /// A program whose input is `[n, rows, columns, channels]`.
    pub fn new(rows: usize, columns: usize, channels: usize) -> (Self, Map) {
        let mut builder = Self { maps: Vec::new(), steps: Vec::new(), marks: Vec::new() };
        let input = builder.map(rows, columns, channels);
        (builder, input)
    }

    /// A new map. Steps may write it several times; later steps read what was written last.
    pub fn map(&mut self, rows: usize, columns: usize, channels: usize) -> Map {
        assert!(rows * columns * channels > 0, "an empty map");
        let map = Map { id: self.maps.len(), rows, columns, channels };
        self.maps.push(map);
        map
    }

    /// Begins a step: what is asked for until the next one runs at the same time.
    pub fn step(&mut self) -> &mut Self {
        self.steps.push(Vec::new());
        self
    }

    /// Writes the convolution of `from` to `to`, which begins at a multiple of sixteen channels. With
    /// `add` the values there are added before the activation. Where that is `to` itself, it may be larger
    /// than the convolution's result, whose place is then at the upper left.
    ///
    /// # Panics
    /// When sizes or channels do not fit.
    pub fn conv(
        &mut self,
        conv: &PackedConv,
        from: impl Into<Slice>,
        to: impl Into<Slice>,
        add: Option<Slice>,
    ) -> &mut Self {
        let (from, to, packed) = (from.into(), to.into(), conv.packed());
        assert_eq!((from.channels, to.channels), (packed.inputs, packed.outputs), "channels in and out");
        let (rows, columns) = conv.result_size(from.map);
        let whole = (rows, columns) == (to.map.rows, to.map.columns);
        // What lies beyond the result was written before, or it would be whatever the memory held.
        let part = add == Some(to) && rows <= to.map.rows && columns <= to.map.columns;
        assert!(whole || part, "{rows}x{columns} does not fit {:?}", to.map);
        if let Some(add) = add {
            assert!(add.channels == to.channels && add.first.is_multiple_of(LANES), "channels to add");
            assert!(rows <= add.map.rows && columns <= add.map.columns, "a map to add");
        }
        self.push(Task::Conv { conv: conv.clone(), from, to, add })
    }

    /// As [`Self::conv`] into a new map of the result's size.
    pub fn conv_to_new(&mut self, conv: &PackedConv, from: impl Into<Slice>) -> Map {
        let from = from.into();
        let (rows, columns) = conv.result_size(from.map);
        let to = self.map(rows, columns, conv.packed().outputs);
        self.conv(conv, from, to, None);
        to
    }

    /// Writes the depthwise convolution.
    ///
    /// # Panics
    /// When sizes or channels do not fit.
    pub fn depthwise(&mut self, conv: &DepthwiseConv, from: impl Into<Slice>, to: impl Into<Slice>) -> &mut Self {
        let (from, to, packed) = (from.into(), to.into(), conv.packed());
        assert_eq!((from.channels, to.channels), (packed.channels, packed.channels), "channels in and out");
        let size = result_size(from.map, packed.window, packed.stride, packed.padding);
        assert_eq!(size, (to.map.rows, to.map.columns), "a map of the result's size");
        self.push(Task::Depthwise { conv: conv.clone(), from, to })
    }

    /// As [`Self::depthwise`] into a new map of the result's size.
    pub fn depthwise_to_new(&mut self, conv: &DepthwiseConv, from: impl Into<Slice>) -> Map {
        let (from, packed) = (from.into(), conv.packed());
        let (rows, columns) = result_size(from.map, packed.window, packed.stride, packed.padding);
        let to = self.map(rows, columns, packed.channels);
        self.depthwise(conv, from, to);
        to
    }

    /// Adds to each pixel of `to` the pixel of `from` that covers it, where a pixel of `from` is as large
    /// as `factor` x `factor` of `to`.
    ///
    /// # Panics
    /// When sizes or channels do not fit.
    pub fn add_coarser(&mut self, from: impl Into<Slice>, to: impl Into<Slice>, factor: usize) -> &mut Self {
        let (from, to) = (from.into(), to.into());
        assert_eq!(from.channels, to.channels, "channels in and out");
        let covered = |fine: usize, coarse: usize| factor > 0 && fine <= coarse * factor;
        assert!(covered(to.map.rows, from.map.rows) && covered(to.map.columns, from.map.columns), "a covering map");
        self.push(Task::AddCoarser { from, to, factor })
    }

    /// Writes the greatest of each `window` x `window` at `stride`. As many windows as `to` has rows
    /// and columns; each must begin inside `from`, and counts what is inside.
    ///
    /// # Panics
    /// When sizes or channels do not fit.
    pub fn max_pool(
        &mut self,
        from: impl Into<Slice>,
        to: impl Into<Slice>,
        window: usize,
        stride: usize,
    ) -> &mut Self {
        let (from, to) = (from.into(), to.into());
        assert_eq!(from.channels, to.channels, "channels in and out");
        let begins = |count: usize, length: usize| (count - 1) * stride < length;
        assert!(window > 0 && begins(to.map.rows, from.map.rows) && begins(to.map.columns, from.map.columns));
        self.push(Task::MaxPool { from, to, window, stride })
    }

    /// Writes the mean of each `window` (rows, columns) at `stride` into the first channels of `to`, and
    /// zeros into the rest of them.
    ///
    /// # Panics
    /// When sizes or channels do not fit.
    pub fn mean(
        &mut self,
        from: impl Into<Slice>,
        to: impl Into<Slice>,
        window: (usize, usize),
        stride: usize,
    ) -> &mut Self {
        let (from, to) = (from.into(), to.into());
        assert!(from.channels <= to.channels, "channels in and out");
        let inside = |count: usize, window: usize, length: usize| window > 0 && (count - 1) * stride + window <= length;
        assert!(
            inside(to.map.rows, window.0, from.map.rows) && inside(to.map.columns, window.1, from.map.columns),
            "windows of {from:?} into {to:?}"
        );
        self.push(Task::Mean { from, to, window, stride })
    }

    /// Names what `slice` holds after the steps so far.
    pub fn mark(&mut self, name: &'static str, slice: impl Into<Slice>) {
        self.marks.push((self.steps.len(), name, slice.into()));
    }

    pub(super) fn push(&mut self, task: Task) -> &mut Self {
        let (from, to) = (task.reads(), task.writes());
        assert!(self.maps.contains(&from.map) && self.maps.contains(&to.map), "a map of another program");
        assert!(to.map.id != 0, "the input is not written");
        assert!(to.first.is_multiple_of(LANES), "what is written begins at a whole vector");
        let whole_vectors = to.channels.is_multiple_of(LANES) || to.first + to.channels == to.map.channels;
        assert!(whole_vectors, "only a map's last channels may fill a part of a vector");
        if !matches!(task, Task::Conv { .. }) {
            let whole = from.channels.is_multiple_of(LANES) || from.first + from.channels == from.map.channels;
            assert!(from.first.is_multiple_of(LANES) && from.map.id != 0 && whole, "whole vectors to read");
        }
        if self.steps.is_empty() {
            self.step();
        }
        if let Some(step) = self.steps.last_mut() {
            for other in step.iter() {
                let clash = to.overlaps(&other.writes())
                    || to.overlaps(&other.reads())
                    || from.overlaps(&other.writes())
                    || other.adds().is_some_and(|a| a.overlaps(&to))
                    || task.adds().is_some_and(|a| a.overlaps(&other.writes()));
                assert!(!clash, "two operators of one step meet in {to:?}");
            }
            assert!(!from.overlaps(&to), "an operator reads the window that it writes");
            let in_place = |a: Slice| a == to || !a.overlaps(&to);
            assert!(task.adds().is_none_or(in_place), "an operator adds what it has overwritten");
            step.push(task);
        }
        self
    }
}

impl PackedConv {
    /// Rows and columns of the result on `map`.
    ///
    /// # Panics
    /// When the map is smaller than the window.
    pub fn result_size(&self, map: Map) -> (usize, usize) {
        let packed = self.packed();
        result_size(map, packed.window, packed.stride, packed.padding)
    }
}

fn result_size(map: Map, window: (usize, usize), stride: usize, padding: (usize, usize)) -> (usize, usize) {
    let length = |length: usize, padding: usize, window: usize| {
        assert!(length + 2 * padding >= window, "a map of at least one window");
        (length + 2 * padding - window) / stride + 1
    };
    (length(map.rows, padding.0, window.0), length(map.columns, padding.1, window.1))
}
