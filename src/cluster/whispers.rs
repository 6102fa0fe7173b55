//! Chinese whispers: in rounds, every face takes the label that weighs most among its neighbours.

use std::collections::HashMap;

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::faces::{Nearest, Options, Rows};
use super::rules::{Kept, Rules};

/// Rounds, at most. Labels seldom change after ten.
const ROUNDS: usize = 50;

/// The rules bind atoms: all rows of an atom take their turn together, and a label that a rule forbids is not taken.
pub(super) fn group(rows: Rows, rules: &Rules, options: &Options, nearest: Nearest) -> Vec<u32> {
    let line = options.line.faces;
    let mut edges: HashMap<(u32, u32), f32> = HashMap::new();
    let all: Vec<u32> = (0..rows.len() as u32).collect();
    for (row, near) in (0u32..).zip(nearest(rows, &all, options.neighbours)) {
        for (other, cosine) in near.into_iter().filter(|(other, cosine)| *cosine >= line && *other != row) {
            let (a, b) = (rules.atom(row), rules.atom(other));
            if a != b {
                // An edge that both ends name counts once.
                let pair = (row.min(other), row.max(other));
                edges.insert(pair, cosine);
            }
        }
    }
    let mut around: HashMap<u32, Vec<(u32, f32)>> = HashMap::new();
    let mut edges: Vec<((u32, u32), f32)> = edges.into_iter().collect();
    edges.sort_unstable_by_key(|(pair, _)| *pair);
    for ((a, b), cosine) in edges {
        let (a, b) = (rules.atom(a), rules.atom(b));
        around.entry(a).or_default().push((b, cosine));
        around.entry(b).or_default().push((a, cosine));
    }
    let mut order: Vec<u32> = around.keys().copied().collect();
    order.sort_unstable();
    let mut label: HashMap<u32, u32> = order.iter().map(|&a| (a, a)).collect();
    let mut members: HashMap<u32, Vec<u32>> = order.iter().map(|&a| (a, vec![a])).collect();
    let kept = rules.begin();
    let mut rng = ChaCha8Rng::seed_from_u64(options.seed);
    for _ in 0..ROUNDS {
        order.shuffle(&mut rng);
        let mut changed = false;
        for &atom in &order {
            let mut weights: HashMap<u32, f32> = HashMap::new();
            for (other, cosine) in &around[&atom] {
                *weights.entry(label[other]).or_default() += cosine;
            }
            let mut weights: Vec<(u32, f32)> = weights.into_iter().collect();
            weights.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
            let own = label[&atom];
            let free = |to: u32| to == own || allowed(&kept, atom, members.get(&to));
            let Some(&(best, _)) = weights.iter().find(|(to, _)| free(*to)) else { continue };
            if best != own {
                changed = true;
                label.insert(atom, best);
                members.entry(own).or_default().retain(|m| *m != atom);
                members.entry(best).or_default().push(atom);
            }
        }
        if !changed {
            break;
        }
    }
    (0..rows.len() as u32).map(|row| rules.atom(row)).map(|atom| label.get(&atom).copied().unwrap_or(atom)).collect()
}

/// Whether an atom may take the label of these.
fn allowed(kept: &Kept, atom: u32, members: Option<&Vec<u32>>) -> bool {
    !kept.binds(atom) || members.is_none_or(|all| all.iter().all(|m| kept.may_join(atom, *m)))
}
