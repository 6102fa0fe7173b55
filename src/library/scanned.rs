//! What a scan came to.

use std::collections::BTreeMap;

use serde::Serialize;

/// A file that could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Refused {
    /// The file, spelled.
    pub path: String,
    /// Stable name of the reason.
    pub code: String,
    /// The reason.
    pub message: String,
}

/// What a scan came to.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Scanned {
    /// Photos found.
    pub photos: usize,
    /// Of these not opened, since size and time are known.
    pub unchanged: usize,
    /// New to the library.
    pub added: usize,
    /// Files with another content than before.
    pub changed: usize,
    /// Photos looked at again, since their faces were another model's or detector's.
    pub looked_again: usize,
    /// Files found at another place than before.
    pub moved: usize,
    /// Files with the bytes of another, that are both there.
    pub copies: usize,
    /// Photos that were missing and are there again.
    pub returned: usize,
    /// Photos none of whose files is there any more. They are kept, and not shown.
    pub missing: usize,
    /// Faces in what was looked at.
    pub faces: usize,
    /// What could not be read, in this scan.
    pub refused: Vec<Refused>,
    /// Pictures and films of kinds that are not read, by kind.
    pub passed_over: BTreeMap<String, usize>,
    /// Seconds.
    pub seconds: f64,
    /// Photos looked at in a second.
    pub photos_per_second: f64,
}

impl Scanned {
    /// Notes a file that could not be read: code and sentence.
    pub(super) fn refuse(&mut self, path: &str, [code, message]: [String; 2]) {
        self.refused.push(Refused { path: path.to_string(), code, message });
    }
}
