//! The library as it is looked at: groups, their faces, photos, in pages. It is read once and asked as often as one
//! likes; what changes after it was read is not in it.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;

use super::find::{boxed, date, shown, taken_within};
use super::people::summaries;
use super::upkeep::counted;
use super::{FoundPhoto, GroupSummary, Library, LibraryStatus, PhotoFilter, Who, group_called, is_missing, main_model};
use crate::database::Database;
use crate::error::{LibraryError, PhotoError, Result};
use crate::files::path_of;
use crate::geometry::BBox;
use crate::media::{Limits, Photo, encode_jpeg, fit_within};
use crate::store::{GroupRecord, PhotoRecord};

/// In which order groups are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum GroupOrder {
    /// Those with a name first, then those of most faces.
    #[default]
    Known,
    /// Those of most faces.
    Faces,
    /// By name; those without one come last.
    Name,
}

/// Which groups.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GroupFilter {
    /// Only groups whose name holds this, in whatever case.
    pub containing: Option<String>,
    /// Only groups with a name, or only those without.
    pub named: Option<bool>,
    /// The hidden ones in place of those that are shown.
    pub hidden: bool,
    /// Their order.
    pub order: GroupOrder,
}

/// A face of a group.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "serve", derive(utoipa::ToSchema))]
pub struct GroupFace {
    /// Its number.
    pub id: u64,
    /// The photo that it is in.
    pub photo: u64,
    /// The box, in pixels of the upright photo.
    #[serde(rename = "box")]
    pub bbox: BBox,
    /// When the photo was taken; none where it does not say.
    pub taken: Option<String>,
    /// Whether its quality is what tells people apart.
    pub good: bool,
}

/// The sums of the groups' faces, by the groups' places among the summaries.
#[derive(Debug, Default)]
pub(super) struct Sums {
    /// Model of most faces: only its vectors are here.
    pub model: Option<String>,
    /// Values in each.
    pub dimension: usize,
    /// Places of the groups that have any.
    pub places: Vec<usize>,
    /// The sum of each.
    pub values: Vec<f32>,
    /// How many faces each is of.
    pub sizes: Vec<u32>,
    /// Faces in all of them.
    pub faces: usize,
}

/// What the library held when it was read.
#[derive(Debug)]
pub struct Album {
    /// Without their faces' vectors.
    photos: BTreeMap<u64, PhotoRecord>,
    pub(super) groups: BTreeMap<u64, GroupRecord>,
    pub(super) summaries: Vec<GroupSummary>,
    place_of: HashMap<u64, usize>,
    photo_of: HashMap<u64, u64>,
    group_of: HashMap<u64, u64>,
    /// Photos that are there, by when they were taken, then by path.
    by_time: Vec<u64>,
    pub(super) sums: Sums,
}

impl Library<'_> {
    /// Reads the library.
    ///
    /// # Errors
    /// A store's error.
    pub fn album(&self) -> Result<Album> {
        Ok(Album::of(self.photos()?, self.groups()?))
    }

    /// The picture of a face of a photo, as JPEG.
    ///
    /// # Errors
    /// [`LibraryError::UnknownFace`], a store's error.
    pub fn face_picture(&self, album: &Album, face: u64) -> Result<Vec<u8>> {
        let unknown = LibraryError::UnknownFace { face };
        let photo = *album.photo_of.get(&face).ok_or_else(|| unknown.clone())?;
        let pictures = self.database.library_pictures(photo)?;
        Ok(pictures.into_iter().find(|(id, _)| *id == face).map(|(_, jpeg)| jpeg).ok_or(unknown)?)
    }
}

impl Album {
    fn of(mut photos: BTreeMap<u64, PhotoRecord>, groups: BTreeMap<u64, GroupRecord>) -> Self {
        let summaries = summaries(&groups, &photos);
        let place_of: HashMap<u64, usize> = summaries.iter().enumerate().map(|(at, g)| (g.id, at)).collect();
        let group_of: HashMap<u64, u64> =
            groups.iter().flat_map(|(id, g)| g.faces.iter().map(move |f| (*f, *id))).collect();
        let sums = sums(&photos, &summaries, &group_of, &place_of);
        let mut photo_of = HashMap::new();
        for (id, photo) in &mut photos {
            for face in &mut photo.faces {
                face.vector = Vec::new();
                photo_of.insert(face.id, *id);
            }
        }
        let first = |p: &PhotoRecord| p.files.iter().find(|f| !f.missing).map(|f| f.path.clone());
        let mut by_time: Vec<(String, Option<String>, u64)> =
            photos.iter().filter(|(_, p)| !is_missing(p)).map(|(id, p)| (p.taken.clone(), first(p), *id)).collect();
        by_time.sort_unstable();
        let by_time = by_time.into_iter().map(|(.., id)| id).collect();
        Self { photos, groups, summaries, place_of, photo_of, group_of, by_time, sums }
    }

    /// The library in numbers.
    pub fn status(&self) -> LibraryStatus {
        counted(&self.photos, &self.groups)
    }

    /// The groups that a filter takes.
    pub fn groups(&self, filter: &GroupFilter) -> Vec<&GroupSummary> {
        let sought = filter.containing.as_deref().map(Database::name_key).filter(|q| !q.is_empty());
        let named = |g: &GroupSummary| g.name.as_deref().map(Database::name_key);
        let wanted = |g: &&GroupSummary| {
            g.hidden == filter.hidden
                && g.faces > 0
                && filter.named.is_none_or(|wanted| g.name.is_some() == wanted)
                && sought.as_ref().is_none_or(|q| named(g).is_some_and(|name| name.contains(q.as_str())))
        };
        let mut found: Vec<&GroupSummary> = self.summaries.iter().filter(wanted).collect();
        match filter.order {
            GroupOrder::Known => {}
            GroupOrder::Faces => found.sort_by_key(|g| (std::cmp::Reverse(g.faces), g.id)),
            GroupOrder::Name => {
                found.sort_by_cached_key(|g| (g.name.is_none(), named(g), std::cmp::Reverse(g.faces), g.id))
            }
        }
        found
    }

    /// A group.
    ///
    /// # Errors
    /// [`LibraryError::UnknownGroup`].
    pub fn group(&self, id: u64) -> Result<&GroupSummary, LibraryError> {
        let unknown = || LibraryError::UnknownGroup { group: id.to_string() };
        self.place_of.get(&id).map(|at| &self.summaries[*at]).ok_or_else(unknown)
    }

    /// The faces of a group that are in photos that are there: the best first, then by when they were taken.
    ///
    /// # Errors
    /// [`LibraryError::UnknownGroup`].
    pub fn faces(&self, group: u64) -> Result<Vec<GroupFace>, LibraryError> {
        let best = self.group(group)?.best_face;
        let mut faces: Vec<GroupFace> = self.groups[&group].faces.iter().filter_map(|f| self.face(*f)).collect();
        faces.sort_by(|a, b| {
            let key = |f: &GroupFace| (Some(f.id) != best, f.taken.clone(), f.photo, f.id);
            key(a).cmp(&key(b))
        });
        Ok(faces)
    }

    /// What somebody has said is no face, in photos that are there, by when they were taken.
    pub fn no_faces(&self) -> Vec<GroupFace> {
        let of = |photo: &u64| self.photos[photo].faces.iter().filter(|f| f.no_face).map(|f| f.id).collect::<Vec<_>>();
        self.by_time.iter().flat_map(of).filter_map(|id| self.seen(id, true)).collect()
    }

    fn face(&self, id: u64) -> Option<GroupFace> {
        self.seen(id, false)
    }

    fn seen(&self, id: u64, none: bool) -> Option<GroupFace> {
        let photo = *self.photo_of.get(&id)?;
        let record = self.photos.get(&photo).filter(|p| !is_missing(p))?;
        let face = record.faces.iter().find(|f| f.id == id && f.no_face == none)?;
        let taken = (!record.taken.is_empty()).then(|| record.taken.clone());
        Some(GroupFace { id, photo, bbox: boxed(&face.bbox), taken, good: face.good })
    }

    /// The numbers of the photos that a filter takes, by when they were taken, then by path; see [`Library::find`].
    ///
    /// # Errors
    /// [`LibraryError::UnknownGroup`], [`LibraryError::BadDate`].
    pub fn find(&self, filter: &PhotoFilter) -> Result<Vec<u64>, LibraryError> {
        let called = |who: &String| group_called(&self.groups, who);
        let wanted: Vec<u64> = filter.who.iter().map(called).collect::<Result<_, _>>()?;
        let from = filter.from.as_deref().map(date).transpose()?.unwrap_or("");
        let to = filter.to.as_deref().map(date).transpose()?.unwrap_or("");
        let taken = |id: &&u64| {
            let photo = &self.photos[id];
            let there = |group: &u64| photo.faces.iter().any(|f| self.group_of.get(&f.id) == Some(group));
            taken_within(photo, from, to) && wanted.iter().all(there)
        };
        Ok(self.by_time.iter().filter(taken).copied().collect())
    }

    /// A photo.
    ///
    /// # Errors
    /// [`LibraryError::UnknownPhoto`].
    pub fn photo(&self, id: u64) -> Result<FoundPhoto, LibraryError> {
        let record = self.photos.get(&id).ok_or(LibraryError::UnknownPhoto { photo: id })?;
        let who = |face: u64| {
            let group = *self.group_of.get(&face)?;
            let name = self.groups.get(&group).map(|g| g.name.clone()).filter(|n| !n.is_empty());
            Some(Who { group, name })
        };
        Ok(shown(id, record, &who))
    }

    /// A photo upright, its longer side at most `side` pixels, as JPEG, out of the first of its files that is as it was
    /// when the library looked at it. Where the file is comes from the database alone.
    ///
    /// # Errors
    /// [`LibraryError::UnknownPhoto`], [`LibraryError::PhotoAway`], a [`crate::error::PhotoError`].
    pub fn picture(&self, id: u64, side: u32, limits: &Limits) -> Result<Vec<u8>> {
        let record = self.photos.get(&id).ok_or(LibraryError::UnknownPhoto { photo: id })?;
        for file in record.files.iter().filter(|f| !f.missing) {
            let path = path_of(&file.path);
            // A pipe in its place would be waited for.
            if !std::fs::metadata(&path).is_ok_and(|facts| facts.is_file()) {
                continue;
            }
            let bytes = match Photo::read(&path, limits) {
                Ok(bytes) => bytes,
                Err(PhotoError::NotFound { .. } | PhotoError::Unreadable { .. }) => continue,
                Err(e) => return Err(e.into()),
            };
            if sha256(&bytes) != record.sha256 {
                continue;
            }
            let photo = Photo::from_bytes(&bytes, &file.path, limits)?;
            let side = side.min(photo.width().max(photo.height()));
            return Ok(encode_jpeg(&fit_within(photo.raster(), side, side))?);
        }
        Err(LibraryError::PhotoAway { photo: id }.into())
    }
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    use sha2::Digest;
    sha2::Sha256::digest(bytes).into()
}

fn sums(
    photos: &BTreeMap<u64, PhotoRecord>,
    summaries: &[GroupSummary],
    group_of: &HashMap<u64, u64>,
    place_of: &HashMap<u64, usize>,
) -> Sums {
    let Some(model) = main_model(photos) else { return Sums::default() };
    let of_model = || photos.values().filter(|p| p.model == model && !is_missing(p));
    let dimension = of_model().flat_map(|p| &p.faces).map(|f| f.vector.len()).next().unwrap_or(0);
    if dimension == 0 {
        return Sums::default();
    }
    let (mut all, mut counts) = (vec![0.0f32; summaries.len() * dimension], vec![0u32; summaries.len()]);
    let mut faces = 0;
    for face in of_model().flat_map(|p| &p.faces).filter(|f| !f.no_face && f.vector.len() == dimension) {
        faces += usize::from(face.good);
        if let Some(place) = group_of.get(&face.id).and_then(|group| place_of.get(group)) {
            let sum = &mut all[place * dimension..(place + 1) * dimension];
            sum.iter_mut().zip(&face.vector).for_each(|(sum, v)| *sum += v);
            counts[*place] += 1;
        }
    }
    let places: Vec<usize> = (0..summaries.len()).filter(|at| counts[*at] > 0).collect();
    let values = places.iter().flat_map(|at| &all[at * dimension..(at + 1) * dimension]).copied().collect();
    let sizes = places.iter().map(|at| counts[*at]).collect();
    Sums { model: Some(model), dimension, places, values, sizes, faces }
}
