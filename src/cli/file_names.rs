//! Names of people in names of files and folders: which there are, and which a camera, a program or a date made.

/// Words of which one makes a name of digits and such words a camera's or a program's.
const MADE: [&str; 75] = [
    "img",
    "image",
    "images",
    "imgp",
    "dsc",
    "dscn",
    "dscf",
    "dsci",
    "dcim",
    "pxl",
    "mvimg",
    "pano",
    "vid",
    "video",
    "mov",
    "mvi",
    "gopr",
    "dji",
    "cimg",
    "hpim",
    "kimg",
    "rimg",
    "pict",
    "pic",
    "picture",
    "pictures",
    "photo",
    "photos",
    "foto",
    "fotos",
    "bild",
    "bilder",
    "imagen",
    "scan",
    "scanned",
    "screenshot",
    "screen",
    "bildschirmfoto",
    "capture",
    "captura",
    "whatsapp",
    "signal",
    "telegram",
    "messenger",
    "snapchat",
    "received",
    "fb",
    "facebook",
    "instagram",
    "burst",
    "camera",
    "cam",
    "kamera",
    "webcam",
    "frame",
    "still",
    "untitled",
    "unnamed",
    "download",
    "downloads",
    "file",
    "tmp",
    "temp",
    "folder",
    "ordner",
    "mg",
    "face",
    "crop",
    "cropped",
    "snapshot",
    "portrait",
    "selfie",
    "thumbnail",
    "unbenannt",
    "inshot",
];
/// Words that stand beside those, and beside dates.
const BESIDE: [&str; 40] = [
    "e", "mp", "wa", "at", "on", "am", "pm", "um", "uhr", "com", "jpg", "hdr", "night", "cover", "top", "edited",
    "edit", "copy", "kopie", "copia", "copie", "new", "neuer", "roll", "shot", "win", "pro", "wp", "the", "of", "de",
    "a", "large", "small", "thumb", "from", "date", "b", "raw", "final",
];
const MONTHS: [&str; 25] = [
    "jan",
    "feb",
    "mar",
    "apr",
    "may",
    "jun",
    "jul",
    "aug",
    "sep",
    "sept",
    "oct",
    "nov",
    "dec",
    "january",
    "february",
    "march",
    "april",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
    "mai",
];
/// Words for people of whom there are many, so that the number after them is what tells one from another.
const NUMBERED: [&str; 18] = [
    "emp",
    "employee",
    "staff",
    "id",
    "user",
    "person",
    "subject",
    "member",
    "student",
    "visitor",
    "guest",
    "badge",
    "worker",
    "client",
    "customer",
    "personnel",
    "mitarbeiter",
    "people",
];
/// Longest code before a number, as in `EMP-1001`.
const LONGEST_CODE: usize = 6;

/// The name that a photo's name, without its ending, says: `Grace_Hopper_0001` is of Grace Hopper, `EMP-1001` of
/// EMP-1001. None where a camera, a program or a date made it.
pub(super) fn in_photo(stem: &str) -> Option<String> {
    if is_made(stem) {
        return None;
    }
    let name = without_number(without_copy(stem));
    let name = if is_code(name) { name.trim().to_string() } else { spoken(name) };
    (!is_made(&name)).then_some(name)
}

/// The name that a folder's name says. None as for [`in_photo`].
pub(super) fn in_folder(name: &str) -> Option<String> {
    (!is_made(name)).then(|| if is_code(name) { name.trim().to_string() } else { spoken(name) })
}

/// `Grace_Hopper` is Grace Hopper.
fn spoken(name: &str) -> String {
    name.replace('_', " ").trim().to_string()
}

/// The name before ` (2)`, which systems put behind the second of two files of one name.
fn without_copy(stem: &str) -> &str {
    let before = stem.strip_suffix(')').and_then(|s| s.rsplit_once('('));
    match before {
        Some((name, number)) if is_number(number) && !name.trim().is_empty() => name.trim_end(),
        _ => stem,
    }
}

/// The name before `_0001`; the whole where no such number ends it, or where the number is what tells people apart.
fn without_number(stem: &str) -> &str {
    match stem.rsplit_once(['_', '-']) {
        Some((name, number)) if !name.is_empty() && is_number(number) && !tells_apart(name) => name,
        _ => stem,
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

/// Whether people are called by what stands here and a number after it.
fn tells_apart(head: &str) -> bool {
    // A number before the last one has told them apart already.
    let lettered = head.chars().next_back().is_some_and(char::is_alphabetic);
    let code = head.len() <= LONGEST_CODE && head.bytes().all(|b| b.is_ascii_uppercase());
    lettered && (code || words(head).last().is_some_and(|last| NUMBERED.contains(&last.as_str())))
}

/// Whether it is such a number with what stands before it.
fn is_code(name: &str) -> bool {
    name.rsplit_once(['_', '-']).is_some_and(|(head, number)| is_number(number) && tells_apart(head))
}

/// Whether a camera, a program or a date made a name.
pub(super) fn is_made(name: &str) -> bool {
    let (words, numbers) = (words(name), numbers(name));
    let known = |word: &String| MADE.contains(&word.as_str()) || BESIDE.contains(&word.as_str());
    let made = words.iter().any(|w| MADE.contains(&w.as_str()));
    if made && words.iter().all(|w| known(w) || MONTHS.contains(&w.as_str())) {
        return true;
    }
    let first = words.first().map_or("", String::as_str);
    // Telephones put the program's name behind these.
    if matches!(first, "screenshot" | "bildschirmfoto") && !numbers.is_empty() {
        return true;
    }
    let dated = |w: &String| BESIDE.contains(&w.as_str()) || MONTHS.contains(&w.as_str());
    if words.iter().all(dated) && is_date(&words, &numbers) {
        return true;
    }
    by_pattern(name, &numbers)
}

/// Forms that have no word of their own: `P1010001` (Panasonic, Olympus), `SAM_0001` (Samsung), `100_0001` (Kodak),
/// UUIDs and other long hexadecimal numbers.
fn by_pattern(name: &str, numbers: &[&str]) -> bool {
    let hex: String = name.chars().filter(|c| !matches!(c, '-' | '_')).collect();
    let hexadecimal = hex.len() >= 16 && hex.bytes().all(|b| b.is_ascii_hexdigit()) && !numbers.is_empty();
    let tail =
        |head: &str, digits: usize| name.strip_prefix(head).is_some_and(|rest| rest.len() == digits && is_number(rest));
    let kodak = matches!(numbers, [a, b] if a.len() == 3 && a.starts_with('1') && b.len() == 4)
        && name.len() == 8
        && words(name).is_empty();
    // Folders of cameras (DCF): 100CANON, 101_FUJI.
    let folder = name.len() == 8
        && name.as_bytes()[..3].iter().all(u8::is_ascii_digit)
        && name.as_bytes()[3..].iter().all(|b| b.is_ascii_uppercase() || *b == b'_');
    hexadecimal || tail("P1", 6) || tail("SAM_", 4) || kodak || folder
}

/// Whether these are a date's, or the seconds since 1970.
fn is_date(words: &[String], numbers: &[&str]) -> bool {
    let value = |text: &str| text.parse::<u64>().unwrap_or(u64::MAX);
    let year = |text: &str| text.len() == 4 && (1970..=2099).contains(&value(text));
    let month = |text: &str| text.len() <= 2 && (1..=12).contains(&value(text));
    let day = |text: &str| text.len() <= 2 && (1..=31).contains(&value(text));
    let in_one = |text: &str| {
        let date = text.get(..8).is_some_and(|d| year(&d[..4]) && month(&d[4..6]) && day(&d[6..]));
        date && matches!(text.len(), 8 | 12 | 14 | 17)
    };
    if words.iter().any(|w| MONTHS.contains(&w.as_str())) {
        return numbers.iter().any(|n| year(n));
    }
    // 2014 to 2033, in seconds or milliseconds.
    let since_1970 = |n: u64| [1, 1000].iter().any(|unit| (1_400_000_000..2_000_000_000).contains(&(n / unit)));
    match numbers {
        [one] => in_one(one) || since_1970(value(one)),
        [first, ..] if in_one(first) => true,
        [y, m, ..] if year(y) && month(m) => true,
        [d, m, y, ..] => day(d) && month(m) && (year(y) || y.len() == 2) || month(d) && day(m) && year(y),
        _ => false,
    }
}

/// Runs of letters, in lower case.
fn words(name: &str) -> Vec<String> {
    let runs = name.split(|c: char| !c.is_alphabetic()).filter(|run| !run.is_empty());
    runs.map(str::to_lowercase).collect()
}

/// Runs of digits.
fn numbers(name: &str) -> Vec<&str> {
    name.split(|c: char| !c.is_ascii_digit()).filter(|run| !run.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_cameras_programs_and_dates_are_nobodys() {
        for made in [
            "IMG_1234",
            "IMG_E1234",
            "img_1234 (1)",
            "IMG_1234 2",
            "IMG_1234 - Kopie",
            "DSC0001",
            "DSC_0001",
            "DSCN1234",
            "DSCF0001",
            "_MG_1234",
            "PXL_20240501_120000123",
            "PXL_20240501_120000123.MP",
            "PXL_20240501_120000.PORTRAIT-01.COVER",
            "MVIMG_20240501_120000",
            "2024-05-01 12.00",
            "2024-05-01",
            "20240501",
            "20240501_120000",
            "20240501120000",
            "01.05.2024",
            "1-5-24",
            "May 2024",
            "3 May 2024",
            "1714560000",
            "1714560000000",
            "IMG-20240501-WA0001",
            "WhatsApp Image 2024-05-01 at 12.00.00 (1)",
            "Screenshot",
            "Screenshot 2024-05-01 at 12.00.00",
            "Screenshot_20240501-120000_WhatsApp",
            "Screen Shot 2024",
            "Bildschirmfoto 2024-05-01 um 12.00.00",
            "signal-2024-05-01-120000_002",
            "photo_5_2024-05-01_12-00-00",
            "FB_IMG_1714560000000",
            "received_123456789",
            "Snapchat-123456",
            "WIN_20240501_12_00_00_Pro",
            "SAM_0001",
            "P1010001",
            "100_0001",
            "3F2504E0-4F89-11D3-9A0C-0305E82C3301",
            "image (3)",
            "image0",
            "unnamed",
            "download",
            "DCIM",
            "100CANON",
            "101_FUJI",
            "New Folder",
            "Camera Roll",
            "face_0001",
            "frame_000123",
        ] {
            assert!(in_photo(made).is_none(), "{made} is taken for {:?}", in_photo(made));
        }
    }

    #[test]
    fn names_of_people_and_their_numbers_stay() {
        for (stem, name) in [
            ("Grace_Hopper_0001", "Grace Hopper"),
            ("Grace-1", "Grace"),
            ("Ada (2)", "Ada"),
            ("solo", "solo"),
            ("EMP-1001", "EMP-1001"),
            ("EMP_1001", "EMP_1001"),
            ("EMP-1001_2", "EMP-1001"),
            ("employee_12", "employee_12"),
            ("1001", "1001"),
            ("E1001", "E1001"),
            ("April_0001", "April"),
            ("Win_0002", "Win"),
            ("Jean-Paul_0003", "Jean-Paul"),
            ("Jos\u{e9}_0001", "Jos\u{e9}"),
            ("\u{738b}\u{82b3}_0002", "\u{738b}\u{82b3}"),
            ("Scanlon_1", "Scanlon"),
            ("Imogen", "Imogen"),
            ("Ada-Lovelace_2024", "Ada-Lovelace"),
        ] {
            assert_eq!(in_photo(stem).as_deref(), Some(name), "{stem}");
        }
        assert_eq!(in_folder("Ada_Lovelace").as_deref(), Some("Ada Lovelace"));
        assert_eq!(in_folder("EMP-1001").as_deref(), Some("EMP-1001"));
        assert_eq!(in_folder("Grace_0001").as_deref(), Some("Grace 0001"), "a folder's number is its own");
        assert_eq!(in_folder("2024-05-01"), None);
    }
}
