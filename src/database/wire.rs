//! What a command and the service that has the database open say to each other over the service's local socket.
//!
//! Each side sends frames: the length of what follows (4 bytes, little-endian), a kind (1 byte), a body (bincode 2).
//!
//! | who | kind | body |
//! | --- | --- | --- |
//! | service | `H` | [`Hello`]: first, unasked |
//! | command | `H` | [`Claim`]: its versions, and a proof that it knows the database's key |
//! | service | `D` or `F` | whether it may go on |
//! | command | `R` | a [`Request`] |
//! | service | `P` | how far it is: done and all, as often as there is something to say |
//! | service | `D` | the answer: what the method of that name returns |
//! | service | `F` | a [`Fault`]: the error that it returns |
//!
//! One request at a time; the command ends the conversation by going away. Both are the same program in the same
//! version, or neither goes on, so no field needs a version of its own. `Hello` and `Claim` keep their first fields
//! for ever.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::path::Path;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

pub(crate) use super::forms::{Anew, Face, FilePath, Policy, Sought, Vector};
use crate::error::{Error, GalleryError, Result, StoreError};
use crate::gallery::{LibraryChange, PersonChange, PersonFilter, Reembedding};
use crate::index::IndexChoice;
use crate::vector::ModelId;

/// The socket's name in the database's folder.
pub(crate) const SOCKET: &str = "SOCKET";
/// Version of these frames.
pub(crate) const PROTOCOL: u32 = 4;
/// The program's own version.
pub(crate) const PROGRAM: &str = env!("CARGO_PKG_VERSION");
/// Largest request: a batch of faces with their chips.
pub(crate) const LARGEST_REQUEST: usize = 64 << 20;
/// Largest answer: everybody of a gallery of millions.
pub(crate) const LARGEST_ANSWER: usize = 1 << 30;
/// Bytes that are reserved before any has arrived.
const AT_FIRST: usize = 64 << 10;

pub(crate) const HELLO: u8 = b'H';
pub(crate) const REQUEST: u8 = b'R';
pub(crate) const PROGRESS: u8 = b'P';
pub(crate) const DONE: u8 = b'D';
pub(crate) const FAILED: u8 = b'F';

/// Who answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Hello {
    pub protocol: u32,
    pub program: String,
    pub process: u32,
    /// The database's folder, as the service's errors name it.
    pub folder: String,
    /// Whether the database is encrypted.
    pub encrypted: bool,
    /// Drawn for this conversation.
    pub challenge: [u8; 32],
}

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Claim {
    pub protocol: u32,
    pub program: String,
    /// The challenge sealed with the key that was given; none where none was.
    pub proof: Option<Vec<u8>>,
}

/// A call of a method of the database.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Request {
    Galleries,
    Stats,
    ModelOf {
        gallery: String,
    },
    DetectorOf {
        gallery: String,
    },
    Impostors {
        gallery: String,
        /// As JSON.
        record: String,
    },
    People {
        gallery: String,
        filter: PersonFilter,
    },
    PeoplePage {
        gallery: String,
        filter: PersonFilter,
        containing: Option<String>,
        after: Option<String>,
        limit: usize,
    },
    FacesPage {
        gallery: String,
        person: Option<String>,
        skip: usize,
        limit: usize,
    },
    Person {
        gallery: String,
        name: String,
    },
    Face {
        gallery: String,
        face: u64,
    },
    Thumbnail {
        gallery: String,
        face: u64,
    },
    PicturedFace {
        gallery: String,
        person: u64,
    },
    DistanceToFace {
        gallery: String,
        face: u64,
        probe: Vector,
    },
    NearestFaceOf {
        gallery: String,
        name: String,
        probe: Vector,
    },
    HasPhoto {
        gallery: String,
        name: String,
        sha256: [u8; 32],
    },
    Searched {
        gallery: String,
        sought: Sought,
    },
    Nearest {
        gallery: String,
        probe: Vector,
        sought: Sought,
        exact: bool,
    },
    AddPerson {
        gallery: String,
        name: String,
        groups: Vec<String>,
        labels: BTreeMap<String, String>,
        model: ModelId,
        dimension: usize,
    },
    Enroll {
        gallery: String,
        name: String,
        face: Box<Face>,
        policy: Policy,
    },
    /// Answered when everything enrolled in this conversation is on disk for good.
    Settle,
    Rename {
        gallery: String,
        name: String,
        to: String,
    },
    Label {
        gallery: String,
        name: String,
        change: PersonChange,
    },
    Merge {
        gallery: String,
        from: String,
        into: String,
    },
    DistanceBetween {
        gallery: String,
        one: String,
        other: String,
    },
    Split {
        gallery: String,
        name: String,
        taken: Option<String>,
        called: Option<String>,
    },
    Forget {
        gallery: String,
        name: String,
        scrub: bool,
    },
    ForgetFace {
        gallery: String,
        face: u64,
        scrub: bool,
    },
    Check,
    UseIndex {
        gallery: String,
        choice: IndexChoice,
    },
    Reindex {
        gallery: String,
        choice: IndexChoice,
    },
    Backup {
        file: FilePath,
        ring: Option<FilePath>,
    },
    Export {
        gallery: String,
        folder: FilePath,
        chips: bool,
    },
    Import {
        gallery: String,
        folder: FilePath,
    },
    ReembedStart {
        gallery: String,
        model: ModelId,
        detector: String,
        dimension: usize,
    },
    ReembedLeft {
        change: Reembedding,
    },
    ReembedFace {
        change: Reembedding,
        face: u64,
    },
    ReembedPut {
        change: Reembedding,
        faces: Vec<Anew>,
    },
    ReembedFinish {
        change: Reembedding,
        leave_out: bool,
    },
    LibraryPhotos {
        after: Option<u64>,
        most: usize,
    },
    LibraryGroups,
    LibraryPictures {
        photo: u64,
    },
    ChangeLibrary {
        change: LibraryChange,
    },
    NamedVectors {
        gallery: String,
    },
}

/// An error on its way.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Fault {
    Store(StoreError),
    Gallery(GalleryError),
    /// Of another area.
    Other {
        code: String,
        text: String,
    },
}

impl From<&Error> for Fault {
    fn from(error: &Error) -> Self {
        match error {
            Error::Store(e) => Self::Store(e.clone()),
            Error::Gallery(e) => Self::Gallery(e.clone()),
            other => Self::Other { code: other.code().to_string(), text: other.to_string() },
        }
    }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Store(e) => e.into(),
            Fault::Gallery(e) => e.into(),
            Fault::Other { code, text } => StoreError::Answered { code: crate::error::lasting(&code), text }.into(),
        }
    }
}

/// The error, with a file or folder named as whoever asks named it and not as the service does.
pub(crate) fn renamed(mut error: Error, theirs: &str, ours: &Path) -> Error {
    if let Error::Store(store) = &mut error
        && let Some(path) = store.path_mut()
        && let Some(rest) = path.strip_prefix(theirs)
        && (rest.is_empty() || rest.starts_with(std::path::MAIN_SEPARATOR))
    {
        *path = format!("{}{rest}", ours.display());
    }
    error
}

fn config<const MOST: usize>() -> impl bincode::config::Config {
    bincode::config::standard().with_limit::<MOST>()
}

/// A body's bytes.
///
/// # Errors
/// [`StoreError::Answered`] for what cannot be said so, which no type here is.
pub(crate) fn encode(body: &impl Serialize) -> Result<Vec<u8>> {
    let encoded = bincode::serde::encode_to_vec(body, config::<LARGEST_ANSWER>());
    encoded.map_err(|e| StoreError::Answered { code: "store.connection", text: e.to_string() }.into())
}

/// What a body says; `None` where it is not that.
pub(crate) fn decode<T: DeserializeOwned, const MOST: usize>(body: &[u8]) -> Option<T> {
    let (value, read) = bincode::serde::decode_from_slice(body, config::<MOST>()).ok()?;
    (read == body.len()).then_some(value)
}

/// Sends a frame.
pub(crate) fn send(to: &mut impl Write, kind: u8, body: &[u8]) -> io::Result<()> {
    let length = u32::try_from(body.len() + 1).map_err(|_| io::Error::other("a frame of more than 4 GiB"))?;
    // In one write, so that a small frame is one packet and not two.
    let mut head = Vec::with_capacity(5 + body.len().min(AT_FIRST));
    head.extend(length.to_le_bytes());
    head.push(kind);
    if body.len() <= AT_FIRST {
        head.extend(body);
        return to.write_all(&head);
    }
    to.write_all(&head)?;
    to.write_all(body)
}

/// Receives a frame of at most `most` bytes; `None` where the other side has gone away between two.
///
/// # Errors
/// What reading says; a frame that is cut off or too long.
pub(crate) fn receive(from: &mut impl Read, most: usize) -> io::Result<Option<(u8, Vec<u8>)>> {
    match begin(from)? {
        Some(first) => rest(first, from, most).map(Some),
        None => Ok(None),
    }
}

/// The first byte of a frame, for which one may wait long.
pub(crate) fn begin(from: &mut impl Read) -> io::Result<Option<u8>> {
    let mut first = [0];
    loop {
        match from.read(&mut first) {
            Ok(0) => return Ok(None),
            Ok(_) => return Ok(Some(first[0])),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}

/// The rest of a frame.
pub(crate) fn rest(first: u8, from: &mut impl Read, most: usize) -> io::Result<(u8, Vec<u8>)> {
    let mut head = [0; 4];
    from.read_exact(&mut head)?;
    let [b, c, d, kind] = head;
    let length = u32::from_le_bytes([first, b, c, d]) as usize;
    if length == 0 || length > most {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("a frame of {length} bytes")));
    }
    // Room is made as bytes arrive, not on the word of the other side.
    let mut body = Vec::with_capacity((length - 1).min(AT_FIRST));
    from.take(length as u64 - 1).read_to_end(&mut body)?;
    if body.len() + 1 < length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok((kind, body))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ModelError;

    #[test]
    fn frames_arrive_as_they_were_sent_and_no_room_is_made_on_a_claim() {
        for length in [0, 1, AT_FIRST, AT_FIRST + 1, 300_000] {
            let body: Vec<u8> = (0..length).map(|i| (i % 251) as u8).collect();
            let mut sent = Vec::new();
            send(&mut sent, DONE, &body).unwrap();
            assert_eq!(receive(&mut sent.as_slice(), 1 << 20).unwrap(), Some((DONE, body)));
            for cut in [1, 4, 5, sent.len() / 2, sent.len() - 1].into_iter().filter(|c| *c < sent.len()) {
                assert!(receive(&mut &sent[..cut], 1 << 20).is_err(), "cut at {cut} of {}", sent.len());
            }
        }
        assert_eq!(receive(&mut [].as_slice(), 9).unwrap(), None);
        assert!(receive(&mut [10, 0, 0, 0, b'R'].as_slice(), 9).is_err(), "longer than may be");
        assert!(receive(&mut [0, 0, 0, 0, b'R'].as_slice(), 9).is_err(), "without a kind");
    }

    #[test]
    fn bytes_that_are_no_request_are_none() {
        let request = Request::Person { gallery: "main".to_string(), name: "Grace".to_string() };
        let bytes = encode(&request).unwrap();
        assert!(decode::<Request, LARGEST_REQUEST>(&bytes).is_some());
        let longer = [bytes.as_slice(), &[0]].concat();
        for bad in [&bytes[..bytes.len() - 1], &longer, &[255; 40], &[]] {
            assert!(decode::<Request, LARGEST_REQUEST>(bad).is_none(), "{bad:?}");
        }
        // A text of 2^60 bytes, it says.
        assert!(decode::<String, LARGEST_REQUEST>(&[253, 0, 0, 0, 0, 0, 0, 0, 16]).is_none());
    }

    #[test]
    fn an_error_keeps_its_kind_its_code_and_its_text() {
        let errors: [Error; 5] = [
            StoreError::Io { path: "p".to_string(), doing: "syncing", reason: "full".to_string() }.into(),
            StoreError::Damaged { path: "p".to_string(), what: "w".to_string() }.into(),
            GalleryError::BadName { what: "name", name: "x".to_string(), reason: "it is empty" }.into(),
            GalleryError::Gate {
                photo: "p.jpg".to_string(),
                refusal: crate::error::GateRefusal::TurnedAway { axis: "yaw", degrees: 70.0, most: 50.0 },
            }
            .into(),
            ModelError::BadEmbedding { reason: "it is empty".to_string() }.into(),
        ];
        for error in errors {
            let carried = decode::<Fault, LARGEST_ANSWER>(&encode(&Fault::from(&error)).unwrap()).unwrap();
            let carried = Error::from(carried);
            assert_eq!((carried.code(), carried.to_string()), (error.code(), error.to_string()));
            let same = std::mem::discriminant(&carried) == std::mem::discriminant(&error);
            assert_eq!(same, !matches!(error, Error::Model(_)), "{error:?}");
        }
    }

    #[test]
    fn files_are_named_as_they_were_asked_for() {
        let error = |path: &str| StoreError::KeyNeeded { path: path.to_string() }.into();
        let named = |path: &str| renamed(error(path), "/home/a/faces", Path::new("faces")).to_string();
        assert!(named("/home/a/faces").starts_with("faces: "));
        assert!(named("/home/a/faces/index/1.graph").starts_with("faces/index/1.graph: "));
        assert!(named("/home/a/faces2").starts_with("/home/a/faces2: "));
    }

    #[cfg(unix)]
    #[test]
    fn a_path_need_not_be_text_and_becomes_absolute() {
        use std::os::unix::ffi::OsStrExt;
        let odd = Path::new(std::ffi::OsStr::from_bytes(b"some\xff/file"));
        let carried = FilePath::of(odd).unwrap().path();
        assert_eq!(carried, std::env::current_dir().unwrap().join(odd));
    }
}
