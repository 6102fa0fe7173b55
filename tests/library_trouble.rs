//! The photo library where things go wrong: names, files and folders of every kind, files that change while they are looked
//! at, disks that are full or may only be read, and several programs at once.
#![allow(clippy::unwrap_used)] // helpers of tests fail as tests do
#![cfg(all(unix, feature = "cli", feature = "embedded-weights"))]

#[path = "common/place.rs"]
mod place;
#[path = "common/require.rs"]
mod require;
#[path = "common/terminal.rs"]
mod terminal;

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use place::{Place, counts, fixture};

/// A photo as the library lists it: its files, and its faces.
type Listed = (Vec<String>, Vec<u64>);

fn listed(place: &Place) -> Vec<Listed> {
    let list = place.answer(&["library", "list"], 0);
    let photo = |p: &Value| {
        let files = p["files"].as_array().unwrap().iter().map(|f| f.as_str().unwrap().to_string()).collect();
        (files, p["faces"].as_array().unwrap().iter().map(|f| f["id"].as_u64().unwrap()).collect())
    };
    list["photos"].as_array().unwrap().iter().map(photo).collect()
}

fn is_clean(place: &Place) {
    let report = place.open().check().unwrap();
    assert!(report.is_clean(), "{report:?}");
}

#[test]
fn files_of_any_name_are_found_and_loops_empty_files_and_films_of_live_photos_are_not() {
    let place = Place::new(false);
    let photos = place.photos();
    let sources = ["hopper_small.jpg", "hopper_tilt.jpg", "hopper_mirror.jpg", "hopper_crop.jpg"];
    let names: [&[u8]; 4] = [b"-rf.jpg", b"bad\xff\\x41.jpg", b"new\nline\x1b[2J.jpg", &[b'x'; 255]];
    for (source, name) in sources.iter().zip(names) {
        fs::copy(fixture(source), photos.join(OsStr::from_bytes(name))).unwrap();
    }
    fs::create_dir(photos.join("sub")).unwrap();
    symlink("..", photos.join("sub/loop")).unwrap();
    symlink("nowhere.jpg", photos.join("broken.jpg")).unwrap();
    symlink("self.jpg", photos.join("self.jpg")).unwrap();
    File::create(photos.join("empty.jpg")).unwrap();
    fs::write(photos.join("zeros.JPG"), [0; 20_000]).unwrap();
    fs::write(photos.join("notes.txt"), "no photo").unwrap();
    let film = b"\0\0\0\x14ftypqt  \0\0\0\0qt  ";
    place.put("orientation_1.jpg", "sub/IMG_1234.JPG");
    fs::write(photos.join("sub/IMG_1234.MOV"), film).unwrap();
    fs::write(photos.join("sub/IMG_1235.mov"), film).unwrap();
    let scanned = place.add();
    assert_eq!(counts(&scanned, ["photos", "added", "copies"]), [5, 5, 0], "{scanned}");
    let passed = &scanned["passed_over"];
    assert_eq!(passed["a file that is called a photo and is none"], 1, "{scanned}");
    let kinds = ["an empty file", "the film of a live photo", "a film (QuickTime)"];
    assert_eq!(kinds.map(|k| passed[k].as_u64()), [Some(1); 3], "{passed}");
    assert_eq!(place.add()["unchanged"], 5);
    // A line for each, whatever is in its name; and a link to each, which leads to it.
    let said = String::from_utf8(place.run(&["library", "list"]).stdout).unwrap();
    assert_eq!(said.lines().count(), 6, "{said}");
    assert!(!said.contains('\x1b') && said.contains("new\\nline"), "{said}");
    place.answer(&["cluster"], 0);
    let links = place.at("links");
    let group = place.answer(&["cluster", "list"], 0)["groups"][0]["id"].to_string();
    place.answer(&["find", &group, "-o", links.to_str().unwrap()], 0);
    let linked: Vec<_> = fs::read_dir(&links).unwrap().map(|e| fs::read(e.unwrap().path()).unwrap()).collect();
    assert!(linked.len() > 2 && linked.iter().all(|bytes| bytes.starts_with(b"\xff\xd8")));
    is_clean(&place);
}

#[test]
fn what_may_not_be_read_is_named_and_what_is_behind_a_closed_door_is_not_missing() {
    let place = Place::new(false);
    place.put("hopper_small.jpg", "open/1.jpg");
    place.put("hopper_tilt.jpg", "closed/2.jpg");
    place.put("orientation_1.jpg", "open/3.jpg");
    let photos = place.photos();
    let close =
        |name: &str, mode: u32| fs::set_permissions(photos.join(name), PermissionsExt::from_mode(mode)).unwrap();
    // Nothing is closed to root, so that the scan is somebody else's.
    let root = fs::metadata("/proc/self").is_ok_and(|m| m.uid() == 0);
    let scan = || {
        let mut command = place.command(&["library", "add", photos.to_str().unwrap(), "--json"]);
        if root {
            let own = |path: &Path| chown(path, Some(65_534), Some(65_534)).unwrap();
            own(photos.parent().unwrap());
            for folder in ["", "open", "closed"] {
                own(&photos.join(folder));
            }
            command.uid(65_534).gid(65_534);
        }
        let done = command.output().unwrap();
        let text = String::from_utf8_lossy(&done.stdout).into_owned();
        let answer = serde_json::from_str::<Value>(&text);
        (done.status.code(), answer.unwrap_or_else(|e| panic!("{e}: {text}{}", String::from_utf8_lossy(&done.stderr))))
    };
    close("open/3.jpg", 0o0);
    let (code, first) = scan();
    assert_eq!((code, counts(&first, ["photos", "missing"])), (Some(2), [2, 0]), "{first}");
    assert_eq!(first["refused"][0]["code"], "photo.unreadable", "{first}");
    close("open/3.jpg", 0o644);
    close("closed", 0o0);
    let (code, second) = scan();
    assert_eq!((code, counts(&second, ["photos", "added", "missing"])), (Some(2), [2, 1, 0]), "{second}");
    assert_eq!(second["refused"].as_array().unwrap().len(), 1, "{second}");
    assert!(second["refused"][0]["path"].as_str().unwrap().ends_with("closed"), "{second}");
    close("closed", 0o755);
    let (code, third) = scan();
    assert_eq!((code, counts(&third, ["photos", "unchanged", "missing"])), (Some(0), [3, 3, 0]), "{third}");
}

#[test]
fn a_photo_that_is_being_written_keeps_its_faces_and_their_names() {
    let place = Place::new(false);
    place.put("grace_hopper.jpg", "1.jpg");
    place.put("hopper_tilt.jpg", "2.jpg");
    place.add();
    let before = listed(&place);
    let group = place.answer(&["cluster"], 0)["groups"][0]["id"].to_string();
    place.answer(&["cluster", "name", &group, "Grace"], 0);
    let photo = place.photos().join("1.jpg");
    let whole = fs::read(&photo).unwrap();
    let add = |code: i32| place.answer(&["library", "add", place.photos().to_str().unwrap()], code);
    // Emptied, then half there, then something else for a moment.
    for (bytes, code) in [(&b""[..], 0), (&whole[..whole.len() / 2], 2), (b"PK\x03\x04 an archive", 0)] {
        fs::write(&photo, bytes).unwrap();
        let scanned = add(code);
        assert_eq!(scanned["changed"], 0, "{scanned}");
        assert_eq!(listed(&place).len(), 1, "it is not shown meanwhile");
        add(code);
    }
    fs::write(&photo, &whole).unwrap();
    let scanned = add(0);
    assert_eq!(counts(&scanned, ["added", "changed"]), [0, 0], "{scanned}");
    assert_eq!(listed(&place), before, "each face has the number that it had");
    assert_eq!(place.answer(&["find", "Grace"], 0)["photos"].as_array().unwrap().len(), 2);
    // One that grows until it is a photo.
    for (length, code, added) in [(0, 0, 0), (3000, 2, 1), (whole.len(), 0, 0)] {
        let bytes = [&whole[..length], if length == whole.len() { b"more" } else { b"" }].concat();
        fs::write(place.photos().join("3.jpg"), bytes).unwrap();
        let scanned = add(code);
        assert_eq!(scanned["added"], added, "{length}: {scanned}");
    }
    assert_eq!(listed(&place).len(), 3);
    is_clean(&place);
}

#[test]
fn clocks_may_say_what_they_like() {
    let place = Place::new(false);
    let day = Duration::from_secs(86_400);
    let times = [SystemTime::now() + 3650 * day, UNIX_EPOCH - day, UNIX_EPOCH - 2 * day];
    for (time, (name, source)) in
        times.iter().zip([("1.jpg", "hopper_small.jpg"), ("2.jpg", "hopper_tilt.jpg"), ("3.jpg", "orientation_1.jpg")])
    {
        place.put(source, name);
        File::options().write(true).open(place.photos().join(name)).unwrap().set_modified(*time).unwrap();
    }
    assert_eq!(place.add()["added"], 3);
    assert_eq!(place.add()["unchanged"], 3);
    // Other bytes, as old as before: told by the size, or by a time that was before all times.
    let put = |name: &str, source: &str, time: SystemTime| {
        place.put(source, name);
        File::options().write(true).open(place.photos().join(name)).unwrap().set_modified(time).unwrap();
    };
    put("1.jpg", "hopper_crop.jpg", times[0]);
    put("2.jpg", "hopper_tilt.jpg", times[2]);
    let scanned = place.add();
    assert_eq!(counts(&scanned, ["unchanged", "changed", "added"]), [1, 1, 0], "{scanned}");
    assert_eq!(place.add()["unchanged"], 3);
}

#[test]
fn two_scans_at_once_and_one_beside_a_service_double_nothing() {
    let place = Place::new(true);
    let photo = fs::read(fixture("hopper_small.jpg")).unwrap();
    for number in 0..40 {
        fs::write(place.photos().join(format!("{number}.jpg")), [&photo, format!("{number}").as_bytes()].concat())
            .unwrap();
    }
    let photos = place.photos();
    let scan = || place.command(&["library", "add", photos.to_str().unwrap()]).stdout(Stdio::null()).spawn().unwrap();
    let both = [scan(), scan()];
    for mut child in both {
        assert!(child.wait().unwrap().success());
    }
    let all = listed(&place);
    assert_eq!((all.len(), all.iter().map(|p| p.1.len()).sum::<usize>()), (40, 40));
    is_clean(&place);
    #[cfg(feature = "serve")]
    {
        let mut service = place.command(&["serve", "--listen", "127.0.0.1:0"]);
        let mut service = service.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let begun = Instant::now();
        while !place.at("faces/SOCKET").exists() {
            assert!(begun.elapsed() < Duration::from_secs(120), "the service does not start");
            std::thread::sleep(Duration::from_millis(50));
        }
        place.put("astronaut.png", "more.png");
        place.put("astronaut_q30.jpg", "again.jpg");
        let scanned = place.answer(&["library", "add", photos.to_str().unwrap(), "--wait", "0"], 0);
        assert_eq!(counts(&scanned, ["added", "unchanged"]), [2, 40], "{scanned}");
        assert_eq!(place.answer(&["cluster", "--wait", "0"], 0)["faces"], 42);
        assert!(Command::new("kill").arg(service.id().to_string()).status().unwrap().success());
        assert!(service.wait().unwrap().success());
        assert_eq!(listed(&place).len(), 42);
        is_clean(&place);
    }
}

#[test]
fn watching_sees_files_come_move_change_and_go_and_ends_at_an_interrupt() {
    let place = Place::new(false);
    place.put("hopper_small.jpg", "1.jpg");
    let photos = place.photos();
    let mut watch = place.command(&["library", "add", photos.to_str().unwrap(), "--watch", "--every", "0.2"]);
    let mut watch = watch.stdout(Stdio::null()).spawn().unwrap();
    let until = |what: &str, is_so: &dyn Fn(&[Listed]) -> bool| {
        let begun = Instant::now();
        // There is no database before the first photo is in it.
        while !place.at("faces/CURRENT").exists() || !is_so(&listed(&place)) {
            assert!(begun.elapsed() < Duration::from_secs(120), "{what}: {:?}", listed(&place));
            std::thread::sleep(Duration::from_millis(100));
        }
        listed(&place)
    };
    let named = |photos: &[Listed], ending: &str| photos.iter().any(|p| p.0.iter().any(|f| f.ends_with(ending)));
    let first = until("the first", &|all| all.len() == 1);
    place.put("orientation_1.jpg", "2.jpg");
    until("one that came", &|all| all.len() == 2);
    fs::create_dir(photos.join("sub")).unwrap();
    fs::rename(photos.join("1.jpg"), photos.join("sub/moved.jpg")).unwrap();
    let moved = until("one that moved", &|all| all.len() == 2 && named(all, "sub/moved.jpg"));
    assert!(moved.iter().any(|p| p.1 == first[0].1), "its face has its number: {moved:?}");
    place.put("two_faces.jpg", "2.jpg");
    until("one that changed", &|all| all.iter().any(|p| p.1.len() == 2));
    fs::remove_file(photos.join("2.jpg")).unwrap();
    until("one that went", &|all| all.len() == 1);
    assert!(watch.try_wait().unwrap().is_none(), "it goes on");
    // A shell that starts the tests in the background has them ignore interrupts, and what they start.
    let status = fs::read_to_string(format!("/proc/{}/status", watch.id())).unwrap_or_default();
    let ignored = status.lines().find_map(|l| u64::from_str_radix(l.strip_prefix("SigIgn:")?.trim(), 16).ok());
    let signal = if ignored.is_some_and(|mask| mask & 2 != 0) { "-TERM" } else { "-INT" };
    assert!(Command::new("kill").args([signal, &watch.id().to_string()]).status().unwrap().success());
    let begun = Instant::now();
    while watch.try_wait().unwrap().is_none() {
        assert!(begun.elapsed() < Duration::from_secs(20), "it does not end");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(listed(&place).len(), 1);
    is_clean(&place);
}

#[cfg(target_os = "linux")]
#[test]
fn a_disk_that_is_full_or_may_only_be_read_stops_a_scan_that_goes_on_later() {
    struct Mounted(std::path::PathBuf);
    impl Drop for Mounted {
        fn drop(&mut self) {
            let _ = Command::new("umount").arg("-l").arg(&self.0).status();
        }
    }
    let place = Place::new(true);
    let photo = fs::read(fixture("hopper_small.jpg")).unwrap();
    for number in 0..96 {
        fs::write(place.photos().join(format!("{number}.jpg")), [&photo, format!("{number}").as_bytes()].concat())
            .unwrap();
    }
    let disk = place.at("faces");
    fs::create_dir(&disk).unwrap();
    let mount = |options: &str| {
        let done = Command::new("mount").args(["-t", "tmpfs", "-o", options, "none"]).arg(&disk).output();
        done.is_ok_and(|o| o.status.success())
    };
    if !mount("size=10m,mode=700") {
        return require::missing("this user may not mount a small file system");
    }
    let _mounted = Mounted(disk.clone());
    let photos = place.photos();
    let scan = ["library", "add", photos.to_str().unwrap(), "--min-face", "60"];
    assert_eq!(place.answer(&["library", "add", fixture("grace_hopper.jpg").to_str().unwrap()], 0)["added"], 1);
    // Room for a few of the batches.
    let filler = disk.join("filler");
    let free = String::from_utf8(Command::new("df").args(["--output=avail", "-k"]).arg(&disk).output().unwrap().stdout);
    let free: usize = free.unwrap().lines().nth(1).unwrap().trim().parse().unwrap();
    fs::write(&filler, vec![1; free.saturating_sub(400) * 1024]).unwrap();
    let full = place.answer(&scan, 2);
    assert_eq!(full["error"]["code"], "store.full", "{full}");
    fs::remove_file(&filler).unwrap();
    let written = listed(&place);
    let rest = place.answer(&scan, 0);
    assert_eq!(rest["unchanged"].as_u64().unwrap() as usize + 1, written.len(), "{rest}");
    let all = listed(&place);
    assert_eq!((all.len(), all.iter().map(|p| p.1.len()).sum::<usize>()), (97, 97));
    assert!(written.iter().all(|photo| all.contains(photo)), "a face has another number");
    is_clean(&place);
    place.put("astronaut.png", "more.png");
    assert!(Command::new("mount").args(["-o", "remount,ro"]).arg(&disk).status().unwrap().success());
    let refused = place.answer(&scan, 2);
    let code = refused["error"]["code"].as_str().unwrap_or_default();
    assert!(code.starts_with("store."), "{refused}");
    assert!(Command::new("mount").args(["-o", "remount,rw"]).arg(&disk).status().unwrap().success());
    assert_eq!(place.answer(&scan, 0)["added"], 1);
    is_clean(&place);
}

#[test]
fn at_a_terminal_it_is_asked_before_two_become_one_and_before_photos_are_forgotten() {
    let place = Place::new(true);
    for name in ["grace_hopper.jpg", "hopper_tilt.jpg", "astronaut.png", "astronaut_q30.jpg"] {
        place.put(name, name);
    }
    place.add();
    let groups = place.answer(&["cluster"], 0)["groups"].as_array().unwrap().clone();
    let [grace, other] = [0, 1].map(|n| groups[n]["id"].to_string());
    place.answer(&["cluster", "name", &grace, "Grace"], 0);
    // Nobody is there to be asked.
    let name = ["cluster", "name", other.as_str(), "Grace"];
    assert_eq!(place.answer(&name, 2)["error"]["code"], "library.same_name");
    let count = || place.answer(&["cluster", "list", "--wait", "0"], 0)["groups"].as_array().unwrap().len();
    // While somebody thinks, nobody else waits for the database.
    let typed =
        |arguments: &[&str], answer: &str| terminal::typed(&place.command(arguments), || assert!(count() > 0), answer);
    let Some((code, said)) = typed(&name, "n") else {
        return require::missing("there is no `script` to make a terminal");
    };
    assert_eq!(code, Some(2), "{said}");
    assert!(
        said.contains(&format!("group {grace} is Grace already")) && said.contains("nothing was changed"),
        "{said}"
    );
    assert!(said.contains(&format!("Is group {other} the same person? The two are one then [y/N]")), "{said}");
    assert_eq!(count(), 2);
    let (code, said) = typed(&name, "y").unwrap();
    assert!(code == Some(0) && said.contains(&format!("group {grace}: Grace, 4 faces")), "{said}");
    assert_eq!(count(), 1);
    let photos = place.photos();
    let remove = ["library", "remove", photos.to_str().unwrap()];
    let (code, said) = typed(&remove, "no").unwrap();
    assert!(code == Some(2) && said.contains("and the name Grace"), "{said}");
    assert_eq!(listed(&place).len(), 4);
    let (code, said) = typed(&remove, "yes").unwrap();
    assert!(code == Some(0) && said.contains("4 photos forgotten"), "{said}");
    assert!(listed(&place).is_empty());
}

#[test]
fn a_key_is_asked_for_once_however_often_the_database_is_opened() {
    let place = Place::new(true);
    place.put("hopper_small.jpg", "1.jpg");
    place.add();
    let asked = place.at("asked");
    let tell = format!("echo >> '{}'; cat '{}'", asked.display(), place.at("key").display());
    let run = |arguments: &[&str]| {
        let _ = fs::remove_file(&asked);
        let mut command = Command::new(env!("CARGO_BIN_EXE_kith"));
        command.args(arguments).arg("--db").arg(place.at("faces")).args(["--quiet", "--key-command", &tell]);
        command
    };
    let times = || fs::read_to_string(&asked).unwrap_or_default().lines().count();
    let photos = place.photos();
    let mut watch = run(&["library", "add", photos.to_str().unwrap(), "--watch", "--every", "0.1"]);
    let mut watch = watch.stdout(Stdio::null()).spawn().unwrap();
    place.put("orientation_1.jpg", "2.jpg");
    let begun = Instant::now();
    while listed(&place).len() < 2 {
        assert!(begun.elapsed() < Duration::from_secs(120), "it is not found");
        std::thread::sleep(Duration::from_millis(100));
    }
    std::thread::sleep(Duration::from_millis(500));
    watch.kill().unwrap();
    watch.wait().unwrap();
    assert_eq!(times(), 1, "it was opened again and again");
    assert!(run(&["library", "remove", photos.to_str().unwrap(), "--yes"]).output().unwrap().status.success());
    assert_eq!(times(), 1);
}

#[test]
fn a_file_that_several_paths_lead_to_is_one_file() {
    let place = Place::new(false);
    place.put("hopper_small.jpg", "in/1.jpg");
    place.put("orientation_1.jpg", "2.jpg");
    let (photos, link) = (place.photos(), place.at("link"));
    symlink("photos", &link).unwrap();
    // The folder by itself, by a link, by a detour, from within, and one inside the other; links to its own files.
    symlink(photos.join("2.jpg"), photos.join("in/again.jpg")).unwrap();
    let detour = photos.join("in/..");
    for folders in [vec![&link], vec![&photos, &link, &detour], vec![&photos]] {
        let folders = folders.into_iter().map(|f| f.to_str().unwrap());
        let scanned = place.answer(&["library", "add"].into_iter().chain(folders).collect::<Vec<_>>(), 0);
        assert_eq!(counts(&scanned, ["photos", "copies", "moved", "missing"]), [2, 0, 0, 0], "{scanned}");
    }
    let mut within = place.command(&["library", "add", ".", "in", "--json"]);
    let done = within.current_dir(&link).output().unwrap();
    let scanned: Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!(counts(&scanned, ["unchanged", "added", "copies"]), [2, 0, 0], "{scanned}");
    assert_eq!(place.answer(&["library", "duplicates"], 0)["duplicates"].as_array().unwrap().len(), 0);
    let real = fs::canonicalize(&photos).unwrap();
    assert!(listed(&place).iter().flat_map(|p| &p.0).all(|file| Path::new(file).starts_with(&real)));
    // A link to a file elsewhere is the only way to it.
    fs::copy(fixture("hopper_tilt.jpg"), place.at("elsewhere.jpg")).unwrap();
    symlink(place.at("elsewhere.jpg"), photos.join("3.jpg")).unwrap();
    assert_eq!(place.add()["added"], 1);
    fs::remove_file(photos.join("3.jpg")).unwrap();
    assert_eq!(place.add()["missing"], 1);
    // What the link leads to is forgotten by the link's name, also when the folder is not there any more.
    fs::rename(photos.join("in"), place.at("away")).unwrap();
    let gone = place.answer(&["library", "remove", "--yes", link.join("in").to_str().unwrap()], 0);
    assert_eq!(gone["photos"], 1, "{gone}");
    is_clean(&place);
}

#[test]
fn of_an_empty_library_it_is_said_that_it_is_empty() {
    let place = Place::new(false);
    assert_eq!(place.add()["photos"], 0);
    assert_eq!(place.answer(&["library", "list"], 0)["photos"], serde_json::json!([]));
    let refused = place.answer(&["cluster"], 2);
    assert_eq!(refused["error"]["code"], "library.no_faces");
    assert!(
        refused["error"]["message"].as_str().unwrap().contains("no photo in the library shows a face"),
        "{refused}"
    );
}
