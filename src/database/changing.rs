//! Enrolling, changing and forgetting people.

use std::collections::BTreeMap;

use super::Home::{Here, There};
use super::wire::Request as Ask;
use super::{Database, Pending, text};
use crate::error::Result;
use crate::gallery::{Enrolled, EnrolmentPolicy, NewFace, Person, PersonChange, Split};
use crate::vector::ModelId;

impl Database {
    /// Puts somebody into a gallery before their first face, and the gallery into the database where there
    /// is none of that name: its faces will be of `model`, with vectors of `dimension` values. Returns when
    /// it is on disk for good.
    ///
    /// # Errors
    /// [`crate::error::GalleryError::NameTaken`], [`crate::error::GalleryError::BadName`], or a store's error.
    pub fn add_person(
        &self,
        gallery: &str,
        name: &str,
        groups: &[String],
        labels: &BTreeMap<String, String>,
        model: &ModelId,
        dimension: usize,
    ) -> Result<Person> {
        match &self.0 {
            Here(d) => d.add_person(gallery, name, groups, labels, model, dimension),
            There(c) => c.ask(&Ask::AddPerson {
                gallery: text(gallery),
                name: text(name),
                groups: groups.to_vec(),
                labels: labels.clone(),
                model: model.clone(),
                dimension,
            }),
        }
    }

    /// Enrols a face and returns when it is on disk for good.
    ///
    /// # Errors
    /// [`crate::error::GalleryError::Gate`] when the gallery takes the face for somebody else,
    /// [`crate::error::GalleryError::WrongModel`], [`crate::error::GalleryError::BadName`], or a store's error.
    pub fn enroll(&self, gallery: &str, name: &str, face: NewFace, policy: &EnrolmentPolicy) -> Result<Enrolled> {
        if let Here(d) = &self.0 {
            return d.enroll(gallery, name, face, policy);
        }
        let (enrolled, pending) = self.enroll_pending(gallery, name, face, policy)?;
        self.settle(pending)?;
        Ok(enrolled)
    }

    /// [`Database::enroll`] without the wait: for many faces under one [`Database::settle`].
    ///
    /// # Errors
    /// As [`Database::enroll`].
    pub fn enroll_pending(
        &self,
        gallery: &str,
        name: &str,
        face: NewFace,
        policy: &EnrolmentPolicy,
    ) -> Result<(Enrolled, Pending)> {
        match &self.0 {
            Here(d) => {
                let (enrolled, pending) = d.enroll_pending(gallery, name, face, policy)?;
                Ok((enrolled, Pending(Some(pending))))
            }
            There(c) => {
                let (face, policy) = (Box::new(face.into()), policy.into());
                let enrolled = c.ask(&Ask::Enroll { gallery: text(gallery), name: text(name), face, policy })?;
                Ok((enrolled, Pending(None)))
            }
        }
    }

    /// Returns when the write, and every one before it, is on disk for good.
    ///
    /// # Errors
    /// [`crate::error::StoreError::Io`]; the database takes no more writes then.
    pub fn settle(&self, pending: Pending) -> Result<()> {
        match (&self.0, pending.0) {
            (Here(d), Some(pending)) => d.settle(pending),
            // A write of another database, which is none of this one's.
            (Here(_), None) => Ok(()),
            (There(c), _) => c.ask(&Ask::Settle),
        }
    }

    /// Gives a person another name.
    ///
    /// # Errors
    /// [`crate::error::GalleryError::UnknownPerson`], [`crate::error::GalleryError::NameTaken`], [`crate::error::GalleryError::BadName`].
    pub fn rename(&self, gallery: &str, name: &str, to: &str) -> Result<Person> {
        match &self.0 {
            Here(d) => d.rename(gallery, name, to),
            There(c) => c.ask(&Ask::Rename { gallery: text(gallery), name: text(name), to: text(to) }),
        }
    }

    /// Changes a person's groups and labels.
    ///
    /// # Errors
    /// [`crate::error::GalleryError::UnknownPerson`], [`crate::error::GalleryError::BadName`].
    pub fn label(&self, gallery: &str, name: &str, change: &PersonChange) -> Result<Person> {
        match &self.0 {
            Here(d) => d.label(gallery, name, change),
            There(c) => c.ask(&Ask::Label { gallery: text(gallery), name: text(name), change: change.clone() }),
        }
    }

    /// Makes two people one: `from`'s faces, groups and labels become `into`'s (whose labels win), and
    /// `from` is no more until [`Database::split`]. Whether the two are alike is for the caller to ask:
    /// [`Database::distance_between`].
    ///
    /// # Errors
    /// [`crate::error::GalleryError::UnknownPerson`].
    pub fn merge(&self, gallery: &str, from: &str, into: &str) -> Result<Person> {
        match &self.0 {
            Here(d) => d.merge(gallery, from, into),
            There(c) => c.ask(&Ask::Merge { gallery: text(gallery), from: text(from), into: text(into) }),
        }
    }

    /// Takes a merge back: whoever was merged into `name` (the last one, or the one called `taken`) is there again,
    /// with what is left of the faces that were theirs, under their own name or as `called`. Faces enrolled since stay.
    ///
    /// # Errors
    /// [`crate::error::GalleryError::UnknownPerson`], [`crate::error::GalleryError::NothingMerged`],
    /// [`crate::error::GalleryError::NameTaken`], [`crate::error::GalleryError::BadName`].
    pub fn split(&self, gallery: &str, name: &str, taken: Option<&str>, called: Option<&str>) -> Result<Split> {
        match &self.0 {
            Here(d) => d.split(gallery, name, taken, called),
            There(c) => {
                let (taken, called) = (taken.map(text), called.map(text));
                c.ask(&Ask::Split { gallery: text(gallery), name: text(name), taken, called })
            }
        }
    }

    /// Forgets a person: their record, faces and chips, and their name where groups of the photo library have it from
    /// them. Returns how many faces went. In an encrypted
    /// database the person's data keys are destroyed, so that no copy of what was theirs can be read any
    /// more, in backups neither. With `scrub` the store is rewritten, so that none of it stands in any of
    /// its files any more.
    ///
    /// # Errors
    /// [`crate::error::GalleryError::UnknownPerson`], or a store's error.
    pub fn forget(&self, gallery: &str, name: &str, scrub: bool) -> Result<usize> {
        match &self.0 {
            Here(d) => d.forget(gallery, name, scrub),
            There(c) => c.ask(&Ask::Forget { gallery: text(gallery), name: text(name), scrub }),
        }
    }

    /// Forgets one face; its person stays, with whatever faces are left. In an encrypted database these
    /// are sealed with a new data key, and the old one is destroyed: backups taken before hold nothing of
    /// this person that could be read.
    ///
    /// # Errors
    /// [`crate::error::GalleryError::UnknownFace`], or a store's error.
    pub fn forget_face(&self, gallery: &str, face: u64, scrub: bool) -> Result<Person> {
        match &self.0 {
            Here(d) => d.forget_face(gallery, face, scrub),
            There(c) => c.ask(&Ask::ForgetFace { gallery: text(gallery), face, scrub }),
        }
    }
}
