//! Texts that an error carries from one process of this program to another, where it holds them for good.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Deserializer};

/// Texts that are kept. The program has far fewer words for what it does and for its codes.
const MOST: usize = 1000;

/// A text that lasts as long as the program, kept once. Beyond a thousand of them every other is `other`: the words of
/// this program are few, and nobody else fills its memory with theirs.
pub(crate) fn lasting(text: &str) -> &'static str {
    static KNOWN: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(there) = known.get(text) {
        return there;
    }
    if known.len() >= MOST || text.len() > MOST {
        return "other";
    }
    let kept: &'static str = Box::leak(text.to_string().into_boxed_str());
    known.insert(kept);
    kept
}

/// Such a text. Under its own name serde would take it for one to be borrowed from what is read.
pub(super) type Lasting = &'static str;

/// [`lasting`], of what is being read.
pub(super) fn lasting_text<'de, D: Deserializer<'de>>(from: D) -> Result<&'static str, D::Error> {
    Ok(lasting(&String::deserialize(from)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_kept_once_and_texts_have_an_end() {
        let (first, again) = (lasting("syncing"), lasting(&String::from("syncing")));
        assert!(first == "syncing" && std::ptr::eq(first, again));
        let kept = (0..2 * MOST).filter(|n| lasting(&format!("text {n}")) != "other").count();
        assert!(kept <= MOST && kept > 0, "{kept}");
        assert_eq!(lasting("syncing"), "syncing");
    }
}
