//! Which two groups are most doubtful: one person or two? By the likeness that linkage merges by, and its line.

use std::collections::BTreeSet;

use super::faces::{Nearest, Rows, dot};
use super::line::Line;
use super::linkage::alike;

/// Groups less alike than this share of their line are nobody's question.
const NEAR: f32 = 0.75;

/// Two groups of which it is doubtful whether they are one person's.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Doubt {
    /// The places of the groups, the lower first.
    pub groups: (usize, usize),
    /// How alike they are: a mean of cosines, -1 to 1.
    pub likeness: f32,
    /// From which likeness on two groups of these sizes are one person's.
    pub line: f32,
}

/// Pairs of groups by doubt: those whose likeness is nearest to their line first, above it or below. A group is the sum
/// of its faces' unit vectors (a row of `sums`) and how many they are; each is held against the `neighbours` groups that
/// are nearest to it. A pair that `may_ask` refuses is left out.
///
/// # Panics
/// Where there is another number of sizes than of rows.
pub fn doubts(
    sums: Rows,
    sizes: &[u32],
    line: Line,
    neighbours: usize,
    may_ask: &(dyn Fn(usize, usize) -> bool + Sync),
    nearest: Nearest,
) -> Vec<Doubt> {
    assert_eq!(sums.len(), sizes.len(), "sizes of other groups");
    let lengths: Vec<f32> = (0..sums.len()).map(|at| dot(sums.row(at), sums.row(at)).sqrt()).collect();
    let mut means = Vec::with_capacity(sums.len() * sums.dimension());
    for (at, length) in lengths.iter().enumerate() {
        means.extend(sums.row(at).iter().map(|s| s / length.max(f32::MIN_POSITIVE)));
    }
    let all: Vec<u32> = (0..sums.len() as u32).collect();
    let mut pairs: BTreeSet<(usize, usize)> = BTreeSet::new();
    for (one, near) in all.iter().zip(nearest(Rows::new(&means, sums.dimension()), &all, neighbours)) {
        pairs.extend(near.iter().map(|(other, _)| (*one.min(other) as usize, *one.max(other) as usize)));
    }
    let weigh = |&(a, b): &(usize, usize)| {
        let product = dot(sums.row(a), sums.row(b));
        let likeness = alike(product, (sizes[a], lengths[a]), (sizes[b], lengths[b]));
        Doubt { groups: (a, b), likeness, line: line.between(sizes[a], sizes[b]) }
    };
    let mut found: Vec<Doubt> = pairs.iter().filter(|(a, b)| a != b && may_ask(*a, *b)).map(weigh).collect();
    found.retain(|d| d.likeness >= NEAR * d.line);
    let doubt = |d: &Doubt| (d.likeness - d.line).abs();
    found.sort_by(|a, b| doubt(a).total_cmp(&doubt(b)).then(a.groups.cmp(&b.groups)));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Groups of one face each, in one plane, at these angles.
    fn at_angles(degrees: &[f32]) -> Vec<f32> {
        degrees.iter().flat_map(|d| [d.to_radians().cos(), d.to_radians().sin(), 0.0]).collect()
    }

    fn nearest(rows: Rows, probes: &[u32], count: usize) -> Vec<Vec<(u32, f32)>> {
        let of = |row: usize| {
            let others = (0..rows.len()).filter(|&other| other != row);
            let mut near: Vec<(u32, f32)> = others.map(|o| (o as u32, dot(rows.row(row), rows.row(o)))).collect();
            near.sort_by(|a, b| b.1.total_cmp(&a.1));
            near.truncate(count);
            near
        };
        probes.iter().map(|p| of(*p as usize)).collect()
    }

    #[test]
    fn what_is_nearest_to_the_line_is_asked_first() {
        // The line is at 60 degrees: 0 and 61 is the most doubtful, then 50 and 115 (65), then 61 and 115 (54).
        let sums = at_angles(&[0.0, 50.0, 61.0, 115.0, 200.0]);
        let ask = |may: &(dyn Fn(usize, usize) -> bool + Sync)| {
            let found = doubts(Rows::new(&sums, 3), &[1; 5], Line::level(0.5), 4, may, &nearest);
            found.iter().map(|d| d.groups).collect::<Vec<_>>()
        };
        let all = ask(&|_, _| true);
        assert_eq!(&all[..3], [(0, 2), (1, 3), (2, 3)], "{all:?}");
        assert!(!all.contains(&(0, 4)) && !all.contains(&(0, 3)), "the unlike are nobody's question: {all:?}");
        assert_eq!(ask(&|a, b| (a, b) != (0, 2))[0], (1, 3), "what may not be asked is not");
        // Large groups are measured by their own line.
        let line = Line { faces: 0.6, groups: 0.4 };
        let found = doubts(Rows::new(&[8.0, 0.0, 4.0, 6.93], 2), &[8, 8], line, 4, &|_, _| true, &nearest);
        assert!(found[0].line < 0.5 && (found[0].likeness - 0.5).abs() < 1e-3, "{found:?}");
        assert!(doubts(Rows::new(&[], 3), &[], line, 4, &|_, _| true, &nearest).is_empty());
    }
}
