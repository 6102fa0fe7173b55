//! A gallery in memory: who is in it, which faces are whose, and the index over the vectors.
//!
//! Invariants of [`Inside`], held against by `check`:
//! 1. `people`, `by_name` and `by_key` name the same people;
//! 2. every face of `faces` is in `of` under its person, and in the index; nothing else is in either;
//! 3. `seen` leads from the digest of a photo's bytes to the faces enrolled from it;
//! 4. whoever lets go of [`Writing`] leaves the templates, where there are any, those of the faces.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::{Bound, Deref, DerefMut};
use std::sync::{Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::templates::{Means, Templates};
use super::{GalleryStats, names};
use crate::error::GalleryError;
use crate::index::{FaceIndex, Precision};
use crate::store::{FaceRecord, GalleryRecord, PersonRecord};
use crate::vector::mean_direction;

/// People whose templates are made under one lock.
const PEOPLE_TOGETHER: usize = 64;

/// What memory keeps of a face beside its vector.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Held {
    pub person: u64,
    pub source: Option<[u8; 32]>,
    /// Its detector's place in [`Inside::detectors`]; none where it is not known.
    detector: Option<u16>,
}

/// A gallery's content.
#[derive(Debug)]
pub(super) struct Inside {
    pub people: BTreeMap<u64, PersonRecord>,
    by_name: BTreeMap<String, u64>,
    /// By [`names::key`]. More than one only where they were enrolled before names were compared by it.
    by_key: HashMap<String, Vec<u64>>,
    faces: HashMap<u64, Held>,
    /// Faces of each person, in order of enrolment.
    of: HashMap<u64, Vec<u64>>,
    seen: HashMap<[u8; 32], Vec<u64>>,
    /// Names of the detectors that found the faces, and how many each.
    detectors: Vec<(String, usize)>,
    index: FaceIndex,
    /// Why the index on disk was not used, where there was reason to look for one.
    pub index_note: Option<String>,
    /// Faces that came or went since the index was saved.
    pub unsaved: usize,
    means: Means,
}

/// A gallery.
#[derive(Debug)]
pub(super) struct Shelf {
    pub id: u32,
    record: GalleryRecord,
    inside: RwLock<Inside>,
    /// Held by whoever makes the templates.
    making: Mutex<()>,
}

/// A writer's turn at a gallery's content.
pub(super) struct Writing<'a>(RwLockWriteGuard<'a, Inside>);

impl Deref for Writing<'_> {
    type Target = Inside;

    fn deref(&self) -> &Inside {
        &self.0
    }
}

impl DerefMut for Writing<'_> {
    fn deref_mut(&mut self) -> &mut Inside {
        &mut self.0
    }
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        self.0.renew_templates();
    }
}

impl Shelf {
    pub(super) fn new(id: u32, record: GalleryRecord) -> Self {
        let precision = if record.half { Precision::F16 } else { Precision::F32 };
        let index = FaceIndex::new(record.dimension as usize, precision);
        let inside = Inside {
            people: BTreeMap::new(),
            by_name: BTreeMap::new(),
            by_key: HashMap::new(),
            faces: HashMap::new(),
            of: HashMap::new(),
            seen: HashMap::new(),
            detectors: Vec::new(),
            index,
            index_note: None,
            unsaved: 0,
            means: Means::default(),
        };
        Self { id, record, inside: RwLock::new(inside), making: Mutex::new(()) }
    }

    pub(super) fn record(&self) -> &GalleryRecord {
        &self.record
    }

    pub(super) fn read(&self) -> RwLockReadGuard<'_, Inside> {
        self.inside.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn write(&self) -> Writing<'_> {
        Writing(self.inside.write().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn load_person(&mut self, id: u64, record: PersonRecord) -> Result<(), String> {
        let inside = self.inside.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(other) = inside.by_name.get(&record.name) {
            return Err(format!("people {other} and {id} have one name"));
        }
        inside.add_person(id, record);
        Ok(())
    }

    pub(super) fn load_face(&mut self, id: u64, record: &FaceRecord) -> Result<(), String> {
        let dimension = self.record.dimension as usize;
        if let Some(fault) = vector_fault(&record.vector, dimension) {
            return Err(format!("face {id}: {fault}"));
        }
        let inside = self.inside.get_mut().unwrap_or_else(PoisonError::into_inner);
        if !inside.people.contains_key(&record.person) {
            return Err(format!("face {id} is of person {}, who is not there", record.person));
        }
        inside.add_face(id, record);
        Ok(())
    }

    pub(super) fn stats(&self) -> GalleryStats {
        let inside = self.read();
        GalleryStats {
            name: self.record.name.clone(),
            model: self.record.model.clone(),
            dimension: self.record.dimension as usize,
            people: inside.people.len(),
            faces: inside.faces.len(),
            index: inside.index_stats(),
            vector_bytes: inside.faces.len() * self.record.dimension as usize * if self.record.half { 2 } else { 4 },
        }
    }

    /// The content, with templates. They are made when first asked for, a few people at a time, so that neither a
    /// search nor a writer waits for all of them; from then on every writer keeps those that it touches.
    pub(super) fn read_with_templates(&self) -> RwLockReadGuard<'_, Inside> {
        loop {
            let inside = self.read();
            if inside.templates().is_some() {
                return inside;
            }
            drop(inside);
            self.make_templates();
        }
    }

    fn make_templates(&self) {
        let _turn = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        let people: Vec<u64> = {
            let mut inside = self.write();
            if inside.templates().is_some() {
                return;
            }
            inside.means = Means::Making(BTreeSet::new());
            inside.of.keys().copied().collect()
        };
        let mut templates = Templates::new(self.record.dimension as usize);
        for some in people.chunks(PEOPLE_TOGETHER) {
            let means: Vec<_> = {
                let inside = self.read();
                some.iter().map(|&person| (person, inside.faces_of(person).len(), inside.mean_of(person))).collect()
            };
            means.iter().for_each(|(person, faces, mean)| templates.put(*person, *faces, mean.as_deref()));
        }
        let mut inside = self.write();
        let touched = match std::mem::take(&mut inside.means) {
            Means::Making(touched) | Means::Kept(_, touched) => touched,
            Means::Unasked => BTreeSet::new(),
        };
        // Letting go of the turn brings those up to date whose faces changed meanwhile.
        inside.means = Means::Kept(Box::new(templates), touched);
    }
}

/// Why a stored vector is none.
pub(super) fn vector_fault(vector: &[f32], dimension: usize) -> Option<String> {
    let length = vector.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>().sqrt();
    if vector.len() != dimension {
        return Some(format!("its vector has {} numbers, not {dimension}", vector.len()));
    }
    // Written so that a length that is not a number is a fault.
    let sound = (length - 1.0).abs() < 1e-3;
    (!sound).then(|| format!("its vector has length {length}"))
}

impl Inside {
    /// The person of that name: as it is written, or else the only one whose name is the same.
    ///
    /// # Errors
    /// [`GalleryError::AmbiguousName`] where that is several people's, and nobody's as it is written.
    pub(super) fn person(&self, name: &str, gallery: &str) -> Result<Option<u64>, GalleryError> {
        let written = [name.trim().to_string(), names::composed(name), names::meant(name.trim()).into_owned()];
        if let Some(id) = written.iter().find_map(|name| self.by_name.get(name)) {
            return Ok(Some(*id));
        }
        match self.with_key(name) {
            [] => Ok(None),
            [one] => Ok(Some(*one)),
            several => Err(GalleryError::AmbiguousName {
                name: name.to_string(),
                gallery: gallery.to_string(),
                candidates: several.iter().filter_map(|id| Some(self.people.get(id)?.name.clone())).collect(),
            }),
        }
    }

    /// People whose names are the same as this one.
    pub(super) fn with_key(&self, name: &str) -> &[u64] {
        self.by_key.get(&*names::key(name)).map_or(&[], Vec::as_slice)
    }

    /// People by name, from the one after `after`.
    pub(super) fn people_after(&self, after: Option<&str>) -> impl Iterator<Item = (u64, &PersonRecord)> {
        let from = match after {
            Some(name) => Bound::Excluded(name),
            None => Bound::Unbounded,
        };
        let named = self.by_name.range::<str, _>((from, Bound::Unbounded));
        named.filter_map(|(_, id)| Some((*id, self.people.get(id)?)))
    }

    pub(super) fn face(&self, face: u64) -> Option<Held> {
        self.faces.get(&face).copied()
    }

    pub(super) fn faces_of(&self, person: u64) -> &[u64] {
        self.of.get(&person).map_or(&[], Vec::as_slice)
    }

    pub(super) fn seen(&self, source: &[u8; 32]) -> &[u64] {
        self.seen.get(source).map_or(&[], Vec::as_slice)
    }

    pub(super) fn face_count(&self) -> usize {
        self.faces.len()
    }

    pub(super) fn vector(&self, face: u64) -> Option<Vec<f32>> {
        self.index.vector(face)
    }

    /// A person's mean direction, faces added up in order of enrolment.
    fn mean_of(&self, person: u64) -> Option<Vec<f32>> {
        let faces = self.faces_of(person).iter();
        mean_direction(faces.filter_map(|&f| self.index.vector(f)), self.index.dimension())
    }

    /// The templates, where they were made.
    pub(super) fn templates(&self) -> Option<&Templates> {
        match &self.means {
            Means::Kept(templates, _) => Some(templates),
            Means::Unasked | Means::Making(_) => None,
        }
    }

    /// Makes the templates of those anew whose faces came or went.
    fn renew_templates(&mut self) {
        let touched = match &mut self.means {
            Means::Kept(_, touched) => std::mem::take(touched),
            Means::Unasked | Means::Making(_) => return,
        };
        let renewed: Vec<_> =
            touched.into_iter().map(|person| (person, self.faces_of(person).len(), self.mean_of(person))).collect();
        let Means::Kept(templates, _) = &mut self.means else { return };
        for (person, faces, mean) in renewed {
            templates.put(person, faces, mean.as_deref());
        }
    }

    pub(super) fn index(&self) -> &FaceIndex {
        &self.index
    }

    pub(super) fn index_mut(&mut self) -> &mut FaceIndex {
        &mut self.index
    }

    pub(super) fn add_person(&mut self, id: u64, record: PersonRecord) {
        self.by_name.insert(record.name.clone(), id);
        self.by_key.entry(names::key(&record.name).into_owned()).or_default().push(id);
        self.people.insert(id, record);
    }

    /// Puts a changed record in place of a person's.
    pub(super) fn change_person(&mut self, id: u64, record: PersonRecord) {
        match self.people.get_mut(&id) {
            Some(old) if old.name == record.name => *old = record,
            _ => {
                self.unname(id);
                self.add_person(id, record);
            }
        }
    }

    /// Removes a person and their faces.
    pub(super) fn remove_person(&mut self, id: u64) {
        for face in self.faces_of(id).to_vec() {
            self.remove_face(face);
        }
        self.of.remove(&id);
        self.unname(id);
        self.people.remove(&id);
    }

    /// Takes the name off a person.
    fn unname(&mut self, id: u64) {
        let Some(record) = self.people.get(&id) else { return };
        self.by_name.remove(&record.name);
        let key = names::key(&record.name);
        if let Some(ids) = self.by_key.get_mut(&*key) {
            ids.retain(|other| *other != id);
            if ids.is_empty() {
                self.by_key.remove(&*key);
            }
        }
    }

    pub(super) fn add_face(&mut self, id: u64, record: &FaceRecord) {
        self.means.touch(record.person);
        self.unsaved += 1;
        self.index.insert(id, &record.vector);
        let detector = self.detector_of(&record.detector);
        self.faces.insert(id, Held { person: record.person, source: record.source_sha256, detector });
        self.of.entry(record.person).or_default().push(id);
        if let Some(source) = record.source_sha256 {
            self.seen.entry(source).or_default().push(id);
        }
    }

    pub(super) fn remove_face(&mut self, id: u64) {
        let Some(held) = self.faces.remove(&id) else { return };
        if let Some(found) = held.detector.and_then(|d| self.detectors.get_mut(usize::from(d))) {
            found.1 -= 1;
        }
        self.means.touch(held.person);
        self.unsaved += 1;
        self.index.remove(id);
        if let Some(faces) = self.of.get_mut(&held.person) {
            faces.retain(|f| *f != id);
        }
        if let Some(source) = held.source
            && let Some(faces) = self.seen.get_mut(&source)
        {
            faces.retain(|f| *f != id);
            if faces.is_empty() {
                self.seen.remove(&source);
            }
        }
    }

    /// Counts a face of that detector; where it is in the list.
    fn detector_of(&mut self, name: &str) -> Option<u16> {
        if name.is_empty() {
            return None;
        }
        let at = self.detectors.iter().position(|(known, _)| known == name).unwrap_or_else(|| {
            self.detectors.push((name.to_string(), 0));
            self.detectors.len() - 1
        });
        self.detectors[at].1 += 1;
        u16::try_from(at).ok()
    }

    /// A detector of faces that are there which is not this one.
    pub(super) fn other_detector(&self, name: Option<&str>) -> Option<&str> {
        let others = self.detectors.iter().filter(|(known, faces)| *faces > 0 && Some(known.as_str()) != name);
        others.map(|(known, _)| known.as_str()).next()
    }

    /// The detector of most of the faces.
    pub(super) fn usual_detector(&self) -> Option<&str> {
        let known = self.detectors.iter().filter(|(name, faces)| *faces > 0 && !name.is_empty());
        known.max_by_key(|(_, faces)| *faces).map(|(name, _)| name.as_str())
    }

    /// Moves a face to another person.
    pub(super) fn move_face(&mut self, id: u64, to: u64) {
        let Some(held) = self.faces.get_mut(&id) else { return };
        let from = std::mem::replace(&mut held.person, to);
        self.means.touch(from);
        self.means.touch(to);
        if let Some(faces) = self.of.get_mut(&from) {
            faces.retain(|f| *f != id);
        }
        // Numbers are given in order of enrolment, so the order is what it will be when the database is opened again.
        let faces = self.of.entry(to).or_default();
        faces.insert(faces.partition_point(|f| *f < id), id);
    }

    /// The first invariant that does not hold.
    pub(super) fn check(&self) -> Result<(), String> {
        self.index.check()?;
        if self.by_name.len() != self.people.len() {
            return Err(format!("{} names for {} people", self.by_name.len(), self.people.len()));
        }
        for (id, record) in &self.people {
            let keyed = self.by_key.get(&*names::key(&record.name)).is_some_and(|ids| ids.contains(id));
            if self.by_name.get(&record.name) != Some(id) || !keyed {
                return Err(format!("person {id} is not found by name"));
            }
        }
        let keyed: usize = self.by_key.values().map(Vec::len).sum();
        if keyed != self.people.len() {
            return Err(format!("{keyed} keys of names for {} people", self.people.len()));
        }
        let listed: usize = self.of.values().map(Vec::len).sum();
        if listed != self.faces.len() || self.index.len() != self.faces.len() {
            return Err(format!("{} faces, {listed} of people, {} in the index", self.faces.len(), self.index.len()));
        }
        for (person, faces) in &self.of {
            if !faces.is_empty() && !self.people.contains_key(person) {
                return Err(format!("faces of person {person}, who is not there"));
            }
            for face in faces {
                if self.faces.get(face).map(|h| h.person) != Some(*person) || !self.index.has(*face) {
                    return Err(format!("face {face} of person {person} is not held"));
                }
            }
        }
        let seen: usize = self.seen.values().map(Vec::len).sum();
        let sourced = self.faces.values().filter(|h| h.source.is_some()).count();
        if seen != sourced {
            return Err(format!("{sourced} faces come from photos, {seen} are found by their photo"));
        }
        let Some(templates) = self.templates() else { return Ok(()) };
        let vectors = |person| self.faces_of(person).iter().filter_map(|&f| self.index.vector(f)).collect();
        templates.check(self.people.keys().copied(), vectors)
    }
}
