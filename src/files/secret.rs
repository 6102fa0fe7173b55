//! Text that opens something: wiped from memory when dropped, and shown by no debug print.

use std::ops::Deref;

use zeroize::Zeroizing;

/// A key as text. It is wiped from memory when dropped, and its debug print does not show it.
///
/// ```
/// let key = kith::MasterKey::generate()?.to_text();
/// assert_eq!((key.len(), format!("{key:?}").as_str()), (64, "Secret(not shown)"));
/// # Ok::<(), kith::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    pub(crate) fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Deref for Secret {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(not shown)")
    }
}
