//! Faces to groups.
//!
//! The grouping begins from nothing each time, but for what is known: the faces of a group that somebody has named or
//! corrected (`kept`) stay together, groups of different names never merge, and a face that is not somebody's is never
//! theirs. Two faces of one photo are two people's, unless they are as alike as the strictest point of the model's record
//! asks (a collage, a mirror) or somebody has said that they are one's. A group keeps its number while it keeps more of its
//! faces than go anywhere else.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use serde::Serialize;

use super::{Library, is_missing, main_model};
use crate::cluster::{Method, Rows, Rules, cosine_at};
use crate::database::Database;
use crate::engine::{Engine, group_rows, line_among};
use crate::error::{GalleryError, LibraryError, RefusalError, Result};
use crate::files::now_ms;
use crate::gallery::{DEFAULT_GALLERY, GroupChange, LibraryChange, NamedVector, PersonFilter};
use crate::store::{GroupRecord, PhotoFace, PhotoRecord};
use crate::vector::ModelId;
use crate::verify::Calibration;

/// Faces of one person from which on they are a group without somebody saying so.
const LEAST: usize = 2;

/// A group in short.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "serve", derive(utoipa::ToSchema))]
pub struct GroupSummary {
    /// Its number, the same from run to run.
    pub id: u64,
    /// Whose it is, where that is known.
    pub name: Option<String>,
    /// Whether somebody has named or corrected it.
    pub kept: bool,
    /// Whether it is not to be shown.
    pub hidden: bool,
    /// Faces.
    pub faces: usize,
    /// Photos that they are in.
    pub photos: usize,
    /// The face that shows the person best.
    pub best_face: Option<u64>,
    /// The photo that it is in.
    pub best_photo: Option<u64>,
}

/// What a grouping came to.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "serve", derive(utoipa::ToSchema))]
pub struct Grouped {
    /// The model whose faces were grouped.
    pub model: String,
    /// The line: least likeness between two faces, and between large groups.
    #[cfg_attr(feature = "serve", schema(value_type = Vec<f32>))]
    pub line: (f32, f32),
    /// Faces that were grouped.
    pub faces: usize,
    /// Of these, faces of which no other is found.
    pub alone: usize,
    /// Faces too poor to tell people by, which were left out.
    pub poor: usize,
    /// Faces of other models, which were left out: `kith library add` looks at their photos again.
    pub other_model: usize,
    /// Enrolled people whose faces were grouped with them.
    pub enrolled: usize,
    /// Enrolled people of the gallery whose faces are another model's, so that they are compared with none: `kith reembed`
    /// makes them this one's.
    pub enrolled_other_model: usize,
    /// The groups: with a name first, then by size.
    pub groups: Vec<GroupSummary>,
}

/// A face to group.
struct Seen<'a> {
    photo: u64,
    face: &'a PhotoFace,
}

/// What enrolled people say of the groups' names.
#[derive(Default)]
struct Enrolled {
    /// Those who are grouped along.
    faces: Vec<NamedVector>,
    /// People of the gallery whose faces are another model's.
    other_model: usize,
    /// Keys of the names of those who were not compared: they are of other galleries, or another model's.
    elsewhere: BTreeSet<String>,
}

impl Library<'_> {
    /// Groups the library's faces into people, and remembers the groups. Of a gallery, where one is named, the enrolled
    /// faces are grouped along, and give their names. `own` is a calibration record in place of the shipped one; with
    /// `poor` the poor faces are grouped, too.
    ///
    /// # Errors
    /// [`LibraryError::Empty`], [`LibraryError::NoFaces`], [`LibraryError::Contradiction`], [`RefusalError::NotCalibrated`], a store's error.
    pub fn group(&self, gallery: Option<&str>, own: Option<&Calibration>, poor: bool) -> Result<Grouped> {
        self.in_turn(|| self.group_now(gallery, own, poor))
    }

    fn group_now(&self, gallery: Option<&str>, own: Option<&Calibration>, poor: bool) -> Result<Grouped> {
        // Before the photos: what is said of their faces from now on has it begin again.
        let (made_of, mut before) = self.groups_to_change()?;
        let photos = self.photos()?;
        let there: HashSet<u64> = photos.values().flat_map(|p| &p.faces).map(|f| f.id).collect();
        for group in before.values_mut() {
            group.faces.retain(|face| there.contains(face));
            group.not.retain(|face| there.contains(face));
        }
        let model = main_model(&photos);
        let model = model.ok_or(LibraryError::Empty)?;
        let record = record_of(&model, own)?;
        let mut counts = (0, 0);
        let mut seen: Vec<Seen> = Vec::new();
        for (&number, photo) in photos.iter().filter(|(_, p)| !is_missing(p)) {
            for face in photo.faces.iter().filter(|f| !f.no_face) {
                if photo.model != model {
                    counts.1 += 1;
                } else if !face.good && !poor {
                    counts.0 += 1;
                } else {
                    seen.push(Seen { photo: number, face });
                }
            }
        }
        let Enrolled { faces: enrolled, other_model, elsewhere } = self.enrolled(gallery, &model)?;
        // What was kept is kept, also of faces that would not be grouped by themselves.
        let chosen: BTreeSet<u64> = seen.iter().map(|s| s.face.id).collect();
        let kept: BTreeSet<u64> = before.values().filter(|g| g.kept).flat_map(|g| g.faces.iter().copied()).collect();
        for (&number, photo) in photos.iter().filter(|(_, p)| !is_missing(p) && p.model == model) {
            let also = photo.faces.iter().filter(|f| !f.no_face && kept.contains(&f.id) && !chosen.contains(&f.id));
            seen.extend(also.map(|face| Seen { photo: number, face }));
        }

        let dimension = seen.iter().map(|s| s.face.vector.len()).chain(enrolled.iter().map(|e| e.2.len())).next();
        let dimension = dimension.ok_or_else(|| LibraryError::NoFaces { model: model.clone() })?;
        let mut values = Vec::with_capacity((seen.len() + enrolled.len()) * dimension);
        seen.iter().for_each(|s| values.extend(&s.face.vector));
        enrolled.iter().for_each(|e| values.extend(&e.2));
        let (mut rules, names) = rules(&seen, &before, &enrolled)?;
        rules.part(of_one_photo(&seen, &record));
        let line = line_among(&record, seen.len() + enrolled.len())?;
        let groups = group_rows(Rows::new(&values, dimension), &rules, line, Method::Linkage);

        let (changed, alone) = changes(&seen, &before, (&groups, &names), &elsewhere);
        self.database.library_change(LibraryChange { groups: changed, made_of, ..LibraryChange::default() })?;
        let people: BTreeSet<&str> = enrolled.iter().map(|e| e.0.as_str()).collect();
        Ok(Grouped {
            model,
            line: (line.faces, line.groups),
            faces: seen.len(),
            alone,
            poor: counts.0,
            other_model: counts.1,
            enrolled: people.len(),
            enrolled_other_model: other_model,
            groups: summaries(&self.groups()?, &photos),
        })
    }

    /// The groups as they were found last: with a name first, then by size.
    ///
    /// # Errors
    /// A store's error.
    pub fn group_list(&self) -> Result<Vec<GroupSummary>> {
        Ok(summaries(&self.groups()?, &self.photos()?))
    }

    /// Who is enrolled, and gives a name to the group that their faces fall into.
    fn enrolled(&self, gallery: Option<&str>, model: &str) -> Result<Enrolled> {
        let mut found = Enrolled::default();
        let all = self.database.galleries();
        for of in &all {
            let compared =
                gallery == Some(of.as_str()) && self.database.model_of(of).is_some_and(|m| m.as_str() == model);
            if compared {
                found.faces = self.database.named_vectors(of)?.map(|(_, faces)| faces).unwrap_or_default();
                continue;
            }
            let people = self.database.people(of, &PersonFilter::default())?;
            found.other_model += if gallery == Some(of.as_str()) { people.len() } else { 0 };
            found.elsewhere.extend(people.iter().map(|person| Database::name_key(&person.name)));
        }
        // The one that is taken when none is said need not be there.
        match gallery.filter(|gallery| *gallery != DEFAULT_GALLERY && !all.iter().any(|of| of == gallery)) {
            Some(gallery) => Err(GalleryError::UnknownGallery { gallery: gallery.to_string() }.into()),
            None => Ok(found),
        }
    }
}

/// What is to be written so that the groups are those found; and how many faces are in none.
fn changes(
    seen: &[Seen],
    before: &BTreeMap<u64, GroupRecord>,
    (groups, names): (&[u32], &HashMap<u32, String>),
    elsewhere: &BTreeSet<String>,
) -> (Vec<GroupChange>, usize) {
    let mut members: BTreeMap<u32, Vec<u64>> = BTreeMap::new();
    seen.iter().zip(groups).for_each(|(s, group)| members.entry(*group).or_default().push(s.face.id));
    // Names that enrolled faces bring along.
    let mut brought: BTreeMap<u32, &String> = BTreeMap::new();
    for (row, group) in groups.iter().enumerate().skip(seen.len()) {
        brought.extend(names.get(&(row as u32)).map(|name| (*group, name)));
    }
    let brought_keys: BTreeSet<String> = brought.values().map(|name| Database::name_key(name)).collect();
    let of: HashMap<u64, u32> = seen.iter().zip(groups).map(|(s, group)| (s.face.id, *group)).collect();
    // Who was which group before: those with a name first, then those that were kept, then by what they share.
    let mut claims: Vec<(bool, bool, usize, u64, u32)> = Vec::new();
    for (id, record) in before {
        let mut shared: BTreeMap<u32, usize> = BTreeMap::new();
        record.faces.iter().filter_map(|f| of.get(f)).for_each(|group| *shared.entry(*group).or_default() += 1);
        let named = record.kept && !record.name.is_empty();
        claims.extend(shared.into_iter().map(|(group, n)| (named, record.kept, n, *id, group)));
    }
    claims.sort_by(|a, b| (b.0, b.1, b.2).cmp(&(a.0, a.1, a.2)).then((a.3, a.4).cmp(&(b.3, b.4))));
    let (mut number_of, mut claimed): (BTreeMap<u32, u64>, BTreeSet<u64>) = Default::default();
    for (.., id, group) in claims {
        if !claimed.contains(&id) && !number_of.contains_key(&group) {
            number_of.insert(group, id);
            claimed.insert(id);
        }
    }
    let (mut change, mut alone) = (Vec::new(), 0);
    for (group, mut faces) in members {
        faces.sort_unstable();
        let id = number_of.get(&group).copied();
        let old = id.and_then(|id| before.get(&id)).cloned();
        let name = brought.get(&group);
        // The name of somebody enrolled whose face could not be asked this time.
        let is_elsewhere = |record: &GroupRecord| {
            let key = Database::name_key(&record.name);
            elsewhere.contains(&key) && !brought_keys.contains(&key)
        };
        if faces.len() < LEAST && name.is_none() && !old.as_ref().is_some_and(|o| o.kept || is_elsewhere(o)) {
            alone += faces.len();
            if let Some(id) = id {
                claimed.remove(&id);
            }
            continue;
        }
        let mut record = old.clone().unwrap_or_else(|| GroupRecord { created_ms: now_ms(), ..GroupRecord::default() });
        // Faces of a kept group whose photos are away, or were not looked at with this model yet, are still theirs.
        let away = |o: &GroupRecord| o.faces.iter().filter(|f| !of.contains_key(f)).copied().collect::<Vec<u64>>();
        record.faces = faces;
        record.faces.extend(old.iter().filter(|o| o.kept).flat_map(away));
        match name {
            Some(name) if !record.kept || record.name.is_empty() => record.name = (*name).clone(),
            // The name of an enrolled person who is nobody's any more, or is another group now.
            None if !record.kept && !is_elsewhere(&record) => record.name = String::new(),
            _ => {}
        }
        // What kept groups said that are this one now.
        for absorbed in before.iter().filter(|(other, o)| Some(**other) != id && o.kept) {
            if absorbed.1.faces.iter().any(|f| of.get(f) == Some(&group)) {
                record.kept = true;
                record.not.extend(&absorbed.1.not);
                record.faces.extend(away(absorbed.1));
            }
        }
        record.faces.sort_unstable();
        record.faces.dedup();
        record.not.sort_unstable();
        record.not.dedup();
        if old.as_ref() != Some(&record) {
            change.push(GroupChange { id, record: Some(record) });
        }
    }
    for (id, record) in before.iter().filter(|(id, _)| !claimed.contains(id)) {
        // A person whose photos are away has their name when these are back.
        let says_anything = !record.faces.is_empty() || !record.not.is_empty();
        let away = record.kept && says_anything && !record.faces.iter().any(|f| of.contains_key(f));
        if !away {
            change.push(GroupChange { id: Some(*id), record: None });
        }
    }
    (change, alone)
}

/// Pairs of rows that are faces of one photo, but for those that are as alike as the strictest point of the record asks.
fn of_one_photo(seen: &[Seen], record: &Calibration) -> impl Iterator<Item = (u32, u32)> {
    let strictest = record.points.iter().map(|p| p.distance).min_by(f32::total_cmp);
    let one_person = strictest.map_or(f32::INFINITY, cosine_at);
    let mut of_photo: BTreeMap<u64, Vec<u32>> = BTreeMap::new();
    (0u32..).zip(seen).for_each(|(row, s)| of_photo.entry(s.photo).or_default().push(row));
    let vector = |row: u32| &seen[row as usize].face.vector;
    let mut pairs = Vec::new();
    for rows in of_photo.values() {
        for (n, &a) in rows.iter().enumerate() {
            let cosine = |b: u32| vector(a).iter().zip(vector(b)).map(|(a, b)| a * b).sum::<f32>();
            pairs.extend(rows[n + 1..].iter().filter(|&&b| cosine(b) < one_person).map(|&b| (a, b)));
        }
    }
    pairs.into_iter()
}

/// The calibration record of a model: one's own, else the shipped one.
pub(super) fn record_of(model: &str, own: Option<&Calibration>) -> Result<Calibration, RefusalError> {
    let record = own.filter(|c| c.model == model).cloned();
    let record = record.or_else(|| Engine::shipped_calibration(&ModelId::from_text(model)));
    record.ok_or_else(|| RefusalError::NotCalibrated { model: model.to_string() })
}

/// What is known of the rows: faces of the library, then enrolled ones, whose names are given back by their rows.
fn rules(
    seen: &[Seen],
    groups: &BTreeMap<u64, GroupRecord>,
    enrolled: &[NamedVector],
) -> Result<(Rules, HashMap<u32, String>), LibraryError> {
    let row: HashMap<u64, u32> = (0u32..).zip(seen).map(|(row, s)| (s.face.id, row)).collect();
    let mut keys: BTreeMap<String, u32> = BTreeMap::new();
    let mut number = |name: &str| {
        let next = keys.len() as u32;
        *keys.entry(Database::name_key(name)).or_insert(next)
    };
    let mut together: Vec<(Vec<u32>, Option<u32>)> = Vec::new();
    let mut apart: Vec<(u32, u32)> = Vec::new();
    for group in groups.values().filter(|g| g.kept) {
        let rows: Vec<u32> = group.faces.iter().filter_map(|f| row.get(f)).copied().collect();
        let Some(&first) = rows.first() else { continue };
        apart.extend(group.not.iter().filter_map(|f| Some((first, *row.get(f)?))));
        let name = (!group.name.is_empty()).then(|| number(&group.name));
        together.push((rows, name));
    }
    let mut of_person: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    let mut names = HashMap::new();
    for (at, (name, ..)) in (seen.len() as u32..).zip(enrolled) {
        of_person.entry(number(name)).or_default().push(at);
        names.insert(at, name.clone());
    }
    together.extend(of_person.into_iter().map(|(name, rows)| (rows, Some(name))));
    let face = |row: u32| seen.get(row as usize).map_or(0, |s| s.face.id);
    let contradiction =
        |c: crate::cluster::Contradiction| LibraryError::Contradiction { one: face(c.rows.0), other: face(c.rows.1) };
    let rows = seen.len() + enrolled.len();
    Ok((Rules::new(rows, &together, &apart).map_err(contradiction)?, names))
}

/// Groups without some faces, where they have any. One that has none any more, and of which nothing is said that could
/// hold for others, is no more.
pub(super) fn without(groups: BTreeMap<u64, GroupRecord>, gone: &BTreeSet<u64>) -> Vec<GroupChange> {
    let mut changes = Vec::new();
    for (id, mut record) in groups {
        let before = (record.faces.len(), record.not.len());
        record.faces.retain(|f| !gone.contains(f));
        record.not.retain(|f| !gone.contains(f));
        let empty = record.faces.is_empty() && (!record.kept || record.not.is_empty());
        if before != (record.faces.len(), record.not.len()) {
            changes.push(GroupChange { id: Some(id), record: (!empty).then_some(record) });
        }
    }
    changes
}

pub(super) fn summaries(groups: &BTreeMap<u64, GroupRecord>, photos: &BTreeMap<u64, PhotoRecord>) -> Vec<GroupSummary> {
    let mut of: HashMap<u64, (u64, &PhotoFace)> = HashMap::new();
    for (id, photo) in photos.iter().filter(|(_, p)| !is_missing(p)) {
        of.extend(photo.faces.iter().map(|face| (face.id, (*id, face))));
    }
    let mut all: Vec<GroupSummary> = Vec::with_capacity(groups.len());
    for (id, group) in groups {
        let seen: Vec<&(u64, &PhotoFace)> = group.faces.iter().filter_map(|f| of.get(f)).collect();
        // Large, sharp, and from the front.
        let worth = |face: &PhotoFace| {
            let q = &face.quality;
            let turned = (q.yaw.abs() + q.pitch.abs()) / 90.0;
            f32::from(u8::from(face.good)) + q.eye_distance.min(100.0) / 100.0 + q.sharpness.min(0.1) * 5.0 - turned
        };
        let best = seen.iter().max_by(|a, b| worth(a.1).total_cmp(&worth(b.1)).then(b.1.id.cmp(&a.1.id)));
        let in_photos: BTreeSet<u64> = seen.iter().map(|(photo, _)| *photo).collect();
        all.push(GroupSummary {
            id: *id,
            name: (!group.name.is_empty()).then(|| group.name.clone()),
            kept: group.kept,
            hidden: group.hidden,
            faces: seen.len(),
            photos: in_photos.len(),
            best_face: best.map(|(_, face)| face.id),
            best_photo: best.map(|(photo, _)| *photo),
        });
    }
    all.sort_by_key(|g| (g.hidden, g.name.is_none(), std::cmp::Reverse(g.faces), g.id));
    all
}
