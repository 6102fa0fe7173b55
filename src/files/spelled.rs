//! Paths as text, without loss: what the system has need not be UTF-8, and JSON and names of people are.
//!
//! A path that is UTF-8 is its own text, but for backslashes that would be read otherwise. Every other byte is `\x` and
//! two hexadecimal digits, and a backslash before `x`, a backslash or such a byte is doubled. So different paths have
//! different texts, and [`path_of`] is the way back.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use serde::Serializer;

/// The path as text.
pub fn spelled(path: impl AsRef<OsStr>) -> String {
    let mut text = String::new();
    for chunk in path.as_ref().as_encoded_bytes().utf8_chunks() {
        let mut chars = chunk.valid().chars().peekable();
        while let Some(c) = chars.next() {
            text.push(c);
            let escapes = chars.peek().map_or(!chunk.invalid().is_empty(), |next| matches!(next, '\\' | 'x'));
            if c == '\\' && escapes {
                text.push(c);
            }
        }
        text.extend(chunk.invalid().iter().map(|byte| format!("\\x{byte:02X}")));
    }
    text
}

/// What was typed, as text: as it is where it is UTF-8, else [`spelled`], so that a person called after a folder is
/// found by the folder's name and by the text that stands for it.
#[cfg(feature = "cli")]
pub fn typed(said: impl AsRef<OsStr>) -> String {
    said.as_ref().to_str().map_or_else(|| spelled(said.as_ref()), str::to_string)
}

/// The path whose text this is.
pub fn path_of(text: &str) -> PathBuf {
    let (mut bytes, mut rest) = (Vec::with_capacity(text.len()), text.as_bytes());
    while let Some((&first, after)) = rest.split_first() {
        let hex = |digits: &[u8]| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok();
        match (first, after) {
            (b'\\', [b'\\', after @ ..]) => {
                bytes.push(first);
                rest = after;
            }
            (b'\\', [b'x', a, b, after @ ..]) => match hex(&[*a, *b]) {
                Some(byte) => {
                    bytes.push(byte);
                    rest = after;
                }
                None => {
                    bytes.push(first);
                    rest = &rest[1..];
                }
            },
            _ => {
                bytes.push(first);
                rest = after;
            }
        }
    }
    of_bytes(bytes)
}

#[cfg(unix)]
fn of_bytes(bytes: Vec<u8>) -> PathBuf {
    <std::ffi::OsString as std::os::unix::ffi::OsStringExt>::from_vec(bytes).into()
}

#[cfg(not(unix))]
fn of_bytes(bytes: Vec<u8>) -> PathBuf {
    String::from_utf8_lossy(&bytes).into_owned().into()
}

/// For `serialize_with`: the path's text.
///
/// # Errors
/// What the serializer says.
pub fn as_text<S: Serializer>(path: &Path, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&spelled(path))
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::ffi::OsStrExt;

    use super::*;

    #[test]
    fn every_path_has_a_text_of_its_own_and_is_read_back_from_it() {
        let plain = ["a/b.jpg", "Jos\u{e9}", "a\\b", "C:\\photos\\1.jpg", "", "a\nb", "\\", "\\u{41}"];
        for text in plain {
            assert_eq!(spelled(text), text, "an ordinary path is its own text");
        }
        assert_eq!(spelled(OsStr::from_bytes(b"Jos\xe9")), "Jos\\xE9");
        assert_eq!(typed(OsStr::from_bytes(b"Jos\xe9")), "Jos\\xE9");
        assert_eq!(typed("Jos\\xE9"), "Jos\\xE9");
        // Every string of up to five of these.
        let letters: [u8; 6] = [b'\\', b'x', b'E', b'9', 0xE9, 0xC3];
        let mut texts = std::collections::HashMap::new();
        for length in 0..=5u32 {
            for number in 0..6usize.pow(length) {
                let bytes: Vec<u8> =
                    (0..length).map(|place| letters[number / 6usize.pow(place) % letters.len()]).collect();
                let path = OsStr::from_bytes(&bytes);
                let text = spelled(path);
                assert_eq!(path_of(&text), path, "{text}");
                assert_eq!(texts.insert(text.clone(), bytes), None, "{text}");
            }
        }
    }
}

/// The one path of a file or folder, without links and `..`; of what is not there, that of the folder that it would be in.
///
/// # Errors
/// The operating system's.
pub fn real_path(path: &Path) -> std::io::Result<PathBuf> {
    let whole = std::path::absolute(path)?;
    // Windows would spell it in a way that few programs read.
    if cfg!(windows) {
        return Ok(whole);
    }
    match (std::fs::canonicalize(&whole), whole.parent(), whole.file_name()) {
        (Err(e), Some(folder), Some(name)) if e.kind() == std::io::ErrorKind::NotFound => {
            Ok(real_path(folder)?.join(name))
        }
        (real, ..) => real,
    }
}
