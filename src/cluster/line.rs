//! Where the line between one person and two is drawn.

/// The least likeness (a mean of cosines) at which two groups of faces are one person's.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Line {
    /// Between two single faces.
    pub faces: f32,
    /// Between large groups: a mean over many pairs strays less than one pair does.
    pub groups: f32,
}

impl Line {
    /// One line for all.
    pub fn level(cosine: f32) -> Self {
        Self { faces: cosine, groups: cosine }
    }

    /// The line between groups of these sizes: between two faces and between large groups in proportion to the deviation
    /// of a mean over so many faces each.
    pub(super) fn between(&self, one: u32, other: u32) -> f32 {
        let deviation = ((1.0 / one as f32 + 1.0 / other as f32) / 2.0).sqrt();
        self.groups + (self.faces - self.groups) * deviation
    }

    pub(super) fn lowest(&self) -> f32 {
        self.faces.min(self.groups)
    }
}
