//! What somebody says of groups and faces. It holds for ever after: see the rules in `people`.

use std::collections::BTreeMap;

use serde::Serialize;

use super::look::usable;
use super::{Library, group_called};
use crate::database::Database;
use crate::error::{LibraryError, Result};
use crate::files::now_ms;
use crate::gallery::{GroupChange, LibraryChange};
use crate::store::GroupRecord;

/// What a correction changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "serve", derive(utoipa::ToSchema))]
pub struct Correction {
    /// The group that has the faces now; none where they are in none.
    pub group: Option<u64>,
    /// Its name.
    pub name: Option<String>,
    /// Its faces.
    pub faces: usize,
    /// A group that is no more.
    pub gone: Option<u64>,
}

impl Correction {
    fn of(group: u64, record: &GroupRecord, gone: Option<u64>) -> Self {
        let name = (!record.name.is_empty()).then(|| record.name.clone());
        Self { group: Some(group), name, faces: record.faces.len(), gone }
    }
}

impl Library<'_> {
    /// Gives a group (its number or its name) a name. Where another group has that name, the two are one from now on when
    /// `merge` says that they are the same person's, and the name is refused otherwise.
    ///
    /// # Errors
    /// [`LibraryError::UnknownGroup`], [`LibraryError::BadName`], [`LibraryError::SameName`], a store's error.
    pub fn name(&self, group: &str, name: &str, merge: bool) -> Result<Correction> {
        self.in_turn(|| self.name_now(group, name, merge))
    }

    fn name_now(&self, group: &str, name: &str, merge: bool) -> Result<Correction> {
        let (made_of, groups) = self.groups_to_change()?;
        let (id, name) = (group_called(&groups, group)?, usable(name)?);
        let key = Database::name_key(&name);
        let same = groups.iter().find(|(other, g)| **other != id && Database::name_key(&g.name) == key);
        if let Some((&into, theirs)) = same.filter(|_| !merge) {
            return Err(LibraryError::SameName { group: id, into, name: theirs.name.clone() }.into());
        }
        if let Some((&other, _)) = same {
            return self.join((made_of, groups), id, other, Some(name));
        }
        let mut record = groups[&id].clone();
        (record.name, record.kept) = (name, true);
        self.put(made_of, vec![(Some(id), Some(record.clone()))])?;
        Ok(Correction::of(id, &record, None))
    }

    /// Takes a group's name away; its faces stay together.
    ///
    /// # Errors
    /// [`LibraryError::UnknownGroup`], a store's error.
    pub fn unname(&self, group: &str) -> Result<Correction> {
        self.in_turn(|| {
            let (made_of, groups) = self.groups_to_change()?;
            let id = group_called(&groups, group)?;
            let record = GroupRecord { name: String::new(), kept: true, ..groups[&id].clone() };
            let nothing = record.faces.is_empty() && record.not.is_empty();
            self.put(made_of, vec![(Some(id), (!nothing).then(|| record.clone()))])?;
            Ok(Correction::of(id, &record, nothing.then_some(id)))
        })
    }

    /// Gives one face a name: it becomes the person's of that name, or the first of a new group.
    ///
    /// # Errors
    /// [`LibraryError::UnknownFace`], [`LibraryError::BadName`], a store's error.
    pub fn name_face(&self, face: u64, name: &str) -> Result<Correction> {
        self.in_turn(|| self.name_face_now(face, name))
    }

    fn name_face_now(&self, face: u64, name: &str) -> Result<Correction> {
        let (made_of, mut groups) = self.groups_to_change()?;
        let there = self.photos()?.values().any(|p| p.faces.iter().any(|f| f.id == face && !f.no_face));
        if !there {
            return Err(LibraryError::UnknownFace { face }.into());
        }
        let name = usable(name)?;
        let key = Database::name_key(&name);
        let to = groups.iter().find(|(_, g)| Database::name_key(&g.name) == key).map(|(id, _)| *id);
        let mut changed: Vec<(Option<u64>, Option<GroupRecord>)> = Vec::new();
        for (id, record) in groups.iter_mut().filter(|(id, g)| Some(**id) != to && g.faces.contains(&face)) {
            take_out(record, &[face]);
            changed.push((Some(*id), Some(record.clone())));
        }
        let mut record = to.and_then(|id| groups.get(&id).cloned()).unwrap_or_default();
        if to.is_none() {
            record.created_ms = now_ms();
        }
        (record.name, record.kept) = (name, true);
        put_in(&mut record, &[face]);
        changed.push((to, Some(record.clone())));
        let last = changed.len() - 1;
        Ok(Correction::of(self.put(made_of, changed)?[last], &record, None))
    }

    /// Makes two groups one: the second has the faces of both from now on.
    ///
    /// # Errors
    /// [`LibraryError::UnknownGroup`], [`LibraryError::TwoNames`], a store's error.
    pub fn merge(&self, from: &str, into: &str) -> Result<Correction> {
        self.in_turn(|| self.merge_now(from, into))
    }

    fn merge_now(&self, from: &str, into: &str) -> Result<Correction> {
        let (made_of, groups) = self.groups_to_change()?;
        let (from, into) = (group_called(&groups, from)?, group_called(&groups, into)?);
        let (a, b) = (&groups[&from], &groups[&into]);
        if from == into {
            return Ok(Correction::of(into, b, None));
        }
        if !a.name.is_empty() && !b.name.is_empty() && Database::name_key(&a.name) != Database::name_key(&b.name) {
            let (theirs, name) = (a.name.clone(), b.name.clone());
            return Err(LibraryError::TwoNames { from, theirs, into, name }.into());
        }
        let name = if b.name.is_empty() { &a.name } else { &b.name };
        let name = (!name.is_empty()).then(|| name.clone());
        self.join((made_of, groups), from, into, name)
    }

    fn join(
        &self,
        (made_of, mut groups): (Option<u64>, BTreeMap<u64, GroupRecord>),
        from: u64,
        into: u64,
        name: Option<String>,
    ) -> Result<Correction> {
        let unknown = || LibraryError::UnknownGroup { group: from.to_string() };
        let gone = groups.remove(&from).ok_or_else(unknown)?;
        let mut record = groups.remove(&into).ok_or_else(unknown)?;
        // The latest word counts: a face that was not this person's is, when it is said to be.
        record.not.extend(&gone.not);
        put_in(&mut record, &gone.faces);
        let faces = record.faces.clone();
        put_in(&mut record, &faces);
        record.kept = true;
        record.name = name.unwrap_or(record.name);
        self.put(made_of, vec![(Some(from), None), (Some(into), Some(record.clone()))])?;
        Ok(Correction::of(into, &record, Some(from)))
    }

    /// Two groups are two people's: none of the second's faces is ever the first's, and nobody is asked again.
    ///
    /// # Errors
    /// [`LibraryError::UnknownGroup`], a store's error.
    pub fn different(&self, one: &str, other: &str) -> Result<Correction> {
        self.in_turn(|| self.different_now(one, other))
    }

    fn different_now(&self, one: &str, other: &str) -> Result<Correction> {
        let (made_of, groups) = self.groups_to_change()?;
        let (id, other) = (group_called(&groups, one)?, group_called(&groups, other)?);
        let mut record = groups[&id].clone();
        if id != other {
            let theirs: Vec<u64> = groups[&other].faces.iter().filter(|f| !record.faces.contains(f)).copied().collect();
            take_out(&mut record, &theirs);
            self.put(made_of, vec![(Some(id), Some(record.clone()))])?;
        }
        Ok(Correction::of(id, &record, None))
    }

    /// Takes faces out of their group for ever: they are somebody else's, all of them one person's, who is a group of their
    /// own. Returns that group.
    ///
    /// # Errors
    /// [`LibraryError::UnknownGroup`], [`LibraryError::NotInGroup`], a store's error.
    pub fn split(&self, group: &str, faces: &[u64]) -> Result<Correction> {
        self.in_turn(|| self.split_now(group, faces))
    }

    fn split_now(&self, group: &str, faces: &[u64]) -> Result<Correction> {
        let (made_of, groups) = self.groups_to_change()?;
        let id = group_called(&groups, group)?;
        let mut record = groups[&id].clone();
        if let Some(face) = faces.iter().find(|f| !record.faces.contains(f)) {
            return Err(LibraryError::NotInGroup { face: *face, group: id }.into());
        }
        take_out(&mut record, faces);
        let mut parted = GroupRecord { kept: true, created_ms: now_ms(), ..GroupRecord::default() };
        put_in(&mut parted, faces);
        let numbers = self.put(made_of, vec![(Some(id), Some(record)), (None, Some(parted.clone()))])?;
        Ok(Correction::of(numbers[1], &parted, None))
    }

    /// A face is not the person's whose group it is in: it never comes back there.
    ///
    /// # Errors
    /// [`LibraryError::Ungrouped`], a store's error.
    pub fn not_this_person(&self, face: u64) -> Result<Correction> {
        self.in_turn(|| self.not_this_person_now(face))
    }

    fn not_this_person_now(&self, face: u64) -> Result<Correction> {
        let (made_of, mut groups) = self.groups_to_change()?;
        let found = groups.iter_mut().find(|(_, g)| g.faces.contains(&face));
        let (id, record) = found.ok_or(LibraryError::Ungrouped { face })?;
        take_out(record, &[face]);
        let answer = Correction { gone: None, ..Correction::of(*id, record, None) };
        let changed = vec![(Some(*id), Some(record.clone()))];
        self.put(made_of, changed)?;
        Ok(answer)
    }

    /// What was found is no face: it is in no group, and not counted, from now on.
    ///
    /// # Errors
    /// [`LibraryError::UnknownFace`], a store's error.
    pub fn not_a_face(&self, face: u64) -> Result<Correction> {
        self.in_turn(|| {
            let (made_of, groups) = self.groups_to_change()?;
            let photos = self.photos()?;
            let found = photos.iter().find(|(_, p)| p.faces.iter().any(|f| f.id == face));
            let (photo, _) = found.ok_or(LibraryError::UnknownFace { face })?;
            let groups = super::people::without(groups, &[face].into());
            let no_faces = vec![(*photo, face)];
            self.database.library_change(LibraryChange { groups, made_of, no_faces, ..LibraryChange::default() })?;
            Ok(Correction { group: None, name: None, faces: 0, gone: None })
        })
    }

    /// What was said to be no face is one after all: it is counted again, and in a group when they are grouped again. One
    /// that nobody said was none stays as it is.
    ///
    /// # Errors
    /// [`LibraryError::UnknownFace`], a store's error.
    pub fn a_face_again(&self, face: u64) -> Result<Correction> {
        self.in_turn(|| {
            let photos = self.photos()?;
            let found = photos.iter().find_map(|(id, p)| Some((id, p.faces.iter().find(|f| f.id == face)?)));
            let (photo, known) = found.ok_or(LibraryError::UnknownFace { face })?;
            if !known.no_face {
                return Ok(Correction { group: None, name: None, faces: 0, gone: None });
            }
            let made_of = self.groups_to_change()?.0;
            let faces_again = vec![(*photo, face)];
            self.database.library_change(LibraryChange { made_of, faces_again, ..LibraryChange::default() })?;
            Ok(Correction { group: None, name: None, faces: 0, gone: None })
        })
    }

    /// Does not show a group in lists, or shows it again.
    ///
    /// # Errors
    /// [`LibraryError::UnknownGroup`], a store's error.
    pub fn hide(&self, group: &str, hidden: bool) -> Result<Correction> {
        self.in_turn(|| {
            let (made_of, groups) = self.groups_to_change()?;
            let id = group_called(&groups, group)?;
            let record = GroupRecord { hidden, kept: true, ..groups[&id].clone() };
            self.put(made_of, vec![(Some(id), Some(record.clone()))])?;
            Ok(Correction::of(id, &record, None))
        })
    }

    /// Writes groups, all or none; the numbers that they have now.
    fn put(&self, made_of: Option<u64>, groups: Vec<(Option<u64>, Option<GroupRecord>)>) -> Result<Vec<u64>> {
        let groups = groups.into_iter().map(|(id, record)| GroupChange { id, record }).collect();
        Ok(self.database.library_change(LibraryChange { groups, made_of, ..LibraryChange::default() })?.1)
    }
}

/// These are not this person's.
fn take_out(record: &mut GroupRecord, faces: &[u64]) {
    record.faces.retain(|f| !faces.contains(f));
    record.not.extend(faces);
    record.not.sort_unstable();
    record.not.dedup();
    record.kept = true;
}

/// These are this person's.
fn put_in(record: &mut GroupRecord, faces: &[u64]) {
    record.faces.extend(faces);
    record.faces.sort_unstable();
    record.faces.dedup();
    record.not.retain(|f| !faces.contains(f));
    record.not.sort_unstable();
    record.not.dedup();
}
