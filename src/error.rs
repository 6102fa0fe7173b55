//! The errors of the whole house: one public [`Error`], with one enum per failing area beneath it.
//!
//! Every variant says what was wrong, where, and what to do next. The areas live here, in the lowest
//! layer, as plain data, so that each room can return its own enum without knowing the others.

mod caught;
mod decision;
mod eval;
mod gallery;
mod lasting;
mod library;
mod model;
mod photo;
mod serve;
mod store;
mod train;
mod weights;

pub(crate) use caught::caught;
#[cfg(feature = "cli")]
pub(crate) use caught::quiet_panics;
pub use decision::RefusalError;
pub use eval::EvalError;
pub use gallery::{GalleryError, Gate, GateRefusal};
pub(crate) use lasting::lasting;
use lasting::{Lasting, lasting_text};
pub use library::LibraryError;
pub use model::ModelError;
pub use photo::PhotoError;
pub use serve::ServeError;
pub use store::StoreError;
pub use train::TrainError;
pub use weights::WeightsError;

/// Anything that can go wrong between a path to a photo and an answer.
///
/// ```
/// use kith::{Error, Photo};
/// let error = Photo::open("no/such/photo.jpg").map_err(Error::from).unwrap_err();
/// assert_eq!(error.code(), "photo.not_found");
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The photo could not be read, or a picture could not be written.
    #[error(transparent)]
    Photo(#[from] PhotoError),
    /// Weights are missing, damaged, or of the wrong shape.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// A device or a network failed.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The question could not be decided, and so was refused.
    #[error(transparent)]
    Refusal(#[from] RefusalError),
    /// The database could not be opened, read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A gallery refused.
    #[error(transparent)]
    Gallery(#[from] GalleryError),
    /// The photo library could not do what was asked.
    #[error(transparent)]
    Library(#[from] LibraryError),
    /// Nothing could be measured, or trained.
    #[error(transparent)]
    Eval(#[from] EvalError),
    /// Training stopped, or did not begin.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// The service could not start, or its keys or audit log could not be used.
    #[error(transparent)]
    Serve(#[from] ServeError),
}

impl Error {
    /// A stable, dotted name for the error, for programs (`photo.not_found`, `refusal.no_face`).
    pub fn code(&self) -> &'static str {
        match self {
            Error::Photo(e) => e.code(),
            Error::Weights(e) => e.code(),
            Error::Model(e) => e.code(),
            Error::Refusal(e) => e.code(),
            Error::Store(e) => e.code(),
            Error::Gallery(e) => e.code(),
            Error::Library(e) => e.code(),
            Error::Eval(e) => e.code(),
            Error::Train(e) => e.code(),
            Error::Serve(e) => e.code(),
        }
    }
}

/// A result whose error is the crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;
