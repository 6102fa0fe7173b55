//! Names of people, galleries, groups and labels: what may be one, and which are the same.
//!
//! 1. What is stored is in Unicode's NFC, without space around it ([`usable`]).
//! 2. Two names are the same where their [`key`]s are: case folded, in NFKD (compatibility characters as the plain
//!    ones), without what nobody sees, runs of space as one. Letters that merely look alike are different names.
//! 3. Only a new name must be usable. Databases hold names from before these rules, so a name is looked up as it is
//!    written, then by its key, and is never checked on the way.

use std::borrow::Cow;

use caseless::Caseless;
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

use crate::error::GalleryError;

/// Longest name, group or label, in bytes of NFC.
const LONGEST: usize = 200;
/// What stands in answers, pictures and log lines where there is no name, and the two that are steps of a path in every
/// URL. By their keys.
const RESERVED: [&str; 4] = ["unknown", "-", ".", ".."];

/// The name as it is stored: in NFC, without the space around it.
///
/// # Errors
/// [`GalleryError::BadName`] for one that is empty or too long, that holds characters which cannot be seen or which
/// turn the direction of what stands beside them, or that answers use for nobody.
pub(super) fn usable(what: &'static str, name: &str) -> Result<String, GalleryError> {
    let composed = composed(name);
    match fault(what, &composed) {
        None => Ok(composed),
        Some(reason) => Err(GalleryError::BadName { what, name: name.chars().take(60).collect(), reason }),
    }
}

/// Whether something may be called that, but for [`RESERVED`].
pub(crate) fn is_name(text: &str) -> bool {
    fault("text", &composed(text)).is_none()
}

/// The name in NFC, without the space around it.
pub(super) fn composed(name: &str) -> String {
    name.trim().nfc().collect()
}

fn fault(what: &str, name: &str) -> Option<&'static str> {
    if name.is_empty() {
        return Some("it is empty");
    }
    if name.len() > LONGEST {
        return Some("it is longer than 200 bytes");
    }
    let mut before = None;
    for c in name.chars() {
        let reason = match kind(c) {
            Kind::Plain => None,
            Kind::Control => Some("it holds control characters, line breaks among them"),
            Kind::Direction => Some("it holds characters that turn the direction of the text beside them"),
            Kind::Invisible => Some("it holds characters that cannot be seen"),
            Kind::Broken => Some("it holds the sign for a character that could not be read, or what is none"),
            // Persian and Indic spelling needs the two joiners between letters, and nothing else does.
            Kind::Joiner => (!before.is_some_and(joins)).then_some("it holds characters that cannot be seen"),
            Kind::Variation => {
                let follows = before.is_some_and(|b: char| kind(b) == Kind::Plain && !b.is_whitespace());
                (!follows).then_some("it holds characters that cannot be seen")
            }
        };
        if reason.is_some() {
            return reason;
        }
        before = Some(c);
    }
    if !name.chars().any(|c| kind(c) == Kind::Plain && !c.is_whitespace() && !is_combining_mark(c)) {
        return Some("it holds nothing that can be seen");
    }
    if matches!(what, "name" | "gallery") && RESERVED.contains(&&*key(name)) {
        return Some("answers use this word where there is nobody, or paths for themselves");
    }
    None
}

/// What a character does in a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Plain,
    Control,
    Direction,
    Invisible,
    Broken,
    Joiner,
    Variation,
}

/// By Unicode's `Default_Ignorable_Code_Point`, `Bidi_Control`, `Noncharacter_Code_Point`, and the general categories
/// Cc, Zl and Zp.
fn kind(c: char) -> Kind {
    match u32::from(c) {
        0x2028 | 0x2029 => Kind::Control,
        _ if c.is_control() => Kind::Control,
        0x061C | 0x200E | 0x200F | 0x202A..=0x202E | 0x2066..=0x2069 => Kind::Direction,
        0x200C | 0x200D => Kind::Joiner,
        0x180B..=0x180D | 0x180F | 0xFE00..=0xFE0F | 0xE0100..=0xE01EF => Kind::Variation,
        0x00AD
        | 0x034F
        | 0x115F
        | 0x1160
        | 0x17B4
        | 0x17B5
        | 0x180E
        | 0x200B
        | 0x2060..=0x206F
        | 0x2800
        | 0x3164
        | 0xFEFF
        | 0xFFA0
        | 0xFFF0..=0xFFFB
        | 0x1BCA0..=0x1BCA3
        | 0x1D173..=0x1D17A
        | 0xE0000..=0xE0FFF => Kind::Invisible,
        0xFFFC | 0xFFFD | 0xFDD0..=0xFDEF => Kind::Broken,
        code if code & 0xFFFE == 0xFFFE => Kind::Broken,
        _ => Kind::Plain,
    }
}

/// Whether a letter joins the next one, so that a joiner after it says something: Arabic and the scripts of India and
/// its neighbours.
fn joins(letter: char) -> bool {
    matches!(u32::from(letter), 0x0620..=0x08FF | 0x0900..=0x0DFF | 0x0F00..=0x109F | 0x1780..=0x17B3 | 0x17B6..=0x17DD
        | 0x1820..=0x18AA | 0x1B00..=0x1B4C | 0xA840..=0xA877 | 0xA980..=0xA9DF | 0x10A00..=0x11FFF)
}

/// What names are compared by. A name as [`shown`] has the key of the name.
pub(crate) fn key(name: &str) -> Cow<'_, str> {
    match meant(name) {
        Cow::Borrowed(name) => folded(name.trim()),
        Cow::Owned(name) => Cow::Owned(folded(name.trim()).into_owned()),
    }
}

fn folded(name: &str) -> Cow<'_, str> {
    if is_plain(name) {
        return match name.bytes().any(|b| b.is_ascii_uppercase()) {
            true => Cow::Owned(name.to_ascii_lowercase()),
            false => Cow::Borrowed(name),
        };
    }
    let mut key = String::with_capacity(name.len());
    // Compatibility caseless matching of the Unicode Standard (3.13, D146), without what NFKC_Casefold drops.
    let seen = name.chars().filter(|c| matches!(kind(*c), Kind::Plain | Kind::Control | Kind::Broken));
    for c in seen.nfd().default_case_fold().nfkd().default_case_fold().nfkd() {
        if !c.is_whitespace() {
            key.push(c);
        } else if !key.is_empty() && !key.ends_with(' ') {
            key.push(' ');
        }
    }
    key.truncate(key.trim_end().len());
    Cow::Owned(key)
}

/// Whether two names are the same. Searches ask it of every face, so that ordinary names cost no memory.
pub(super) fn same(a: &str, b: &str) -> bool {
    let plain = |text: &str| is_plain(text) && !text.contains("\\u{");
    match plain(a) && plain(b) {
        true => a.trim().eq_ignore_ascii_case(b.trim()),
        false => a == b || key(a) == key(b),
    }
}

/// Whether two texts are the same in NFC.
pub(super) fn same_text(a: &str, b: &str) -> bool {
    a == b || !(a.is_ascii() && b.is_ascii()) && composed(a) == composed(b)
}

/// Whether nothing but case has to be folded in a name.
fn is_plain(name: &str) -> bool {
    name.is_ascii()
        && !name.as_bytes().windows(2).any(|two| two == b"  ")
        && !name.bytes().any(|b| b.is_ascii_control())
}

/// A name as it can be shown in a line of text: what cannot be seen, and what would turn or break the line, as its
/// number in the form `\u{202e}`.
pub(crate) fn shown(name: &str) -> Cow<'_, str> {
    let hidden = |c: char| !matches!(kind(c), Kind::Plain | Kind::Joiner | Kind::Variation);
    if !name.chars().any(hidden) {
        return Cow::Borrowed(name);
    }
    let mut text = String::with_capacity(name.len() + 8);
    for c in name.chars() {
        match hidden(c) {
            true => text.extend(c.escape_unicode()),
            false => text.push(c),
        }
    }
    Cow::Owned(text)
}

/// The name that [`shown`] made a text of; the text where it made none.
pub(super) fn meant(text: &str) -> Cow<'_, str> {
    if !text.contains("\\u{") {
        return Cow::Borrowed(text);
    }
    let (mut name, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(at) = rest.find("\\u{") {
        let (before, from) = rest.split_at(at);
        name.push_str(before);
        let digits = &from[3..];
        let read = digits.find('}').and_then(|end| {
            let code = u32::from_str_radix(&digits[..end], 16).ok()?;
            Some((char::from_u32(code)?, &digits[end + 1..]))
        });
        match read {
            Some((c, after)) => {
                name.push(c);
                rest = after;
            }
            None => {
                name.push_str(&from[..3]);
                rest = digits;
            }
        }
    }
    name.push_str(rest);
    Cow::Owned(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_name_written_in_many_ways_has_one_key() {
        for (a, b) in [
            ("Jos\u{e9}", "Jose\u{301}"),
            ("Ada Lovelace", "ADA  LOVELACE"),
            ("Stra\u{df}e", "STRASSE"),
            ("\u{3a3}\u{391}\u{3a3}", "\u{3c3}\u{3b1}\u{3c2}"),
            ("\u{ff21}\u{ff44}\u{ff41}", "ada"),
            ("\u{fb01}na", "Fina"),
            ("Ada\u{a0}Lovelace", "ada lovelace"),
            ("\u{639}\u{644}\u{6cc}\u{200c}\u{631}\u{636}\u{627}", "\u{639}\u{644}\u{6cc}\u{631}\u{636}\u{627}"),
            ("\u{1e9b}\u{323}", "\u{1e69}"),
            ("\u{ac00}", "\u{1100}\u{1161}"),
        ] {
            assert!(same(a, b), "{a:?} {b:?}: {:?} {:?}", key(a), key(b));
        }
        for (a, b) in
            [("Ada", "\u{410}da"), ("K\u{131}l\u{131}\u{e7}", "Kili\u{e7}"), ("Jose", "Jos\u{e9}"), ("a b", "ab")]
        {
            assert!(!same(a, b), "{a:?} {b:?}");
        }
    }

    #[test]
    fn a_name_is_stored_composed_and_without_the_space_around_it() {
        assert_eq!(usable("name", " Jose\u{301}\u{3000}").unwrap(), "Jos\u{e9}");
        for kept in [
            "EMP-1001",
            "\u{639}\u{644}\u{6cc}\u{200c}\u{631}\u{636}\u{627}",
            "\u{5d3}\u{5d5}\u{5d3}",
            "\u{845b}\u{e0100}",
            "\u{d28}\u{d4d}\u{200d}",
            "\u{2764}\u{fe0f}",
            "O'Brien, Flann",
            "...",
        ] {
            assert_eq!(usable("name", kept).unwrap(), kept);
        }
        assert_eq!(usable("label", "unknown").unwrap(), "unknown", "reserved are names of people and galleries");
    }

    #[test]
    fn what_cannot_be_seen_or_turns_the_line_is_no_name() {
        let long = "a".repeat(201);
        for (name, word) in [
            ("", "empty"),
            (" \u{3000}", "empty"),
            (long.as_str(), "200 bytes"),
            ("a\nb", "line breaks"),
            ("a\u{85}b", "control"),
            ("a\u{2028}b", "line breaks"),
            ("Ada\u{202e}ecalevoL", "direction"),
            ("Ada\u{200f}", "direction"),
            ("Ada\u{2066}", "direction"),
            ("\u{200b}", "cannot be seen"),
            ("Ada\u{200b}", "cannot be seen"),
            ("Ada\u{feff}", "cannot be seen"),
            ("Ada\u{200d}Lovelace", "cannot be seen"),
            ("\u{200c}\u{627}", "cannot be seen"),
            ("\u{fe0f}", "cannot be seen"),
            ("A\u{ad}da", "cannot be seen"),
            ("\u{3164}", "cannot be seen"),
            ("Ada\u{e0041}", "cannot be seen"),
            ("\u{301}", "nothing that can be seen"),
            ("Jos\u{fffd}", "could not be read"),
            ("\u{10ffff}", "could not be read"),
            ("unknown", "where there is nobody"),
            ("UNKNOWN", "where there is nobody"),
            ("Un\u{fb02}nown", ""),
            ("-", "where there is nobody"),
            ("\u{ff0d}", "where there is nobody"),
            ("..", "where there is nobody"),
        ] {
            match usable("name", name) {
                Ok(_) => assert!(word.is_empty(), "{name:?} was taken"),
                Err(e) => assert!(!word.is_empty() && e.to_string().contains(word), "{name:?}: {e}"),
            }
        }
        let refused = usable("name", "Ada\u{202e}\u{200b}").unwrap_err().to_string();
        assert!(refused.contains("Ada\\u{202e}\\u{200b}\""), "{refused}");
    }

    #[test]
    fn what_is_shown_of_a_name_can_be_typed() {
        for name in ["Ada", "Ada\u{202e}x", "\u{200b}", "a\u{1}b\u{10ffff}", "Jos\u{e9}", "\\u{", "\\u{zz}", "\\u{41"] {
            assert_eq!(meant(&shown(name)), name);
        }
        assert_eq!(shown("Ada\u{202e}x"), "Ada\\u{202e}x");
    }

    use super::super::{Database, DatabaseOptions, EnrolmentPolicy, NewFace, PersonChange, PersonFilter};
    use crate::geometry::{BBox, Landmarks};
    use crate::store::{DataKey, Key, PersonRecord};
    use crate::vector::{Embedding, ModelId};

    fn face(angle: f32) -> NewFace {
        NewFace {
            embedding: Embedding::from_raw(vec![angle.cos(), angle.sin()], ModelId::from_text("m/0/t")).unwrap(),
            bbox: BBox::new(0.0, 0.0, 9.0, 9.0),
            landmarks: Landmarks([[0.0; 2]; 5]),
            score: 0.9,
            quality: crate::geometry::FaceQuality::default(),
            source: "drawn".to_string(),
            source_sha256: None,
            pictures: None,
        }
    }

    fn everybody(database: &Database) -> Vec<(String, usize)> {
        let people = database.people("main", &PersonFilter::default()).unwrap();
        people.into_iter().map(|p| (p.name, p.faces)).collect()
    }

    #[test]
    fn every_way_to_a_person_takes_every_spelling_of_the_name() {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::open(folder.path().join("faces"), &DatabaseOptions::default()).unwrap();
        let (composed, apart, loud) = ("Jos\u{e9}", "Jose\u{301}", " JOS\u{c9} ");
        for (angle, name) in [(0.0, apart), (0.5, composed), (1.0, loud)] {
            let enrolled = database.enroll("main", name, face(angle), &EnrolmentPolicy::default()).unwrap();
            assert_eq!(enrolled.name, composed);
        }
        assert_eq!(everybody(&database), [(composed.to_string(), 3)]);
        for name in [composed, apart, loud] {
            assert_eq!(database.person("main", name).unwrap().0.faces, 3);
            assert_eq!(database.faces_page("main", Some(name), 0, 9).unwrap().total, 3);
            assert_eq!(database.nearest_face_of("main", name, &face(0.5).embedding).unwrap().1.unwrap().1, 0.0);
            let page = database.people_page("main", &PersonFilter::default(), Some(name), None, 9).unwrap();
            assert_eq!(page.people.len(), 1, "{name}");
            let taken = database.add_person("main", name, &[], &Default::default(), &ModelId::from_text("m/0/t"), 2);
            assert_eq!(taken.unwrap_err().code(), "gallery.name_taken");
        }
        database.enroll("main", "Ada", face(2.0), &EnrolmentPolicy::default()).unwrap();
        assert_eq!(database.rename("main", "Ada", loud).unwrap_err().code(), "gallery.name_taken");
        assert_eq!(database.rename("main", "ada", "ADA").unwrap().name, "ADA", "its own name in another case");
        assert_eq!(database.merge("main", "ada", loud).unwrap().faces, 4);
        let join = |group: &str| PersonChange { join: vec![group.to_string()], ..PersonChange::default() };
        database.label("main", apart, &join("Caf\u{e9}")).unwrap();
        let again = database.label("main", apart, &join("CAFE\u{301}")).unwrap();
        assert_eq!(again.groups, ["Caf\u{e9}"]);
        let filter = PersonFilter { groups: vec!["cafe\u{301}".to_string()], ..PersonFilter::default() };
        assert_eq!(database.people("main", &filter).unwrap().len(), 1);
        assert!(database.check().unwrap().is_clean());
        let folder = folder.path().join("export");
        database.export("main", &folder, false, &|| ()).unwrap();
        assert_eq!(database.import("main", &folder, &|| ()).unwrap().known, 4);
        assert_eq!(database.forget("main", apart, false).unwrap(), 4);
        assert!(everybody(&database).is_empty());
        let other = database.enroll("MAIN", "Ada", face(0.0), &EnrolmentPolicy::default());
        assert_eq!(other.unwrap_err().code(), "gallery.gallery_taken");
    }

    #[test]
    fn names_from_before_the_rules_open_and_are_listed_renamed_and_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("faces");
        let odd = ["Jos\u{e9}", "Jose\u{301}", "unknown", "\u{200b}", "Ada\u{202e}x", "ada", "Ada", ".."];
        {
            let database = Database::open(&path, &DatabaseOptions::default()).unwrap();
            database.enroll("main", "first", face(0.0), &EnrolmentPolicy::default()).unwrap();
            let gallery = database.shelf("main").unwrap().id;
            let mut writer = database.store.writer().unwrap();
            for name in odd {
                let (groups, labels) = (vec!["\u{200b}".to_string()], Default::default());
                let record = PersonRecord { name: name.to_string(), groups, labels, created_ms: 1 };
                let id = writer.new_id();
                writer.put(Key::Person(gallery, id), &record, DataKey::DATABASE).unwrap();
            }
            let ticket = writer.commit().unwrap();
            drop(writer);
            database.store.settle(ticket).unwrap();
        }
        let database = Database::open(&path, &DatabaseOptions::default()).unwrap();
        assert!(database.check().unwrap().is_clean());
        assert_eq!(everybody(&database).len(), 9);
        for name in odd {
            assert_eq!(database.person("main", name).unwrap().0.name, name);
            assert_eq!(database.person("main", &shown(name)).unwrap().0.name, name, "as it is listed");
            let enrolled = database.enroll("main", name, face(1.0), &EnrolmentPolicy::default()).unwrap();
            assert_eq!(enrolled.name, name, "more of their photos are taken");
        }
        let either = database.person("main", "JOS\u{c9}").unwrap_err();
        assert_eq!(either.code(), "gallery.ambiguous_name");
        let third = database.enroll("main", "JOS\u{c9}", face(1.0), &EnrolmentPolicy::default());
        assert_eq!(third.unwrap_err().code(), "gallery.ambiguous_name");
        assert_eq!(database.merge("main", "Jose\u{301}", "Jos\u{e9}").unwrap().name, "Jos\u{e9}");
        assert_eq!(database.person("main", "JOS\u{c9}").unwrap().0.faces, 2);
        for (n, name) in odd.iter().enumerate().filter(|(n, _)| *n != 1) {
            assert_eq!(database.rename("main", name, &format!("person {n}")).unwrap().name, format!("person {n}"));
            database.forget("main", &format!("person {n}"), false).unwrap();
        }
        assert!(database.check().unwrap().is_clean());
        assert_eq!(everybody(&database), [("first".to_string(), 1)]);
    }
}
