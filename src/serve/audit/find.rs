//! Lines of the log by what they say: newest first, a bounded look at a time, whatever there is and however few fit.

use std::path::Path;

use jiff::Timestamp;
use serde_json::Value;

use super::tail::last_lines;
use crate::error::ServeError;

/// Lines read at once.
const TOGETHER: usize = 1000;
/// Lines looked at for one answer, at most.
const MOST_LOOKED_AT: usize = 50_000;

/// Which lines.
#[derive(Debug, Clone, Default)]
pub(in super::super) struct Sought {
    /// Exactly this action.
    pub action: Option<String>,
    /// About somebody whose name holds this, in whatever case.
    pub person: Option<String>,
    /// By the key of this id, or with a name that holds this, in whatever case.
    pub key: Option<String>,
    /// From then on.
    pub from: Option<Timestamp>,
    /// Before then.
    pub to: Option<Timestamp>,
}

/// Lines that were found.
#[derive(Debug)]
pub(in super::super) struct Found {
    /// Newest first.
    pub lines: Vec<Value>,
    /// Before which line to go on; none at the end of the log.
    pub next: Option<u64>,
}

impl Sought {
    fn takes(&self, line: &Value) -> bool {
        let text = |name: &str| line[name].as_str().unwrap_or_default();
        let holds = |name: &str, wanted: &str| text(name).to_lowercase().contains(&wanted.to_lowercase());
        let within = |at: Option<Timestamp>| {
            at.is_some_and(|at| self.from.is_none_or(|f| at >= f) && self.to.is_none_or(|t| at < t))
        };
        self.action.as_ref().is_none_or(|a| text("action") == a)
            && self.person.as_ref().is_none_or(|p| holds("person", p))
            && self.key.as_ref().is_none_or(|k| text("key") == k || holds("key_name", k))
            && ((self.from.is_none() && self.to.is_none()) || within(time_of(line)))
    }

    /// Whether the line is older than anything sought, and so is every line before it.
    fn is_past(&self, line: &Value) -> bool {
        self.from.zip(time_of(line)).is_some_and(|(from, at)| at < from)
    }
}

fn time_of(line: &Value) -> Option<Timestamp> {
    line["at"].as_str()?.parse().ok()
}

/// The newest lines before line `before` that `sought` takes: at most `limit`, and of the last [`MOST_LOOKED_AT`].
///
/// # Errors
/// [`ServeError::Io`].
pub(in super::super) fn find_lines(
    state: &Path,
    sought: &Sought,
    mut before: Option<u64>,
    limit: usize,
) -> Result<Found, ServeError> {
    let mut lines = Vec::new();
    let mut looked = 0;
    loop {
        let batch = last_lines(state, before, TOGETHER)?;
        let whole = batch.len() == TOGETHER;
        for line in batch {
            looked += 1;
            before = line["seq"].as_u64();
            if sought.is_past(&line) {
                return Ok(Found { lines, next: None });
            }
            if sought.takes(&line) {
                lines.push(line);
            }
            // The first line of all has the number 1.
            if lines.len() == limit || looked == MOST_LOOKED_AT {
                return Ok(Found { lines, next: before.filter(|seq| *seq > 1) });
            }
        }
        if !whole {
            return Ok(Found { lines, next: None });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::segments::log_in;
    use super::*;

    #[test]
    fn what_is_found_page_by_page_is_what_fits_of_all() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path();
        let start: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let at = |n: u64| start + std::time::Duration::from_secs(n * 60);
        let text: String = (1..=2500u64)
            .map(|n| {
                let (action, person) = (["identify", "enroll"][n as usize % 2], ["Ada Lovelace", "Bo"][n as usize % 3 / 2]);
                let (key, at) = (n % 5, at(n));
                format!(
                    "{{\"seq\":{n},\"at\":\"{at}\",\"key\":\"k{key}\",\"key_name\":\"Desk {key}\",\"action\":\"{action}\",\
                     \"person\":\"{person}\"}}\n"
                )
            })
            .collect();
        std::fs::write(log_in(state), text).unwrap();
        let all = |sought: &Sought, limit: usize| {
            let (mut seqs, mut before) = (Vec::new(), None);
            loop {
                let found = find_lines(state, sought, before, limit).unwrap();
                assert!(found.lines.len() <= limit);
                seqs.extend(found.lines.iter().map(|l| l["seq"].as_u64().unwrap()));
                before = found.next;
                if before.is_none() {
                    return seqs;
                }
            }
        };
        let some = |t: &str| Some(t.to_string());
        let none = Sought::default();
        type Fits = fn(u64) -> bool;
        let cases: [(Sought, Fits); 6] = [
            (none.clone(), |_| true),
            (Sought { action: some("enroll"), ..none.clone() }, |n| n % 2 == 1),
            (Sought { person: some("lovelace"), ..none.clone() }, |n| n % 3 != 2),
            (Sought { key: some("k3"), action: some("identify"), ..none.clone() }, |n| n % 5 == 3 && n % 2 == 0),
            (Sought { key: some("desk 4"), ..none.clone() }, |n| n % 5 == 4),
            (Sought { from: Some(at(100)), to: Some(at(1200)), ..none }, |n| (100..1200).contains(&n)),
        ];
        for (sought, fits) in &cases {
            let expected: Vec<u64> = (1..=2500).rev().filter(|n| fits(*n)).collect();
            for limit in [7, 500, 1000, 5000] {
                assert_eq!(all(sought, limit), expected, "{sought:?}, {limit}");
            }
        }
    }
}
