//! What somebody says of groups and faces. It holds for ever after: see the rules in `people`.

use std::collections::BTreeMap;

use serde::Serialize;

use super::look::usable;
use super::{Library, group_called};
use crate::database::Database;
use crate::error::{LibraryError, Result};
use crate::files::now_ms;
use crate::gallery::{GroupChange, LibraryChange, PhotoChange};
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
    /// Gives a group (its number or its name) a name. Where another group has that name, the two are one from now on.
    ///
    /// # Errors
    /// [`LibraryError::UnknownGroup`], [`LibraryError::BadName`], a store's error.
    pub fn name(&self, group: &str, name: &str) -> Result<Correction> {
        let groups = self.groups()?;
        let (id, name) = (group_called(&groups, group)?, usable(name)?);
        let key = Database::name_key(&name);
        let same = groups.iter().find(|(other, g)| **other != id && Database::name_key(&g.name) == key);
        if let Some((&other, _)) = same {
            return self.join(groups, id, other, Some(name));
        }
        let mut record = groups[&id].clone();
        (record.name, record.kept) = (name, true);
        self.put(vec![(id, Some(record.clone()))])?;
        Ok(Correction::of(id, &record, None))
    }

    /// Gives one face a name: it becomes the person's of that name, or the first of a new group.
    ///
    /// # Errors
    /// [`LibraryError::UnknownFace`], [`LibraryError::BadName`], a store's error.
    pub fn name_face(&self, face: u64, name: &str) -> Result<Correction> {
        let (photos, mut groups) = (self.photos()?, self.groups()?);
        let there = photos.values().any(|p| p.faces.iter().any(|f| f.id == face));
        if !there {
            return Err(LibraryError::UnknownFace { face }.into());
        }
        let name = usable(name)?;
        let key = Database::name_key(&name);
        let to = groups.iter().find(|(_, g)| Database::name_key(&g.name) == key).map(|(id, _)| *id);
        let mut changed: Vec<(u64, Option<GroupRecord>)> = Vec::new();
        for (id, record) in groups.iter_mut().filter(|(id, g)| Some(**id) != to && g.faces.contains(&face)) {
            take_out(record, &[face]);
            changed.push((*id, Some(record.clone())));
        }
        let mut record = to.and_then(|id| groups.get(&id).cloned()).unwrap_or_default();
        if to.is_none() {
            record.created_ms = now_ms();
        }
        (record.name, record.kept) = (name, true);
        put_in(&mut record, &[face]);
        self.put(changed)?;
        let change = GroupChange { id: to, record: Some(record.clone()) };
        let (_, numbers) =
            self.database.library_change(LibraryChange { groups: vec![change], ..LibraryChange::default() })?;
        Ok(Correction::of(numbers[0], &record, None))
    }

    /// Makes two groups one: the second has the faces of both from now on.
    ///
    /// # Errors
    /// [`LibraryError::UnknownGroup`], [`LibraryError::TwoNames`], a store's error.
    pub fn merge(&self, from: &str, into: &str) -> Result<Correction> {
        let groups = self.groups()?;
        let (from, into) = (group_called(&groups, from)?, group_called(&groups, into)?);
        let (a, b) = (&groups[&from], &groups[&into]);
        if from == into {
            return Ok(Correction::of(into, b, None));
        }
        if !a.name.is_empty() && !b.name.is_empty() && a.kept && b.kept {
            let (theirs, name) = (a.name.clone(), b.name.clone());
            return Err(LibraryError::TwoNames { from, theirs, into, name }.into());
        }
        let name = if b.name.is_empty() { &a.name } else { &b.name };
        let name = (!name.is_empty()).then(|| name.clone());
        self.join(groups, from, into, name)
    }

    fn join(
        &self,
        mut groups: BTreeMap<u64, GroupRecord>,
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
        self.put(vec![(from, None), (into, Some(record.clone()))])?;
        Ok(Correction::of(into, &record, Some(from)))
    }

    /// Two groups are two people's: none of the second's faces is ever the first's, and nobody is asked again.
    ///
    /// # Errors
    /// [`LibraryError::UnknownGroup`], a store's error.
    pub fn different(&self, one: &str, other: &str) -> Result<Correction> {
        let groups = self.groups()?;
        let (id, other) = (group_called(&groups, one)?, group_called(&groups, other)?);
        let mut record = groups[&id].clone();
        if id != other {
            let theirs: Vec<u64> = groups[&other].faces.iter().filter(|f| !record.faces.contains(f)).copied().collect();
            take_out(&mut record, &theirs);
            self.put(vec![(id, Some(record.clone()))])?;
        }
        Ok(Correction::of(id, &record, None))
    }

    /// Takes faces out of their group for ever: they are somebody else's, all of them one person's, who is a group of their
    /// own. Returns that group.
    ///
    /// # Errors
    /// [`LibraryError::UnknownGroup`], [`LibraryError::UnknownFace`] for a face that is not in it, a store's error.
    pub fn split(&self, group: &str, faces: &[u64]) -> Result<Correction> {
        let groups = self.groups()?;
        let id = group_called(&groups, group)?;
        let mut record = groups[&id].clone();
        if let Some(face) = faces.iter().find(|f| !record.faces.contains(f)) {
            return Err(LibraryError::UnknownFace { face: *face }.into());
        }
        take_out(&mut record, faces);
        let mut parted = GroupRecord { kept: true, created_ms: now_ms(), ..GroupRecord::default() };
        put_in(&mut parted, faces);
        let changes = vec![
            GroupChange { id: Some(id), record: Some(record) },
            GroupChange { id: None, record: Some(parted.clone()) },
        ];
        let (_, numbers) =
            self.database.library_change(LibraryChange { groups: changes, ..LibraryChange::default() })?;
        Ok(Correction::of(numbers[1], &parted, None))
    }

    /// A face is not the person's whose group it is in: it never comes back there.
    ///
    /// # Errors
    /// [`LibraryError::Ungrouped`], a store's error.
    pub fn not_this_person(&self, face: u64) -> Result<Correction> {
        let mut groups = self.groups()?;
        let found = groups.iter_mut().find(|(_, g)| g.faces.contains(&face));
        let (id, record) = found.ok_or(LibraryError::Ungrouped { face })?;
        take_out(record, &[face]);
        let answer = Correction { gone: None, ..Correction::of(*id, record, None) };
        let changed = vec![(*id, Some(record.clone()))];
        self.put(changed)?;
        Ok(answer)
    }

    /// What was found is no face: it is in no group, and not counted, from now on.
    ///
    /// # Errors
    /// [`LibraryError::UnknownFace`], a store's error.
    pub fn not_a_face(&self, face: u64) -> Result<Correction> {
        let mut photos = self.photos()?;
        let found = photos.iter_mut().find(|(_, p)| p.faces.iter().any(|f| f.id == face));
        let (id, photo) = found.ok_or(LibraryError::UnknownFace { face })?;
        photo.faces.iter_mut().filter(|f| f.id == face).for_each(|f| f.no_face = true);
        let photos = vec![PhotoChange { id: Some(*id), record: Some(photo.clone()), pictures: None }];
        let groups = super::people::without(self.groups()?, &[face].into());
        self.database.library_change(LibraryChange { photos, groups, scrub: false })?;
        Ok(Correction { group: None, name: None, faces: 0, gone: None })
    }

    /// Does not show a group in lists, or shows it again.
    ///
    /// # Errors
    /// [`LibraryError::UnknownGroup`], a store's error.
    pub fn hide(&self, group: &str, hidden: bool) -> Result<Correction> {
        let groups = self.groups()?;
        let id = group_called(&groups, group)?;
        let record = GroupRecord { hidden, kept: true, ..groups[&id].clone() };
        self.put(vec![(id, Some(record.clone()))])?;
        Ok(Correction::of(id, &record, None))
    }

    fn put(&self, groups: Vec<(u64, Option<GroupRecord>)>) -> Result<()> {
        let groups = groups.into_iter().map(|(id, record)| GroupChange { id: Some(id), record }).collect();
        self.database.library_change(LibraryChange { groups, ..LibraryChange::default() })?;
        Ok(())
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
