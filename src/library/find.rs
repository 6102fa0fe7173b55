//! Photos of somebody, and the same picture saved again.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::{Library, group_called, is_missing};
use crate::error::{LibraryError, Result};
use crate::geometry::BBox;
use crate::store::PhotoRecord;

/// Bits of 256 by which two savings of one picture differ, at most. Of LFW's photos, all different, no two are nearer.
const SAME_PICTURE: u32 = 20;
/// Bits that must be set of 256 for a picture to have anything to tell it by.
const LEAST_SET: u32 = 16;
/// How much the shapes of two savings may differ, as a share.
const SAME_SHAPE: f32 = 0.02;

/// Who must be in a photo, and when it was taken.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PhotoFilter {
    /// Groups, by number or name: all of them.
    pub who: Vec<String>,
    /// Taken on this day or later: `2024`, `2024-05` or `2024-05-31`.
    pub from: Option<String>,
    /// Taken on this day or earlier, likewise: all of that year, month or day.
    pub to: Option<String>,
}

/// Somebody who is in a photo.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "serve", derive(utoipa::ToSchema))]
pub struct Who {
    /// Number of the group.
    pub group: u64,
    /// Its name.
    pub name: Option<String>,
}

/// A face that was asked for.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "serve", derive(utoipa::ToSchema))]
pub struct FoundFace {
    /// Its number.
    pub id: u64,
    /// The box, in pixels of the upright photo.
    #[serde(rename = "box")]
    pub bbox: BBox,
    /// Whose it is; none where it is in no group.
    pub who: Option<Who>,
    /// Whether its quality is what tells people apart.
    pub good: bool,
}

/// A photo of the library.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "serve", derive(utoipa::ToSchema))]
pub struct FoundPhoto {
    /// Its number.
    pub id: u64,
    /// The files that it is in, spelled; those that are there.
    pub files: Vec<String>,
    /// When it was taken; none where it does not say.
    pub taken: Option<String>,
    /// Width of the upright photo in pixels.
    pub width: u32,
    /// Height likewise.
    pub height: u32,
    /// Its faces.
    pub faces: Vec<FoundFace>,
    /// Why it could not be read, if so.
    pub fault: Option<String>,
}

/// Photos that are one picture.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Duplicates {
    /// Whether all have the same bytes.
    pub same_bytes: bool,
    /// The files, those of the largest picture first.
    pub files: Vec<String>,
}

impl Library<'_> {
    /// The photos that a filter takes, by when they were taken, then by path; without anybody named, all.
    ///
    /// # Errors
    /// [`LibraryError::UnknownGroup`], [`LibraryError::BadDate`], a store's error.
    pub fn find(&self, filter: &PhotoFilter) -> Result<Vec<FoundPhoto>> {
        let (photos, groups) = (self.photos()?, self.groups()?);
        let wanted: Vec<u64> = filter.who.iter().map(|who| group_called(&groups, who)).collect::<Result<_, _>>()?;
        let from = filter.from.as_deref().map(date).transpose()?;
        let to = filter.to.as_deref().map(date).transpose()?;
        let of: BTreeMap<u64, u64> =
            groups.iter().flat_map(|(id, g)| g.faces.iter().map(|f| (*f, *id)).collect::<Vec<_>>()).collect();
        let in_time = |photo: &PhotoRecord| taken_within(photo, from.unwrap_or(""), to.unwrap_or(""));
        let mut found: Vec<FoundPhoto> = Vec::new();
        for (id, photo) in photos.iter().filter(|(_, p)| !is_missing(p) && in_time(p)) {
            let there: BTreeSet<u64> = photo.faces.iter().filter_map(|f| of.get(&f.id)).copied().collect();
            if wanted.iter().all(|who| there.contains(who)) {
                found.push(shown(*id, photo, &|face| {
                    let group = *of.get(&face)?;
                    let name = groups.get(&group).map(|g| g.name.clone()).filter(|n| !n.is_empty());
                    Some(Who { group, name })
                }));
            }
        }
        found.sort_by(|a, b| (&a.taken, &a.files).cmp(&(&b.taken, &b.files)));
        Ok(found)
    }

    /// Photos saved more than once: with the same bytes, or compressed again or made smaller.
    ///
    /// # Errors
    /// A store's error.
    pub fn duplicates(&self) -> Result<Vec<Duplicates>> {
        let photos: Vec<PhotoRecord> = self.photos()?.into_values().filter(|p| !is_missing(p)).collect();
        let mut parent: Vec<usize> = (0..photos.len()).collect();
        let set = |p: &PhotoRecord| p.likeness.iter().map(|w| w.count_ones()).sum::<u32>();
        let tells = |p: &PhotoRecord| p.width > 0 && (LEAST_SET..=256 - LEAST_SET).contains(&set(p));
        let told: Vec<usize> = (0..photos.len()).filter(|&i| tells(&photos[i])).collect();
        for (n, &i) in told.iter().enumerate() {
            for &j in &told[n + 1..] {
                if alike(&photos[i], &photos[j]) {
                    let (a, b) = (root(&parent, i), root(&parent, j));
                    parent[a.max(b)] = a.min(b);
                }
            }
        }
        let mut sets: BTreeMap<usize, Vec<&PhotoRecord>> = BTreeMap::new();
        photos.iter().enumerate().for_each(|(i, p)| sets.entry(root(&parent, i)).or_default().push(p));
        let mut all = Vec::new();
        for mut set in sets.into_values() {
            set.sort_by_key(|p| std::cmp::Reverse(u64::from(p.width) * u64::from(p.height)));
            let files: Vec<String> = set.iter().flat_map(|p| present(p)).collect();
            if files.len() > 1 {
                all.push(Duplicates { same_bytes: set.len() == 1, files });
            }
        }
        Ok(all)
    }
}

/// Whether a photo was taken from the one day (month, year) to the other; either may be empty.
pub(super) fn taken_within(photo: &PhotoRecord, from: &str, to: &str) -> bool {
    let dated = !photo.taken.is_empty() || from.is_empty() && to.is_empty();
    // The beginning of the text as long as what was said: a year holds all of its days.
    let begins = |length: usize| photo.taken.get(..length).unwrap_or(&photo.taken);
    dated && begins(from.len()) >= from && (to.is_empty() || begins(to.len()) <= to)
}

/// Whether two photos are savings of one picture.
pub(super) fn alike(a: &PhotoRecord, b: &PhotoRecord) -> bool {
    let shape = |p: &PhotoRecord| p.width as f32 / p.height.max(1) as f32;
    difference(a, b) <= SAME_PICTURE && (shape(a) / shape(b) - 1.0).abs() <= SAME_SHAPE
}

/// Bits by which two pictures differ.
pub(super) fn difference(a: &PhotoRecord, b: &PhotoRecord) -> u32 {
    a.likeness.iter().zip(&b.likeness).map(|(a, b)| (a ^ b).count_ones()).sum()
}

fn root(parent: &[usize], mut at: usize) -> usize {
    while parent[at] != at {
        at = parent[at];
    }
    at
}

fn present(photo: &PhotoRecord) -> Vec<String> {
    photo.files.iter().filter(|f| !f.missing).map(|f| f.path.clone()).collect()
}

pub(super) fn boxed(b: &[f32; 4]) -> BBox {
    BBox::new(b[0], b[1], b[2], b[3])
}

pub(super) fn shown(id: u64, photo: &PhotoRecord, who: &dyn Fn(u64) -> Option<Who>) -> FoundPhoto {
    let face = |f: &crate::store::PhotoFace| FoundFace { id: f.id, bbox: boxed(&f.bbox), who: who(f.id), good: f.good };
    FoundPhoto {
        id,
        files: present(photo),
        taken: (!photo.taken.is_empty()).then(|| photo.taken.clone()),
        width: photo.width,
        height: photo.height,
        faces: photo.faces.iter().filter(|f| !f.no_face).map(face).collect(),
        fault: (!photo.fault[0].is_empty()).then(|| photo.fault[1].clone()),
    }
}

/// Days of a month.
fn days_of(year: &str, month: &str) -> u32 {
    let year: u32 = year.parse().unwrap_or_default();
    match month {
        "04" | "06" | "09" | "11" => 30,
        "02" if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => 29,
        "02" => 28,
        _ => 31,
    }
}

/// A year, month or day.
pub(super) fn date(text: &str) -> Result<&str, LibraryError> {
    let parts: Vec<&str> = text.split('-').collect();
    let digits = |part: &str, count: usize| part.len() == count && part.bytes().all(|b| b.is_ascii_digit());
    let within = |part: &str, most: u32| digits(part, 2) && part.parse::<u32>().is_ok_and(|n| (1..=most).contains(&n));
    let sound = match parts.as_slice() {
        [year] => digits(year, 4),
        [year, month] => digits(year, 4) && within(month, 12),
        [year, month, day] => digits(year, 4) && within(month, 12) && within(day, days_of(year, month)),
        _ => false,
    };
    if sound { Ok(text) } else { Err(LibraryError::BadDate { text: text.to_string() }) }
}
