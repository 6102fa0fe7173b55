//! Reading and searching galleries.

use super::Home::{Here, There};
use super::wire::Request as Ask;
use super::{Database, text};
use crate::error::{RefusalError, Result};
use crate::gallery::{
    self, Enrolled, EnrolledFace, FacePage, Identification, Nearest, PeopleOrder, PeoplePage, PeopleSlice, Person,
    PersonFilter, SearchPolicy,
};
use crate::vector::{Embedding, ModelId};
use crate::verify::{Calibration, ImpostorReport, Threshold};

impl Database {
    /// Holds a calibration record against the impostor pairs of a gallery: all pairs of faces of two people, of at most
    /// 10,000 faces.
    ///
    /// # Errors
    /// [`crate::error::GalleryError::UnknownGallery`].
    pub fn impostors(&self, gallery: &str, record: &Calibration) -> Result<ImpostorReport> {
        match &self.0 {
            Here(d) => d.impostors(gallery, record),
            There(c) => {
                let failed = |e: serde_json::Error| RefusalError::CannotCalibrate { reason: e.to_string() };
                let record = serde_json::to_string(record).map_err(failed)?;
                c.ask(&Ask::Impostors { gallery: text(gallery), record })
            }
        }
    }

    /// The people of a gallery, by name.
    ///
    /// # Errors
    /// [`crate::error::GalleryError::UnknownGallery`].
    pub fn people(&self, gallery: &str, filter: &PersonFilter) -> Result<Vec<Person>> {
        match &self.0 {
            Here(d) => d.people(gallery, filter),
            There(c) => c.ask(&Ask::People { gallery: text(gallery), filter: filter.clone() }),
        }
    }

    /// At most `limit` people of a gallery, by name, from the first after `after`; with `containing` only
    /// those whose name holds that text, in whatever case.
    ///
    /// # Errors
    /// [`crate::error::GalleryError::UnknownGallery`].
    pub fn people_page(
        &self,
        gallery: &str,
        filter: &PersonFilter,
        containing: Option<&str>,
        after: Option<&str>,
        limit: usize,
    ) -> Result<PeoplePage> {
        match &self.0 {
            Here(d) => d.people_page(gallery, filter, containing, after, limit),
            There(c) => c.ask(&Ask::PeoplePage {
                gallery: text(gallery),
                filter: filter.clone(),
                containing: containing.map(text),
                after: after.map(text),
                limit,
            }),
        }
    }

    /// At most `limit` people of a gallery in that order, after the first `skip`; with `containing` only those whose name
    /// holds that text, in whatever case. It looks at everybody.
    ///
    /// # Errors
    /// [`crate::error::GalleryError::UnknownGallery`].
    pub fn people_slice(
        &self,
        gallery: &str,
        filter: &PersonFilter,
        containing: Option<&str>,
        order: PeopleOrder,
        (skip, limit): (usize, usize),
    ) -> Result<PeopleSlice> {
        match &self.0 {
            Here(d) => d.people_slice(gallery, filter, containing, order, (skip, limit)),
            There(_) => {
                let people = self.people(gallery, filter)?;
                Ok(PeopleSlice::of(people, containing, order, (skip, limit)))
            }
        }
    }

    /// At most `limit` faces of a gallery, or of one person, after the first `skip`.
    ///
    /// # Errors
    /// [`crate::error::GalleryError::UnknownGallery`], [`crate::error::GalleryError::UnknownPerson`].
    pub fn faces_page(&self, gallery: &str, person: Option<&str>, skip: usize, limit: usize) -> Result<FacePage> {
        match &self.0 {
            Here(d) => d.faces_page(gallery, person, skip, limit),
            There(c) => c.ask(&Ask::FacesPage { gallery: text(gallery), person: person.map(text), skip, limit }),
        }
    }

    /// A person and their faces.
    ///
    /// # Errors
    /// [`crate::error::GalleryError::UnknownPerson`].
    pub fn person(&self, gallery: &str, name: &str) -> Result<(Person, Vec<EnrolledFace>)> {
        match &self.0 {
            Here(d) => d.person(gallery, name),
            There(c) => c.ask(&Ask::Person { gallery: text(gallery), name: text(name) }),
        }
    }

    /// A face, and the person whose it is.
    ///
    /// # Errors
    /// [`crate::error::GalleryError::UnknownGallery`], [`crate::error::GalleryError::UnknownFace`].
    pub fn face(&self, gallery: &str, face: u64) -> Result<(Person, EnrolledFace)> {
        match &self.0 {
            Here(d) => d.face(gallery, face),
            There(c) => c.ask(&Ask::Face { gallery: text(gallery), face }),
        }
    }

    /// A face in its surroundings, as a JPEG file, where it was kept.
    ///
    /// # Errors
    /// [`crate::error::GalleryError::UnknownGallery`], [`crate::error::GalleryError::UnknownFace`].
    pub fn thumbnail(&self, gallery: &str, face: u64) -> Result<Option<Vec<u8>>> {
        match &self.0 {
            Here(d) => d.thumbnail(gallery, face),
            There(c) => c.ask(&Ask::Thumbnail { gallery: text(gallery), face }),
        }
    }

    /// The first face of a person of which a picture was kept; none for one who is not there.
    ///
    /// # Errors
    /// [`crate::error::GalleryError::UnknownGallery`].
    pub fn pictured_face(&self, gallery: &str, person: u64) -> Result<Option<u64>> {
        match &self.0 {
            Here(d) => d.pictured_face(gallery, person),
            There(c) => c.ask(&Ask::PicturedFace { gallery: text(gallery), person }),
        }
    }

    /// How far a probe is from a face of the gallery: the Euclidean distance between the unit vectors, 0 to 2.
    ///
    /// # Errors
    /// [`crate::error::GalleryError::UnknownGallery`], [`crate::error::GalleryError::UnknownFace`], [`crate::error::GalleryError::WrongModel`].
    pub fn distance_to_face(&self, gallery: &str, face: u64, probe: &Embedding) -> Result<f32> {
        match &self.0 {
            Here(d) => d.distance_to_face(gallery, face, probe),
            There(c) => c.ask(&Ask::DistanceToFace { gallery: text(gallery), face, probe: probe.into() }),
        }
    }

    /// The nearest of one person's faces to a probe: its number, and the Euclidean distance; none where the
    /// person has no face. Beside it how many faces the person has.
    ///
    /// # Errors
    /// [`crate::error::GalleryError::UnknownGallery`], [`crate::error::GalleryError::UnknownPerson`], [`crate::error::GalleryError::WrongModel`].
    pub fn nearest_face_of(
        &self,
        gallery: &str,
        name: &str,
        probe: &Embedding,
    ) -> Result<(Person, Option<(u64, f32)>)> {
        match &self.0 {
            Here(d) => d.nearest_face_of(gallery, name, probe),
            There(c) => c.ask(&Ask::NearestFaceOf { gallery: text(gallery), name: text(name), probe: probe.into() }),
        }
    }

    /// How far apart the nearest faces of two people are: the Euclidean distance between the unit vectors, 0 to 2. None
    /// where one of them has no face.
    ///
    /// # Errors
    /// [`crate::error::GalleryError::UnknownGallery`], [`crate::error::GalleryError::UnknownPerson`].
    pub fn distance_between(&self, gallery: &str, one: &str, other: &str) -> Result<Option<f32>> {
        match &self.0 {
            Here(d) => d.distance_between(gallery, one, other),
            There(c) => c.ask(&Ask::DistanceBetween { gallery: text(gallery), one: text(one), other: text(other) }),
        }
    }

    /// The face that a person has from the file with that digest, if any: such a photo need not be
    /// looked at again.
    pub fn has_photo(&self, gallery: &str, name: &str, sha256: &[u8; 32]) -> Option<Enrolled> {
        match &self.0 {
            Here(d) => d.has_photo(gallery, name, sha256),
            // Without the service the photo is looked at, and enrolling it says why not.
            There(c) => {
                c.ask(&Ask::HasPhoto { gallery: text(gallery), name: text(name), sha256: *sha256 }).ok().flatten()
            }
        }
    }

    /// The line that `policy` draws in a gallery of `comparisons` faces.
    ///
    /// # Errors
    /// [`crate::error::RefusalError`] when the policy asks for a rate and there is no calibration.
    pub fn threshold(
        policy: &SearchPolicy,
        calibration: Option<&Calibration>,
        model: &ModelId,
        comparisons: usize,
    ) -> Result<Threshold> {
        gallery::Database::threshold(policy, calibration, model, comparisons)
    }

    /// Comparisons that a search under `policy` counts as: faces looked at, or
    /// [`template_comparisons`](crate::template_comparisons) of each template.
    ///
    /// # Errors
    /// [`crate::error::GalleryError::UnknownGallery`].
    pub fn searched(&self, gallery: &str, policy: &SearchPolicy) -> Result<usize> {
        match &self.0 {
            Here(d) => d.searched(gallery, policy),
            There(c) => c.ask(&Ask::Searched { gallery: text(gallery), sought: policy.into() }),
        }
    }

    /// The people of a gallery nearest to a face, and whether the nearest is near enough.
    ///
    /// # Errors
    /// [`crate::error::GalleryError::UnknownGallery`], [`crate::error::GalleryError::WrongModel`], or [`crate::error::RefusalError`] when the
    /// policy cannot be kept.
    pub fn identify(
        &self,
        gallery: &str,
        probe: &Embedding,
        policy: &SearchPolicy,
        calibration: Option<&Calibration>,
    ) -> Result<Identification> {
        match &self.0 {
            Here(d) => d.identify(gallery, probe, policy, calibration),
            There(c) => {
                let exact = c.searches_by_scan(gallery);
                let (gallery, sought) = (text(gallery), policy.into());
                let nearest: Nearest = c.ask(&Ask::Nearest { gallery, probe: probe.into(), sought, exact })?;
                nearest.judged(probe, policy, calibration)
            }
        }
    }
}
