//! What is known of some faces, whatever their vectors say.

use std::collections::{BTreeMap, BTreeSet};

/// Two rules that cannot both be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Contradiction {
    /// Rows of one person by one rule, and of two by another.
    pub rows: (u32, u32),
}

/// Faces that are one person's, and faces that are not.
///
/// Atoms are the sets of rows that are known to be one person's; a row of which nothing is known is an atom by itself.
#[derive(Debug, Clone)]
pub struct Rules {
    /// The first row of each row's atom.
    atom: Vec<u32>,
    /// Atoms of named people, by their first rows: no two names are one person.
    names: BTreeMap<u32, u32>,
    /// Pairs of atoms that are two people's, both ways round.
    apart: BTreeMap<u32, BTreeSet<u32>>,
}

impl Rules {
    /// No rule for any of `rows` rows.
    pub fn none(rows: usize) -> Self {
        Self { atom: (0..rows as u32).collect(), names: BTreeMap::new(), apart: BTreeMap::new() }
    }

    /// `together`: sets of rows, each one person's, with the number of the name where the person has one. `apart`: pairs
    /// of rows of two people.
    ///
    /// # Errors
    /// The first rows that one rule puts together and another apart; two sets of one name are one person's.
    pub fn new(rows: usize, together: &[(Vec<u32>, Option<u32>)], apart: &[(u32, u32)]) -> Result<Self, Contradiction> {
        let mut parent: Vec<u32> = (0..rows as u32).collect();
        let mut first_of_name: BTreeMap<u32, u32> = BTreeMap::new();
        for (set, name) in together {
            for pair in set.windows(2) {
                join(&mut parent, pair[0], pair[1]);
            }
            if let (Some(&first), Some(name)) = (set.first(), name) {
                let with = *first_of_name.entry(*name).or_insert(first);
                join(&mut parent, with, first);
            }
        }
        let mut rules = Self { atom: Vec::new(), names: BTreeMap::new(), apart: BTreeMap::new() };
        rules.atom = (0..rows as u32).map(|row| root(&mut parent, row)).collect();
        for (name, first) in first_of_name {
            if rules.names.insert(rules.atom[first as usize], name).is_some() {
                return Err(Contradiction { rows: (rules.atom[first as usize], first) });
            }
        }
        for &(a, b) in apart {
            let (one, other) = (rules.atom[a as usize], rules.atom[b as usize]);
            if one == other {
                return Err(Contradiction { rows: (a, b) });
            }
            rules.apart.entry(one).or_default().insert(other);
            rules.apart.entry(other).or_default().insert(one);
        }
        Ok(rules)
    }

    /// Pairs of rows that are taken for two people's where no rule puts them together: two faces of one photo.
    pub fn part(&mut self, pairs: impl Iterator<Item = (u32, u32)>) {
        for (a, b) in pairs {
            let (one, other) = (self.atom[a as usize], self.atom[b as usize]);
            if one != other {
                self.apart.entry(one).or_default().insert(other);
                self.apart.entry(other).or_default().insert(one);
            }
        }
    }

    /// For how many rows.
    pub fn len(&self) -> usize {
        self.atom.len()
    }

    /// Whether they are for no row.
    pub fn is_empty(&self) -> bool {
        self.atom.is_empty()
    }

    /// The first row of the atom that a row is in.
    pub(super) fn atom(&self, row: u32) -> u32 {
        self.atom[row as usize]
    }

    /// The state of groups as the rules begin it: one for each atom.
    pub(super) fn begin(&self) -> Kept {
        Kept { name: self.names.clone(), apart: self.apart.clone() }
    }
}

/// What the rules say of groups while groups merge. Groups are called by one of their rows.
#[derive(Debug)]
pub(super) struct Kept {
    name: BTreeMap<u32, u32>,
    apart: BTreeMap<u32, BTreeSet<u32>>,
}

impl Kept {
    /// Whether two groups may be one.
    pub(super) fn may_join(&self, a: u32, b: u32) -> bool {
        let names = self.name.contains_key(&a) && self.name.contains_key(&b);
        !names && !self.apart.get(&a).is_some_and(|others| others.contains(&b))
    }

    /// Whether any rule forbids a group anything.
    pub(super) fn binds(&self, group: u32) -> bool {
        self.name.contains_key(&group) || self.apart.contains_key(&group)
    }

    /// `gone` has become part of `kept`.
    pub(super) fn joined(&mut self, kept: u32, gone: u32) {
        if let Some(name) = self.name.remove(&gone) {
            self.name.insert(kept, name);
        }
        for other in self.apart.remove(&gone).unwrap_or_default() {
            if let Some(theirs) = self.apart.get_mut(&other) {
                theirs.remove(&gone);
                theirs.insert(kept);
            }
            self.apart.entry(kept).or_default().insert(other);
        }
    }
}

/// The first row of a set, with the path to it shortened.
pub(super) fn root(parent: &mut [u32], mut row: u32) -> u32 {
    while parent[row as usize] != row {
        let above = parent[parent[row as usize] as usize];
        parent[row as usize] = above;
        row = above;
    }
    row
}

/// Makes two sets one, called by the first of their first rows.
pub(super) fn join(parent: &mut [u32], a: u32, b: u32) {
    let (a, b) = (root(parent, a), root(parent, b));
    parent[a.max(b) as usize] = a.min(b);
}
