//! A reason why new requests should go elsewhere.

/// Something that keeps the service from doing all that it is there for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct Unready {
    /// A stable code.
    pub code: String,
    /// In words. Whoever reaches the service may read it: no path, no name.
    pub detail: String,
}

impl Unready {
    pub(super) fn new(code: &str, detail: impl Into<String>) -> Self {
        Self { code: code.to_string(), detail: detail.into() }
    }
}
