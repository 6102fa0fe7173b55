//! Which steps run as fused row tiles, and where their rings lie; `run` has how they run.
//!
//! In a network of 1x1 and depthwise convolutions a map of some megabytes is written and read for a few products a
//! value: it waits for memory. So a row is computed when the step after it asks for it, into a ring of as many rows as
//! that step's window has, and what lies between two steps never leaves a core's L2 cache. What reads the input first
//! asks for its rows, so that the input is never in memory as a whole.

use std::collections::HashMap;
use std::ops::Range;

use crate::lanes::LANES;
use crate::program::arithmetic::Arithmetic;
use crate::program::builder::{ProgramBuilder, Slice, Task};

/// Values of a map from which on it is worth being computed row by row: it fills half of an L2 cache.
pub(crate) const LARGE: usize = 128_000;
/// Values that the rings of fused steps may take together, and weights of one of their convolutions, which every row
/// reads: they stay in an L2 cache of a megabyte.
const ROOM: usize = 160_000;
const WEIGHTS: usize = 16_000;

/// How the rows of a task depend on those of its source.
#[derive(Clone, Copy)]
pub(crate) struct Reach {
    pub window: (usize, usize),
    pub stride: usize,
    pub padding: (usize, usize),
}

impl Reach {
    pub(crate) fn of(task: &Task) -> Option<Self> {
        match task {
            Task::Conv { conv, add: None, .. } => {
                let packed = conv.packed();
                Some(Self { window: packed.window, stride: packed.stride, padding: packed.padding })
            }
            Task::Depthwise { conv, .. } => {
                let packed = conv.packed();
                Some(Self { window: packed.window, stride: packed.stride, padding: packed.padding })
            }
            // So that the rows of a window are in order in the ring.
            Task::MaxPool { window, stride, .. } if window == stride => {
                Some(Self { window: (*window, *window), stride: *stride, padding: (0, 0) })
            }
            _ => None,
        }
    }

    /// Rows of a source of `length` that result `row` needs, those outside left out.
    pub(crate) fn rows(&self, row: usize, length: usize) -> Range<usize> {
        let first = row * self.stride;
        first.saturating_sub(self.padding.0)..(first + self.window.0).saturating_sub(self.padding.0).min(length)
    }
}

/// Fuses steps of one task each that hand on maps of at least `large` values.
pub(crate) fn fuse(builder: &mut ProgramBuilder, outputs: &[Slice], large: usize, arithmetic: Arithmetic) {
    let mut uses: HashMap<usize, usize> = HashMap::new();
    let tasks = builder.steps.iter().flatten();
    let seen = tasks.flat_map(|t| [Some(t.reads()), Some(t.writes()), t.adds()]).flatten();
    let kept = outputs.iter().chain(builder.marks.iter().map(|(_, _, slice)| slice));
    seen.chain(kept.copied()).for_each(|slice| *uses.entry(slice.map.id).or_default() += 1);
    let hands_on = |before: &Task, after: &Task| {
        let (between, map) = (before.writes(), before.writes().map);
        let whole = between == map.into() && between == after.reads();
        let large = map.rows * map.columns * map.channels >= large;
        whole && large && uses[&map.id] == 2 && map.channels.is_multiple_of(LANES)
    };
    let fits = |step: &[Task]| matches!(step, [task] if can_be_fused(task, arithmetic));
    // Fused steps that end in the map that they begin with would read what they have overwritten.
    let apart = |group: &[Vec<Task>], step: &[Task]| group[0][0].reads().map != step[0].writes().map;
    // What fused steps write to may be looked at before they begin, but not on their way.
    let marks = &builder.marks;
    let unseen = |group: &[Vec<Task>], done: usize, step: &[Task]| {
        let inside = done + 1 - group.len()..=done;
        !marks.iter().any(|(after, _, slice)| inside.contains(after) && slice.map == step[0].writes().map)
    };
    let mut groups: Vec<Vec<Vec<Task>>> = Vec::new();
    for (done, step) in std::mem::take(&mut builder.steps).into_iter().enumerate() {
        match groups.last_mut() {
            Some(group)
                if fits(&step)
                    && apart(group, &step)
                    && unseen(group, done, &step)
                    && group.last().is_some_and(|last| fits(last) && hands_on(&last[0], &step[0]))
                    && rings(&group.iter().chain([&step]).flatten().collect::<Vec<_>>()).1 <= ROOM =>
            {
                group.push(step);
            }
            _ => groups.push(vec![step]),
        }
    }
    // After how many steps now, by how many it was.
    let mut now = vec![0];
    for group in groups {
        let old = group.len();
        if old > 1 && group.iter().flatten().any(|task| matches!(task, Task::Depthwise { .. })) {
            builder.steps.push(vec![Task::Fused(group.into_iter().flatten().collect())]);
            now.extend(vec![builder.steps.len(); old]);
        } else {
            for step in group {
                builder.steps.push(step);
                now.push(builder.steps.len());
            }
        }
    }
    builder.marks.iter_mut().for_each(|(after, _, _)| *after = now[*after]);
}

fn can_be_fused(task: &Task, arithmetic: Arithmetic) -> bool {
    let direct = match task {
        Task::Conv { conv, from, to, .. } => {
            let tiles = arithmetic != Arithmetic::F16 && conv.by_winograd(to.map.rows, to.map.columns);
            let rounded = arithmetic == Arithmetic::Int16 && from.map.id != 0;
            !tiles && !rounded && conv.count() <= WEIGHTS
        }
        _ => true,
    };
    direct && Reach::of(task).is_some()
}

/// Where the results of a task lie until the next one has read them.
#[derive(Clone, Copy)]
pub(crate) struct Ring {
    pub start: usize,
    pub rows: usize,
    /// Values in a row, before the first result, and from a pixel to the next.
    pub row: usize,
    pub left: usize,
    pub pixel: usize,
    /// Values of results in a row: what else is in it is border.
    pub results: usize,
}

impl Ring {
    /// Where a row lies, border and all.
    pub(crate) fn slot(&self, row: usize) -> usize {
        self.start + row % self.rows * self.row
    }
}

/// The rings of all tasks but the last, behind a row of zeros, and how many values they take together.
pub(crate) fn rings(tasks: &[&Task]) -> (Vec<Ring>, usize) {
    let mut rings: Vec<Ring> = Vec::new();
    for pair in tasks.windows(2) {
        let (map, to) = (pair[0].writes().map, pair[1].writes().map);
        let Some(Reach { window, stride, padding }) = Reach::of(pair[1]) else { continue };
        let right = ((to.columns - 1) * stride + window.1).saturating_sub(map.columns + padding.1);
        let pixel = map.channels;
        let row = (padding.1 + map.columns + right) * pixel;
        rings.push(Ring {
            start: 0,
            rows: window.0,
            row,
            left: padding.1 * pixel,
            pixel,
            results: map.columns * pixel,
        });
    }
    let mut length = rings.iter().map(|r| r.row).max().unwrap_or(0);
    for ring in &mut rings {
        ring.start = length;
        length += ring.rows * ring.row;
    }
    (rings, length)
}
