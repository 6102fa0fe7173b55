//! Grouping faces into people: pure numbers. Who is near whom comes from the caller, who has an index.
//!
//! | method | merges | for |
//! | --- | --- | --- |
//! | [`Method::Linkage`] | the two groups whose faces are most alike, while they are alike enough: agglomerative clustering over the neighbours' graph (as in F. Schroff, D. Kalenichenko, J. Philbin, "FaceNet", 2015, section 5.6) | the default: a chain of look-alikes is no group |
//! | [`Method::Whispers`] | nothing: every face takes the label that weighs most among its neighbours, in rounds (C. Biemann, "Chinese whispers", 2006) | comparison with dlib |
//!
//! Invariants:
//! 1. the same faces, rules and options give the same groups, on every machine that computes products alike; another
//!    order of the faces gives the same groups but where similarities tie to the last bit;
//! 2. no group breaks a [`Rules`] rule, whatever the similarities say;
//! 3. memory is linear in the faces: vectors, their sums, and at most [`Options::neighbours`] neighbours each.

mod doubt;
mod faces;
mod line;
mod linkage;
mod rules;
#[cfg(test)]
mod tests;
mod whispers;

pub use doubt::{Doubt, doubts};
pub use faces::{Method, Near, Nearest, Options, Rows, cosine_at};
pub use line::Line;
pub use rules::{Contradiction, Rules};

/// The group of each row: groups are numbered from 0 in order of their first rows.
///
/// # Panics
/// Where the rules are for another number of rows.
pub fn group(rows: Rows, rules: &Rules, options: &Options, nearest: Nearest) -> Vec<u32> {
    assert_eq!(rules.len(), rows.len(), "rules for other rows");
    let groups = match options.method {
        Method::Linkage => linkage::group(rows, rules, options, nearest),
        Method::Whispers => whispers::group(rows, rules, options, nearest),
    };
    numbered(&groups)
}

/// The same groups, numbered in order of their first rows.
fn numbered(groups: &[u32]) -> Vec<u32> {
    let mut numbers = std::collections::HashMap::new();
    let number = |group: &u32| {
        let next = numbers.len() as u32;
        *numbers.entry(*group).or_insert(next)
    };
    groups.iter().map(number).collect()
}
