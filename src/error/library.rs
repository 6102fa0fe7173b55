//! Errors of the photo library.

/// Why the library could not do what was asked.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum LibraryError {
    /// A folder of photos cannot be read.
    #[error("{path}: {reason}; name a folder of photos that is there")]
    Folder {
        /// The folder.
        path: String,
        /// What the operating system said.
        reason: String,
    },
    /// There is no such group.
    #[error("there is no group {group}; `kith cluster` lists them")]
    UnknownGroup {
        /// What was asked for.
        group: String,
    },
    /// There is no such face.
    #[error("no face {face} is in the library; `kith cluster show ID` lists a group's faces")]
    UnknownFace {
        /// The number asked for.
        face: u64,
    },
    /// There is no such photo.
    #[error("no photo {photo} is in the library; `kith library list` lists them")]
    UnknownPhoto {
        /// The number asked for.
        photo: u64,
    },
    /// None of a photo's files is there as it was when it was looked at.
    #[error("photo {photo} is not where it was, or has changed; `kith library add FOLDER` looks again")]
    PhotoAway {
        /// The photo.
        photo: u64,
    },
    /// The face is in no group.
    #[error("face {face} is in no group, so there is nobody that it could be parted from")]
    Ungrouped {
        /// The number asked for.
        face: u64,
    },
    /// Two groups with names of two people are to be one.
    #[error("group {from} is {theirs:?} and group {into} is {name:?}: name one of them otherwise first")]
    TwoNames {
        /// The one that would be no more.
        from: u64,
        /// Its name.
        theirs: String,
        /// The one that would get the faces.
        into: u64,
        /// Its name.
        name: String,
    },
    /// Another group has the name: the two would be one from then on.
    #[error(
        "group {into} is {name:?} already; where group {group} is the same person, say --merge to make the two one, else \
         give another name"
    )]
    SameName {
        /// The group that was to be named.
        group: u64,
        /// The group that has the name.
        into: u64,
        /// Its name.
        name: String,
    },
    /// A name that nobody can have.
    #[error("{name:?} is no name: it is empty, holds what cannot be seen, or would be taken for a group's number")]
    BadName {
        /// The name.
        name: String,
    },
    /// Corrections that cannot all be kept.
    #[error(
        "corrections contradict each other: faces {one} and {other} are one person's by one and two people's by another; \
         `kith cluster split` or `merge` their groups to say which"
    )]
    Contradiction {
        /// A face.
        one: u64,
        /// Another.
        other: u64,
    },
    /// Somebody else changed the groups while this change was made.
    #[error("the library's groups were changed by somebody else at the same time; say it again")]
    ChangedMeanwhile,
    /// A face is in another group than the one that is named.
    #[error("face {face} is not in group {group}; `kith cluster show {group}` lists those that are")]
    NotInGroup {
        /// The face.
        face: u64,
        /// The group.
        group: u64,
    },
    /// Photos are to be forgotten, and nobody said that they may be.
    #[error(
        "that forgets {photos} photos with {faces} faces, and {names} names that nothing else has; say --yes to forget them \
         (the files stay)"
    )]
    Unsure {
        /// Photos.
        photos: usize,
        /// Their faces.
        faces: usize,
        /// Names of groups that would have no face any more.
        names: usize,
    },
    /// A date that is none.
    #[error("{text:?} is no date; write 2024, 2024-05 or 2024-05-31")]
    BadDate {
        /// What was given.
        text: String,
    },
    /// No photo that is there shows a face.
    #[error("no photo in the library shows a face yet; `kith library add FOLDER` looks at photos")]
    Empty,
    /// Nothing of the library fits.
    #[error("nothing in the library is of {model}; `kith library add` looks at photos")]
    NoFaces {
        /// The model.
        model: String,
    },
}

impl LibraryError {
    /// The stable name of the error.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Folder { .. } => "library.folder",
            Self::UnknownGroup { .. } => "library.unknown_group",
            Self::UnknownFace { .. } => "library.unknown_face",
            Self::UnknownPhoto { .. } => "library.unknown_photo",
            Self::PhotoAway { .. } => "library.photo_away",
            Self::Ungrouped { .. } => "library.ungrouped",
            Self::TwoNames { .. } => "library.two_names",
            Self::SameName { .. } => "library.same_name",
            Self::BadName { .. } => "library.bad_name",
            Self::Contradiction { .. } => "library.contradiction",
            Self::ChangedMeanwhile => "library.changed_meanwhile",
            Self::NotInGroup { .. } => "library.not_in_group",
            Self::Unsure { .. } => "library.unsure",
            Self::BadDate { .. } => "library.bad_date",
            Self::Empty | Self::NoFaces { .. } => "library.no_faces",
        }
    }
}
