//! The facade [`Database`]: galleries that this process has open, or a running service that has them open and answers
//! for them over a local socket. Whoever holds it need not know which.
//!
//! The socket lies in the database's folder and is its owner's alone. A conversation (`wire`) carries the methods of
//! this facade one by one: what the networks do, and where a line is drawn between two people, stays with whoever
//! asks; only galleries are the service's.

#[cfg(all(unix, feature = "serve"))]
mod answer;
#[cfg(unix)]
mod connection;
#[cfg(unix)]
mod socket;
mod turn;
#[cfg_attr(not(unix), allow(dead_code))] // there is no local socket to speak over
mod wire;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

#[cfg(all(unix, feature = "serve"))]
pub(crate) use answer::Conversation;
#[cfg(unix)]
use connection::{Connection, server};
#[cfg(all(unix, feature = "serve"))]
pub(crate) use socket::Reach;
pub use turn::in_turn;
#[cfg(all(unix, feature = "serve"))]
pub(crate) use wire::{
    Claim, DONE, FAILED, Fault, HELLO, LARGEST_REQUEST, PROGRESS, REQUEST, Request, SOCKET, begin, decode, encode,
    rest, send,
};

use crate::error::{GalleryError, Result};
#[cfg(all(unix, feature = "serve"))]
pub(crate) use crate::gallery::Nearest;
use crate::gallery::{
    self, Backup, CheckReport, DatabaseOptions, DatabaseStats, Enrolled, EnrolledFace, EnrolmentPolicy, Exported,
    FaceAnew, FacePage, FaceToEmbed, Identification, Imported, IndexStats, NewFace, PeoplePage, Person, PersonChange,
    PersonFilter, Reembedding, SearchPolicy, Threshold,
};
use crate::index::IndexChoice;
use crate::store::MasterKey;
use crate::vector::{Embedding, ModelId};
use crate::verify::Calibration;
use wire::{FilePath, Request as Ask};

#[cfg(not(unix))]
use nowhere::{Connection, server};

/// An open database: galleries of people. Shared by threads; every method takes `&self`.
///
/// ```
/// use kith::{Database, DatabaseOptions};
/// let folder = tempfile::tempdir().unwrap();
/// let database = Database::open(folder.path().join("faces"), &DatabaseOptions::default())?;
/// assert!(database.galleries().is_empty());
/// # Ok::<(), kith::Error>(())
/// ```
#[derive(Debug)]
pub struct Database(Home);

/// Where the galleries are. One of these is made in a process's life, so their sizes may differ.
#[derive(Debug)]
#[allow(clippy::large_enum_variant)]
enum Home {
    /// In this process.
    Here(gallery::Database),
    /// In the service's.
    There(Connection),
}

use Home::{Here, There};

/// A write that is in memory and in the store's log, and not yet on disk for good.
#[derive(Debug, Clone, Copy)]
#[must_use = "nothing is acknowledged before it is settled"]
pub struct Pending(Option<gallery::Pending>);

fn text(text: &str) -> String {
    text.to_string()
}

impl Database {
    /// Opens the database in a folder for this process alone, reads every record once and checks it.
    ///
    /// # Errors
    /// [`crate::error::StoreError`]: another process has it, a newer program wrote it, it is damaged or
    /// not a database. Nothing is changed then.
    pub fn open(path: impl AsRef<Path>, options: &DatabaseOptions) -> Result<Self> {
        Ok(Self(Here(gallery::Database::open(path, options)?)))
    }

    /// Opens the database in a folder, or joins the service that has it open (`kith serve`, or a program that calls
    /// `serve::run`), which then answers for it. While any other process has it, this waits its turn for as long as
    /// the options say; `told` hears once who that is, if it takes more than a moment.
    ///
    /// # Errors
    /// As [`Database::open`]; [`crate::error::StoreError::OtherVersion`] and
    /// [`crate::error::StoreError::Connection`] for a service that cannot be joined.
    pub fn join(path: impl AsRef<Path>, options: &DatabaseOptions, told: &dyn Fn(&str)) -> Result<Self> {
        let path = path.as_ref();
        let now = DatabaseOptions { wait: Duration::ZERO, ..options.clone() };
        let open = || Self::open(path, &now);
        turn::turn_or_service(options.wait, told, open, |_| {
            Ok(Connection::to(path, options.key.as_ref())?.map(|c| Self(There(c))))
        })
    }

    /// Makes a database in a new or empty folder out of a backup; out of an encrypted one with its master
    /// key and the newest copy of its key ring (the living database's own will do).
    ///
    /// # Errors
    /// [`crate::error::StoreError::BadArchive`] for a file that is not a whole backup,
    /// [`crate::error::StoreError::NotADatabase`] when something is in the folder, and those of keys.
    pub fn restore(
        file: impl AsRef<Path>,
        folder: impl AsRef<Path>,
        key: Option<&MasterKey>,
        ring: Option<&Path>,
    ) -> Result<Backup> {
        gallery::Database::restore(file, folder, key, ring)
    }

    /// Gives a database another master key, encrypts it (`options.key` is none), or makes it plain (`new`
    /// is none). With another master key the data keys stay, and backups taken before open with the new
    /// ring.
    ///
    /// # Errors
    /// A [`crate::error::StoreError`]; the database is then as it was.
    pub fn rekey(path: impl AsRef<Path>, options: &DatabaseOptions, new: Option<&MasterKey>) -> Result<()> {
        gallery::Database::rekey(path, options, new)
    }

    /// The folder, where the galleries are in this process.
    #[cfg(all(unix, feature = "serve"))]
    pub(crate) fn folder(&self) -> Option<&Path> {
        self.here().map(gallery::Database::folder)
    }

    /// The galleries, where they are in this process.
    #[cfg(all(unix, feature = "serve"))]
    fn here(&self) -> Option<&gallery::Database> {
        match &self.0 {
            Here(d) => Some(d),
            There(_) => None,
        }
    }

    /// What had to be set right when the database was opened, one sentence each: records made again from the journal,
    /// a forgetting that had been interrupted. What a service found is the service's to say.
    pub fn notes(&self) -> &[String] {
        match &self.0 {
            Here(d) => d.notes(),
            There(_) => &[],
        }
    }

    /// Why nothing can be written at present, if so: the disk is full, or a write has failed half-way. A disk that has
    /// room again is noticed by this call. What a service meets is the service's to say.
    pub fn trouble(&self) -> Option<crate::error::Error> {
        match &self.0 {
            Here(d) => d.trouble(),
            There(_) => None,
        }
    }

    /// Why the database cannot be changed, where its disk may only be read.
    pub fn read_only(&self) -> Option<&str> {
        match &self.0 {
            Here(d) => d.read_only(),
            There(_) => None,
        }
    }

    /// Names of the galleries. None where the service that has them has gone: the next call says so.
    pub fn galleries(&self) -> Vec<String> {
        match &self.0 {
            Here(d) => d.galleries(),
            There(c) => c.ask(&Ask::Galleries).unwrap_or_default(),
        }
    }

    /// The database in numbers.
    ///
    /// # Errors
    /// [`crate::error::StoreError::Io`].
    pub fn stats(&self) -> Result<DatabaseStats> {
        match &self.0 {
            Here(d) => d.stats(),
            There(c) => {
                let stats: DatabaseStats = c.ask(&Ask::Stats)?;
                Ok(DatabaseStats { path: c.folder().to_path_buf(), ..stats })
            }
        }
    }

    /// The model of a gallery's faces; `None` where there is no such gallery.
    pub fn model_of(&self, gallery: &str) -> Option<ModelId> {
        match &self.0 {
            Here(d) => d.model_of(gallery),
            // Without the service there is none either, and the next call says so.
            There(c) => c.ask(&Ask::ModelOf { gallery: text(gallery) }).ok().flatten(),
        }
    }

    /// The people of a gallery, by name.
    ///
    /// # Errors
    /// [`GalleryError::UnknownGallery`].
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
    /// [`GalleryError::UnknownGallery`].
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

    /// At most `limit` faces of a gallery, or of one person, after the first `skip`.
    ///
    /// # Errors
    /// [`GalleryError::UnknownGallery`], [`GalleryError::UnknownPerson`].
    pub fn faces_page(&self, gallery: &str, person: Option<&str>, skip: usize, limit: usize) -> Result<FacePage> {
        match &self.0 {
            Here(d) => d.faces_page(gallery, person, skip, limit),
            There(c) => c.ask(&Ask::FacesPage { gallery: text(gallery), person: person.map(text), skip, limit }),
        }
    }

    /// A person and their faces.
    ///
    /// # Errors
    /// [`GalleryError::UnknownPerson`].
    pub fn person(&self, gallery: &str, name: &str) -> Result<(Person, Vec<EnrolledFace>)> {
        match &self.0 {
            Here(d) => d.person(gallery, name),
            There(c) => c.ask(&Ask::Person { gallery: text(gallery), name: text(name) }),
        }
    }

    /// A face, and the person whose it is.
    ///
    /// # Errors
    /// [`GalleryError::UnknownGallery`], [`GalleryError::UnknownFace`].
    pub fn face(&self, gallery: &str, face: u64) -> Result<(Person, EnrolledFace)> {
        match &self.0 {
            Here(d) => d.face(gallery, face),
            There(c) => c.ask(&Ask::Face { gallery: text(gallery), face }),
        }
    }

    /// A face in its surroundings, as a JPEG file, where it was kept.
    ///
    /// # Errors
    /// [`GalleryError::UnknownGallery`], [`GalleryError::UnknownFace`].
    pub fn thumbnail(&self, gallery: &str, face: u64) -> Result<Option<Vec<u8>>> {
        match &self.0 {
            Here(d) => d.thumbnail(gallery, face),
            There(c) => c.ask(&Ask::Thumbnail { gallery: text(gallery), face }),
        }
    }

    /// The first face of a person of which a picture was kept; none for one who is not there.
    ///
    /// # Errors
    /// [`GalleryError::UnknownGallery`].
    pub fn pictured_face(&self, gallery: &str, person: u64) -> Result<Option<u64>> {
        match &self.0 {
            Here(d) => d.pictured_face(gallery, person),
            There(c) => c.ask(&Ask::PicturedFace { gallery: text(gallery), person }),
        }
    }

    /// How far a probe is from a face of the gallery: the Euclidean distance between the unit vectors, 0 to 2.
    ///
    /// # Errors
    /// [`GalleryError::UnknownGallery`], [`GalleryError::UnknownFace`], [`GalleryError::WrongModel`].
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
    /// [`GalleryError::UnknownGallery`], [`GalleryError::UnknownPerson`], [`GalleryError::WrongModel`].
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
    /// [`GalleryError::UnknownGallery`].
    pub fn searched(&self, gallery: &str, policy: &SearchPolicy) -> Result<usize> {
        match &self.0 {
            Here(d) => d.searched(gallery, policy),
            There(c) => c.ask(&Ask::Searched { gallery: text(gallery), sought: policy.into() }),
        }
    }

    /// The people of a gallery nearest to a face, and whether the nearest is near enough.
    ///
    /// # Errors
    /// [`GalleryError::UnknownGallery`], [`GalleryError::WrongModel`], or [`crate::error::RefusalError`] when the
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
                let nearest: gallery::Nearest = c.ask(&Ask::Nearest { gallery, probe: probe.into(), sought, exact })?;
                nearest.judged(probe, policy, calibration)
            }
        }
    }

    /// Puts somebody into a gallery before their first face, and the gallery into the database where there
    /// is none of that name: its faces will be of `model`, with vectors of `dimension` values. Returns when
    /// it is on disk for good.
    ///
    /// # Errors
    /// [`GalleryError::NameTaken`], [`GalleryError::BadName`], or a store's error.
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
    /// [`GalleryError::Gate`] when the gallery takes the face for somebody else,
    /// [`GalleryError::WrongModel`], [`GalleryError::BadName`], or a store's error.
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
    /// [`GalleryError::UnknownPerson`], [`GalleryError::NameTaken`], [`GalleryError::BadName`].
    pub fn rename(&self, gallery: &str, name: &str, to: &str) -> Result<Person> {
        match &self.0 {
            Here(d) => d.rename(gallery, name, to),
            There(c) => c.ask(&Ask::Rename { gallery: text(gallery), name: text(name), to: text(to) }),
        }
    }

    /// Changes a person's groups and labels.
    ///
    /// # Errors
    /// [`GalleryError::UnknownPerson`], [`GalleryError::BadName`].
    pub fn label(&self, gallery: &str, name: &str, change: &PersonChange) -> Result<Person> {
        match &self.0 {
            Here(d) => d.label(gallery, name, change),
            There(c) => c.ask(&Ask::Label { gallery: text(gallery), name: text(name), change: change.clone() }),
        }
    }

    /// Makes two people one: `from`'s faces, groups and labels become `into`'s (whose labels win), and
    /// `from` is no more.
    ///
    /// # Errors
    /// [`GalleryError::UnknownPerson`].
    pub fn merge(&self, gallery: &str, from: &str, into: &str) -> Result<Person> {
        match &self.0 {
            Here(d) => d.merge(gallery, from, into),
            There(c) => c.ask(&Ask::Merge { gallery: text(gallery), from: text(from), into: text(into) }),
        }
    }

    /// Forgets a person: their record, faces and chips. Returns how many faces went. In an encrypted
    /// database the person's data keys are destroyed, so that no copy of what was theirs can be read any
    /// more, in backups neither. With `scrub` the store is rewritten, so that none of it stands in any of
    /// its files any more.
    ///
    /// # Errors
    /// [`GalleryError::UnknownPerson`], or a store's error.
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
    /// [`GalleryError::UnknownFace`], or a store's error.
    pub fn forget_face(&self, gallery: &str, face: u64, scrub: bool) -> Result<Person> {
        match &self.0 {
            Here(d) => d.forget_face(gallery, face, scrub),
            There(c) => c.ask(&Ask::ForgetFace { gallery: text(gallery), face, scrub }),
        }
    }

    /// Reads every record again and holds memory against the store.
    ///
    /// # Errors
    /// Only when reading itself fails; faults are in the report.
    pub fn check(&self) -> Result<CheckReport> {
        match &self.0 {
            Here(d) => d.check(),
            There(c) => c.ask(&Ask::Check),
        }
    }

    /// Sees to it that `choice` answers the searches of a gallery, and builds a graph where one is missing.
    /// `progress` is told faces done and all faces. Searching goes on meanwhile, by the exact scan.
    ///
    /// A service's index is not changed for one of its guests, unless that asks for the graph: `Auto` is then what
    /// the service has, and `Exact` and `Hnsw` are the exact scan for this guest alone.
    ///
    /// # Errors
    /// [`GalleryError::UnknownGallery`]. A graph that cannot be saved is used all the same,
    /// and [`IndexStats::note`] says why it was not saved.
    pub fn use_index(&self, gallery: &str, choice: IndexChoice, progress: &dyn Fn(usize, usize)) -> Result<IndexStats> {
        match &self.0 {
            Here(d) => d.use_index(gallery, choice, progress),
            There(c) => {
                c.search_by_scan(gallery, matches!(choice, IndexChoice::Exact | IndexChoice::Hnsw));
                if choice == IndexChoice::Graph {
                    return c.ask_telling(&Ask::UseIndex { gallery: text(gallery), choice }, &counts(progress));
                }
                let known = self.stats()?.galleries.into_iter().find(|g| g.name == gallery);
                Ok(known.ok_or_else(|| GalleryError::UnknownGallery { gallery: text(gallery) })?.index)
            }
        }
    }

    /// Makes the index of a gallery anew from the vectors, and its file. [`IndexChoice::Exact`], and
    /// [`IndexChoice::Auto`] in a small gallery, remove the file.
    ///
    /// # Errors
    /// [`GalleryError::UnknownGallery`], or [`crate::error::StoreError::Io`] when the file cannot be written.
    pub fn reindex(&self, gallery: &str, choice: IndexChoice, progress: &dyn Fn(usize, usize)) -> Result<IndexStats> {
        match &self.0 {
            Here(d) => d.reindex(gallery, choice, progress),
            There(c) => c.ask_telling(&Ask::Reindex { gallery: text(gallery), choice }, &counts(progress)),
        }
    }

    /// Writes the whole database, as of one moment, into one file. Searching goes on meanwhile.
    ///
    /// What is encrypted stays so, and the key ring is not in that file: without it nobody can be read, and
    /// whoever is forgotten later cannot be read any more. `ring` names where a copy of the ring goes, in
    /// place of the copy that was there. Keep one copy, the newest.
    ///
    /// # Errors
    /// [`crate::error::StoreError::Io`], [`crate::error::StoreError::Damaged`],
    /// [`crate::error::StoreError::NotEncrypted`] for a ring that there is not.
    pub fn backup(&self, file: impl AsRef<Path>, ring: Option<&Path>) -> Result<Backup> {
        match &self.0 {
            Here(d) => d.backup(file, ring),
            There(c) => {
                let (whole, whole_ring) = (FilePath::of(file.as_ref())?, ring.map(FilePath::of).transpose()?);
                let names = [(whole.shown(), file.as_ref())];
                let names = names.into_iter().chain(whole_ring.iter().map(FilePath::shown).zip(ring));
                let named = |e| names.clone().fold(e, |e, (theirs, ours)| wire::renamed(e, &theirs, ours));
                c.ask(&Ask::Backup { file: whole, ring: whole_ring.clone() }).map_err(named)
            }
        }
    }

    /// Writes a gallery into a folder, which must not exist; with the chips that are kept, where `chips`.
    /// Writers wait meanwhile. `progress` hears of every face.
    ///
    /// # Errors
    /// [`GalleryError::UnknownGallery`], [`crate::error::StoreError::Io`].
    pub fn export(
        &self,
        gallery: &str,
        folder: impl AsRef<Path>,
        chips: bool,
        progress: &dyn Fn(),
    ) -> Result<Exported> {
        match &self.0 {
            Here(d) => d.export(gallery, folder, chips, progress),
            There(c) => {
                let whole = FilePath::of(folder.as_ref())?;
                let named = |e| wire::renamed(e, &whole.shown(), folder.as_ref());
                let ask = Ask::Export { gallery: text(gallery), folder: whole.clone(), chips };
                c.ask_telling(&ask, &|_, _| progress()).map_err(named)
            }
        }
    }

    /// Enrols what an export holds into a gallery. Faces that a person has already, from the same file or
    /// with the same vector, are passed over. `progress` hears of every face.
    ///
    /// # Errors
    /// [`crate::error::StoreError::BadArchive`] for what is not a whole export, [`GalleryError::WrongModel`]
    /// for one of another model than the gallery's; nothing is enrolled then.
    pub fn import(&self, gallery: &str, folder: impl AsRef<Path>, progress: &dyn Fn()) -> Result<Imported> {
        match &self.0 {
            Here(d) => d.import(gallery, folder, progress),
            There(c) => {
                let whole = FilePath::of(folder.as_ref())?;
                let named = |e| wire::renamed(e, &whole.shown(), folder.as_ref());
                let ask = Ask::Import { gallery: text(gallery), folder: whole.clone() };
                c.ask_telling(&ask, &|_, _| progress()).map_err(named)
            }
        }
    }

    /// Begins a change of model, or goes on with one. One to yet another model is given up.
    ///
    /// # Errors
    /// [`GalleryError::UnknownGallery`], or a store's error.
    pub(crate) fn reembed_start(&self, gallery: &str, model: &ModelId, dimension: usize) -> Result<Reembedding> {
        match &self.0 {
            Here(d) => d.reembed_start(gallery, model, dimension),
            There(c) => c.ask(&Ask::ReembedStart { gallery: text(gallery), model: model.clone(), dimension }),
        }
    }

    /// Faces that have no new vector yet; those done already are as many as the second number.
    pub(crate) fn reembed_left(&self, change: &Reembedding) -> Result<(Vec<u64>, usize)> {
        match &self.0 {
            Here(d) => d.reembed_left(change),
            There(c) => c.ask(&Ask::ReembedLeft { change: change.clone() }),
        }
    }

    /// What the new vector of a face can be made from; `None` when it was forgotten since.
    pub(crate) fn reembed_face(&self, change: &Reembedding, face: u64) -> Result<Option<FaceToEmbed>> {
        match &self.0 {
            Here(d) => d.reembed_face(change, face),
            There(c) => c.ask(&Ask::ReembedFace { change: change.clone(), face }),
        }
    }

    /// Stores new vectors, in one write.
    pub(crate) fn reembed_put(&self, change: &Reembedding, faces: Vec<FaceAnew>) -> Result<Pending> {
        match &self.0 {
            Here(d) => Ok(Pending(Some(d.reembed_put(change, faces)?))),
            There(c) => {
                let faces = faces.into_iter().map(Into::into).collect();
                c.ask::<()>(&Ask::ReembedPut { change: change.clone(), faces })?;
                Ok(Pending(None))
            }
        }
    }

    /// Puts the new gallery in the place of the old one; how many faces were left out.
    ///
    /// # Errors
    /// [`GalleryError::NotReembedded`] when faces are left and `leave_out` is not said.
    pub(crate) fn reembed_finish(&self, change: &Reembedding, leave_out: bool) -> Result<usize> {
        match &self.0 {
            Here(d) => d.reembed_finish(change, leave_out),
            There(c) => c.ask(&Ask::ReembedFinish { change: change.clone(), leave_out }),
        }
    }
}

fn counts(progress: &dyn Fn(usize, usize)) -> impl Fn(u64, u64) {
    |done, all| progress(done as usize, all as usize)
}

/// Systems without local sockets: nobody is there.
#[cfg(not(unix))]
mod nowhere {
    use std::path::Path;

    use super::wire::Request;
    use crate::error::Result;
    use crate::store::MasterKey;

    #[derive(Debug)]
    pub(super) enum Connection {}

    impl Connection {
        pub(super) fn to(_: &Path, _: Option<&MasterKey>) -> Result<Option<Self>> {
            Ok(None)
        }

        pub(super) fn folder(&self) -> &Path {
            match *self {}
        }

        pub(super) fn search_by_scan(&self, _: &str, _: bool) {
            match *self {}
        }

        pub(super) fn searches_by_scan(&self, _: &str) -> bool {
            match *self {}
        }

        pub(super) fn ask<T>(&self, _: &Request) -> Result<T> {
            match *self {}
        }

        pub(super) fn ask_telling<T>(&self, _: &Request, _: &dyn Fn(u64, u64)) -> Result<T> {
            match *self {}
        }
    }

    pub(super) fn server(_: &Path) -> Option<u32> {
        None
    }
}
