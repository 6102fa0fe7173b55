//! "Is this the same person?": pairs of groups by how doubtful it is.

use serde::Serialize;

use super::people::record_of;
use super::{Album, GroupSummary};
use crate::cluster::Rows;
use crate::engine::{doubtful, line_among};
use crate::error::Result;
use crate::store::GroupRecord;
use crate::verify::Calibration;

/// Two groups that may be one person's.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "serve", derive(utoipa::ToSchema))]
pub struct SamePerson {
    /// The one with a name, or with more faces.
    pub one: GroupSummary,
    /// The other.
    pub other: GroupSummary,
    /// How alike they are: a mean of cosines, -1 to 1.
    pub likeness: f32,
    /// From which likeness on two groups of these sizes are taken for one person's.
    pub line: f32,
}

impl Album {
    /// Questions, the most doubtful first: groups that are nearly as alike as one person's are, or just are. Two people
    /// with different names are no question, hidden groups are none, and what was answered ([`super::Library::merge`],
    /// [`super::Library::different`]) is never asked again. `own` is a calibration record in place of the shipped one.
    ///
    /// # Errors
    /// [`crate::error::RefusalError::NotCalibrated`].
    pub fn questions(&self, own: Option<&Calibration>) -> Result<Vec<SamePerson>> {
        let sums = &self.sums;
        let Some(model) = &sums.model else { return Ok(Vec::new()) };
        let line = line_among(&record_of(model, own)?, sums.faces)?;
        let summary = |at: usize| &self.summaries[sums.places[at]];
        let may_ask = |a: usize, b: usize| {
            let (a, b) = (summary(a), summary(b));
            let named = a.name.is_some() && b.name.is_some();
            let answered = || parted(&self.groups[&a.id], &self.groups[&b.id]);
            !named && !a.hidden && !b.hidden && !answered()
        };
        let found = doubtful(Rows::new(&sums.values, sums.dimension.max(1)), &sums.sizes, line, &may_ask);
        let question = |d: &crate::cluster::Doubt| {
            let (a, b) = (summary(d.groups.0).clone(), summary(d.groups.1).clone());
            let weight = |g: &GroupSummary| (g.name.is_some(), g.faces, std::cmp::Reverse(g.id));
            let (one, other) = if weight(&a) >= weight(&b) { (a, b) } else { (b, a) };
            SamePerson { one, other, likeness: d.likeness, line: d.line }
        };
        Ok(found.iter().map(question).collect())
    }
}

/// Whether somebody has said that the two are not one person's.
fn parted(a: &GroupRecord, b: &GroupRecord) -> bool {
    let meet = |not: &[u64], faces: &[u64]| not.iter().any(|f| faces.binary_search(f).is_ok());
    meet(&a.not, &b.faces) || meet(&b.not, &a.faces)
}
