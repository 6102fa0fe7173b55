//! The service's side of a conversation: a request to the call that it stands for.

use super::Database;
use super::wire::{Claim, Hello, PROGRAM, PROTOCOL, Request, encode};
use crate::error::{RefusalError, Result, StoreError};
use crate::gallery::{self, FaceAnew, NewFace, Pending};
use crate::vector::Embedding;
use crate::verify::Calibration;

/// A conversation with a command about the galleries of this process.
#[derive(Debug)]
pub(crate) struct Conversation<'a> {
    database: &'a gallery::Database,
    hello: Hello,
    /// Its last enrolment that nobody has waited for.
    pending: Option<Pending>,
}

/// Hears how far a call is: done, and all, where that is known. What it fails with ends the call where that can be
/// broken off.
pub(crate) type Told<'a> = &'a dyn Fn(u64, u64) -> Result<()>;

impl<'a> Conversation<'a> {
    /// Begins one; `None` about galleries that are not in this process.
    ///
    /// # Errors
    /// [`StoreError::BadKey`] when the system has no random numbers.
    pub(crate) fn begin(database: &'a Database) -> Result<Option<Self>> {
        let Some(database) = database.here() else { return Ok(None) };
        let hello = Hello {
            protocol: PROTOCOL,
            program: PROGRAM.to_string(),
            process: std::process::id(),
            folder: database.folder().display().to_string(),
            encrypted: database.is_encrypted(),
            challenge: crate::store::random()?,
        };
        Ok(Some(Self { database, hello, pending: None }))
    }

    /// What is said first.
    pub(crate) fn hello(&self) -> &Hello {
        &self.hello
    }

    /// Whether whoever claims this may go on.
    ///
    /// # Errors
    /// [`StoreError::OtherVersion`]; those of a wrong or a missing key.
    pub(crate) fn admit(&self, claim: &Claim) -> Result<()> {
        if (claim.protocol, claim.program.as_str()) != (PROTOCOL, PROGRAM) {
            return Err(StoreError::OtherVersion {
                path: self.database.folder().display().to_string(),
                process: self.hello.process,
                service: PROGRAM.to_string(),
                command: claim.program.clone(),
            }
            .into());
        }
        Ok(self.database.check_proof(&self.hello.challenge, claim.proof.as_deref())?)
    }

    /// Calls what the request names; the answer is what that returns, as bytes. What was written is on disk for good
    /// then, but for an enrolment, which [`Request::Settle`] waits for.
    ///
    /// # Errors
    /// Those of the method.
    pub(crate) fn answer(&mut self, request: Request, told: Told) -> Result<Vec<u8>> {
        let database = self.database;
        // An index is built to its end: it is for every search that comes after, not for this command alone.
        let far = |done: usize, all: usize| drop(told(done as u64, all as u64));
        let one_more = || told(1, 0);
        match request {
            Request::Galleries => encode(&database.galleries()),
            Request::Stats => encode(&database.stats()?),
            Request::ModelOf { gallery } => encode(&database.model_of(&gallery)),
            Request::DetectorOf { gallery } => encode(&database.detector_of(&gallery)),
            Request::Impostors { gallery, record } => {
                let record = Calibration::parse(&record).map_err(|reason| RefusalError::CannotCalibrate { reason })?;
                encode(&database.impostors(&gallery, &record)?)
            }
            Request::People { gallery, filter } => encode(&database.people(&gallery, &filter)?),
            Request::PeoplePage { gallery, filter, containing, after, limit } => {
                encode(&database.people_page(&gallery, &filter, containing.as_deref(), after.as_deref(), limit)?)
            }
            Request::FacesPage { gallery, person, skip, limit } => {
                encode(&database.faces_page(&gallery, person.as_deref(), skip, limit)?)
            }
            Request::Person { gallery, name } => encode(&database.person(&gallery, &name)?),
            Request::Face { gallery, face } => encode(&database.face(&gallery, face)?),
            Request::Thumbnail { gallery, face } => encode(&database.thumbnail(&gallery, face)?),
            Request::PicturedFace { gallery, person } => encode(&database.pictured_face(&gallery, person)?),
            Request::DistanceToFace { gallery, face, probe } => {
                encode(&database.distance_to_face(&gallery, face, &probe.try_into()?)?)
            }
            Request::NearestFaceOf { gallery, name, probe } => {
                encode(&database.nearest_face_of(&gallery, &name, &probe.try_into()?)?)
            }
            Request::HasPhoto { gallery, name, sha256 } => encode(&database.has_photo(&gallery, &name, &sha256)),
            Request::Searched { gallery, sought } => encode(&database.searched(&gallery, &sought.into())?),
            Request::Nearest { gallery, probe, sought, exact } => {
                let probe: Embedding = probe.try_into()?;
                encode(&database.nearest(&gallery, &probe, &sought.into(), exact)?)
            }
            Request::AddPerson { gallery, name, groups, labels, model, dimension } => {
                encode(&database.add_person(&gallery, &name, &groups, &labels, &model, dimension)?)
            }
            Request::Enroll { gallery, name, face, policy } => {
                let face: NewFace = (*face).try_into()?;
                let (enrolled, pending) = database.enroll_pending(&gallery, &name, face, &policy.into())?;
                self.pending = Some(pending);
                encode(&enrolled)
            }
            Request::Settle => {
                if let Some(pending) = self.pending {
                    database.settle(pending)?;
                    self.pending = None;
                }
                encode(&())
            }
            Request::Rename { gallery, name, to } => encode(&database.rename(&gallery, &name, &to)?),
            Request::Label { gallery, name, change } => encode(&database.label(&gallery, &name, &change)?),
            Request::Merge { gallery, from, into } => encode(&database.merge(&gallery, &from, &into)?),
            Request::DistanceBetween { gallery, one, other } => {
                encode(&database.distance_between(&gallery, &one, &other)?)
            }
            Request::Split { gallery, name, taken, called } => {
                encode(&database.split(&gallery, &name, taken.as_deref(), called.as_deref())?)
            }
            Request::Forget { gallery, name, scrub } => encode(&database.forget(&gallery, &name, scrub)?),
            Request::ForgetFace { gallery, face, scrub } => encode(&database.forget_face(&gallery, face, scrub)?),
            Request::Check => encode(&database.check()?),
            Request::UseIndex { gallery, choice } => encode(&database.use_index(&gallery, choice, &far)?),
            Request::Reindex { gallery, choice } => encode(&database.reindex(&gallery, choice, &far)?),
            Request::Backup { file, ring } => {
                encode(&database.backup(file.path(), ring.map(super::wire::FilePath::path).as_deref())?)
            }
            Request::Export { gallery, folder, chips } => {
                encode(&database.export_telling(&gallery, &folder.path(), chips, &one_more)?)
            }
            Request::Import { gallery, folder } => {
                encode(&database.import_telling(&gallery, &folder.path(), &one_more)?)
            }
            Request::ReembedStart { gallery, model, detector, dimension } => {
                encode(&database.reembed_start(&gallery, &model, &detector, dimension)?)
            }
            Request::ReembedLeft { change } => encode(&database.reembed_left(&change)?),
            Request::ReembedFace { change, face } => encode(&database.reembed_face(&change, face)?),
            Request::ReembedPut { change, faces } => {
                let faces: Vec<FaceAnew> = faces.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?;
                self.pending = Some(database.reembed_put(&change, faces)?);
                encode(&())
            }
            Request::ReembedFinish { change, leave_out } => encode(&database.reembed_finish(&change, leave_out)?),
            Request::LibraryPhotos { after, most } => encode(&database.library_photos(after, most)?),
            Request::LibraryGroups => encode(&database.library_groups()?),
            Request::LibraryPictures { photo } => encode(&database.library_pictures(photo)?),
            Request::ChangeLibrary { change } => encode(&database.library_change(change)?),
            Request::NamedVectors { gallery } => encode(&database.named_vectors(&gallery)),
        }
    }
}
