//! The log as it is written, harmed, and found so.

use super::super::log::ROTATE_BYTES;
use super::super::segments::{head_in, log_in, next_in, rotated, rotated_in};
use super::super::{AuditHead, last_lines, verify_log};
use super::*;

fn event(person: &str) -> Event {
    Event { person: Some(person.to_string()), ..Event::new("key", "a test's", "identify") }
}

async fn written(state: &Path, count: usize) {
    let audit = Audit::open(state, ROTATE_BYTES).unwrap();
    for i in 0..count {
        assert!(audit.record(event(&format!("person {i}"))).await.is_some());
    }
    audit.stop();
    assert!(audit.record(event("too late")).await.is_none());
}

fn lines(state: &Path) -> Vec<String> {
    std::fs::read_to_string(log_in(state)).unwrap().lines().map(str::to_string).collect()
}

fn put(state: &Path, lines: &[String]) {
    std::fs::write(log_in(state), lines.iter().map(|l| format!("{l}\n")).collect::<String>()).unwrap();
}

#[tokio::test]
async fn lines_follow_from_one_another_over_restarts() {
    let folder = tempfile::tempdir().unwrap();
    written(folder.path(), 3).await;
    written(folder.path(), 2).await;
    let report = verify_log(folder.path(), None).unwrap();
    assert_eq!((report.head.lines, report.after_head, report.torn_bytes), (5, 0, 0));
    let last = last_lines(folder.path(), None, 2).unwrap();
    assert_eq!((last[0]["seq"].clone(), last[1]["person"].as_str()), (5.into(), Some("person 0")));
    assert_eq!(last_lines(folder.path(), Some(3), 10).unwrap().len(), 2);
}

#[tokio::test]
async fn many_at_once_are_all_there_once() {
    let folder = tempfile::tempdir().unwrap();
    let audit = Arc::new(Audit::open(folder.path(), ROTATE_BYTES).unwrap());
    let all: Vec<_> = (0..300)
        .map(|i| {
            let audit = audit.clone();
            tokio::spawn(async move { audit.record(event(&i.to_string())).await })
        })
        .collect();
    for one in all {
        assert!(one.await.unwrap().is_some());
    }
    audit.stop();
    assert_eq!(verify_log(folder.path(), None).unwrap().head.lines, 300);
    let all = last_lines(folder.path(), None, 1000).unwrap();
    let seqs: Vec<u64> = all.iter().map(|l| l["seq"].as_u64().unwrap()).collect();
    assert_eq!(seqs, (1..=300).rev().collect::<Vec<_>>());
}

#[tokio::test]
async fn every_way_to_change_a_log_shows_and_keeps_the_service_from_starting() {
    type Harm = fn(&mut Vec<String>);
    let harms: [(&str, u64, Harm); 6] = [
        ("an edit", 3, |l| l[1] = l[1].replace("person 1", "person 9")),
        ("an edit of the last", 4, |l| l[3] = l[3].replace("person 3", "person 9")),
        ("a deletion", 2, |l| drop(l.remove(1))),
        ("another order", 2, |l| l.swap(1, 2)),
        ("a missing end", 4, |l| l.truncate(3)),
        ("nothing left", 1, |l| l.clear()),
    ];
    for (name, at, harm) in harms {
        let folder = tempfile::tempdir().unwrap();
        written(folder.path(), 4).await;
        let mut changed = lines(folder.path());
        harm(&mut changed);
        put(folder.path(), &changed);
        let error = verify_log(folder.path(), None).unwrap_err();
        assert!(matches!(&error, ServeError::AuditBroken { line, .. } if *line == at), "{name}: {error}");
        assert!(Audit::open(folder.path(), ROTATE_BYTES).is_err(), "{name}");
    }
    let folder = tempfile::tempdir().unwrap();
    written(folder.path(), 4).await;
    std::fs::remove_file(head_in(folder.path())).unwrap();
    assert!(verify_log(folder.path(), None).is_err(), "without its head");
    written_away(folder.path());
}

fn written_away(state: &Path) {
    std::fs::write(head_in(state), AuditHead { lines: 4, sha256: "0".repeat(64) }.to_bytes()).unwrap();
    std::fs::remove_file(log_in(state)).unwrap();
    assert!(verify_log(state, None).is_err(), "without its log");
}

#[tokio::test]
async fn a_line_cut_off_by_a_kill_is_taken_back_and_a_whole_one_kept() {
    let folder = tempfile::tempdir().unwrap();
    written(folder.path(), 3).await;
    let head = std::fs::read(head_in(folder.path())).unwrap();
    written(folder.path(), 1).await;
    // As if killed between the log's sync and the head's, in the middle of a further line.
    std::fs::write(head_in(folder.path()), head).unwrap();
    let mut text = std::fs::read(log_in(folder.path())).unwrap();
    text.extend(b"{\"seq\":5,\"at\"");
    std::fs::write(log_in(folder.path()), text).unwrap();
    let report = verify_log(folder.path(), None).unwrap();
    assert_eq!((report.head.lines, report.after_head, report.torn_bytes), (4, 1, 13));
    written(folder.path(), 1).await;
    let report = verify_log(folder.path(), None).unwrap();
    assert_eq!((report.head.lines, report.after_head, report.torn_bytes), (5, 0, 0));
}

#[tokio::test]
async fn a_new_chain_is_found_by_a_head_that_was_noted() {
    let folder = tempfile::tempdir().unwrap();
    written(folder.path(), 3).await;
    let noted = verify_log(folder.path(), None).unwrap().head;
    written(folder.path(), 1).await;
    assert!(verify_log(folder.path(), Some(&noted)).is_ok());
    let forged = tempfile::tempdir().unwrap();
    written(forged.path(), 4).await;
    assert!(verify_log(forged.path(), None).is_ok() && verify_log(forged.path(), Some(&noted)).is_err());
    let short = AuditHead { lines: 9, ..noted };
    assert!(verify_log(folder.path(), Some(&short)).is_err());
}

#[test]
fn two_services_do_not_share_a_log() {
    let folder = tempfile::tempdir().unwrap();
    let held = Audit::open(folder.path(), ROTATE_BYTES).unwrap();
    assert_eq!(Audit::open(folder.path(), ROTATE_BYTES).unwrap_err().code(), "serve.audit_held");
    held.stop();
    assert!(Audit::open(folder.path(), ROTATE_BYTES).is_ok());
}

/// Bytes of a file in these tests: some ten lines.
const SMALL: u64 = 3000;

async fn write_on(state: &Path, count: usize) {
    let audit = Audit::open(state, SMALL).unwrap();
    for i in 0..count {
        assert!(audit.record(event(&format!("person {i}"))).await.is_some());
    }
    audit.stop();
}

fn broken_at(state: &Path) -> (String, u64) {
    match verify_log(state, None).unwrap_err() {
        ServeError::AuditBroken { path, line, .. } => {
            (Path::new(&path).file_name().unwrap().to_string_lossy().into_owned(), line)
        }
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn a_full_file_is_renamed_and_the_chain_goes_on_over_all_of_them() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path();
    // Lines of before there were rotations stay the first.
    written(state, 3).await;
    write_on(state, 40).await;
    write_on(state, 40).await;
    let report = verify_log(state, None).unwrap();
    assert_eq!((report.head.lines, report.after_head, report.torn_bytes), (83, 0, 0));
    let files = rotated(state).unwrap();
    assert!(files.len() > 4 && report.files == files.len() as u64 + 1, "{files:?}");
    for file in &files {
        assert!(std::fs::metadata(&file.path).unwrap().len() <= SMALL);
        assert!(std::fs::read_to_string(&file.path).unwrap().starts_with(&format!("{{\"seq\":{},", file.first)));
    }
    let all = last_lines(state, None, 100).unwrap();
    let seqs: Vec<u64> = all.iter().map(|l| l["seq"].as_u64().unwrap()).collect();
    assert_eq!(seqs, (1..=83).rev().collect::<Vec<_>>());
    // A rotated file that is gone, was changed, or was cut is found, and the service does not start.
    for (i, file) in files.iter().enumerate() {
        let (kept, name) = (std::fs::read(&file.path).unwrap(), file.path.file_name().unwrap().to_string_lossy());
        let lines = kept.iter().filter(|b| **b == b'\n').count() as u64;
        std::fs::remove_file(&file.path).unwrap();
        assert_eq!(broken_at(state).1, file.first);
        std::fs::write(&file.path, String::from_utf8_lossy(&kept).replacen("person", "nobody", 1)).unwrap();
        assert_eq!(broken_at(state).1, file.first + 1, "{i}");
        std::fs::write(&file.path, &kept[..kept.len() - 2]).unwrap();
        assert_eq!(broken_at(state), (name.to_string(), file.first + lines - 1), "{i}");
        assert!(Audit::open(state, SMALL).is_err());
        std::fs::write(&file.path, &kept).unwrap();
        assert!(verify_log(state, None).is_ok());
    }
}

#[tokio::test]
async fn a_crash_in_the_middle_of_a_rotation_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path();
    write_on(state, 25).await;
    // Renamed, and killed before the new file took its place.
    let active = std::fs::read_to_string(log_in(state)).unwrap();
    let first: u64 = active["{\"seq\":".len()..].split(',').next().unwrap().parse().unwrap();
    std::fs::rename(log_in(state), rotated_in(state, first)).unwrap();
    std::fs::write(next_in(state), "").unwrap();
    assert_eq!(verify_log(state, None).unwrap().head.lines, 25);
    assert_eq!(last_lines(state, None, 2).unwrap()[0]["seq"], 25);
    write_on(state, 1).await;
    assert_eq!(verify_log(state, None).unwrap().head.lines, 26);
    assert!(!next_in(state).exists() && log_in(state).exists());
    // The same where the renamed file is then taken away.
    std::fs::rename(log_in(state), state.join("elsewhere")).unwrap();
    assert_eq!(broken_at(state), ("audit.jsonl".to_string(), 26));
}

/// Writes lines until it is killed, and says each that is acknowledged.
#[tokio::test]
#[ignore = "the child of the test below"]
async fn child() {
    let Ok(state) = std::env::var("KITH_TEST_FOLDER") else { return };
    let audit = Arc::new(Audit::open(Path::new(&state), SMALL).unwrap());
    loop {
        // Two at once, as requests come.
        let (a, b) = tokio::join!(audit.record(event("a")), audit.record(event("b")));
        println!("acknowledged {}", a.unwrap().max(b.unwrap()));
        if std::io::Write::flush(&mut std::io::stdout()).is_err() {
            return;
        }
    }
}

#[test]
fn kills_at_whatever_moment_lose_no_acknowledged_line() {
    use std::io::{BufRead, BufReader};
    let folder = tempfile::tempdir().unwrap();
    let mut acknowledged = 0;
    for round in 0..12u64 {
        let mut process = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "serve::audit::writer::tests::child", "--ignored", "--nocapture", "--test-threads=1"])
            .env("KITH_TEST_FOLDER", folder.path())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let numbers = lines.map_while(Result::ok).filter_map(|l| {
            let (_, number) = l.split_once("acknowledged ")?;
            number.parse::<u64>().ok()
        });
        for (count, number) in numbers.enumerate() {
            acknowledged = acknowledged.max(number);
            // At another place of a file each time.
            if count as u64 == 3 + round * 5 {
                let _ = process.kill();
            }
        }
        process.wait().unwrap();
        let report = verify_log(folder.path(), None).unwrap();
        assert!(report.head.lines >= acknowledged, "round {round}: {report:?}, acknowledged {acknowledged}");
    }
    assert!(acknowledged > 100 && rotated(folder.path()).unwrap().len() > 5, "{acknowledged}");
}

#[cfg(unix)]
#[tokio::test]
async fn a_log_that_is_not_what_it_was_takes_no_more_lines() {
    type Harm = fn(&Path);
    let harms: [(&str, Harm); 9] = [
        ("deleted", |s| std::fs::remove_file(log_in(s)).unwrap()),
        ("moved", |s| std::fs::rename(log_in(s), s.join("moved")).unwrap()),
        ("replaced by a copy", |s| {
            let copy = s.join("copy");
            std::fs::copy(log_in(s), &copy).unwrap();
            std::fs::rename(copy, log_in(s)).unwrap();
        }),
        ("replaced by a link to itself", |s| {
            std::fs::rename(log_in(s), s.join("moved")).unwrap();
            std::os::unix::fs::symlink(s.join("moved"), log_in(s)).unwrap();
        }),
        ("cut to nothing", |s| std::fs::write(log_in(s), "").unwrap()),
        ("cut by a line", |s| {
            let text = std::fs::read_to_string(log_in(s)).unwrap();
            let file = std::fs::File::options().write(true).open(log_in(s)).unwrap();
            file.set_len(text.trim_end().rfind('\n').unwrap() as u64 + 1).unwrap();
        }),
        ("written to", |s| {
            let mut file = std::fs::File::options().append(true).open(log_in(s)).unwrap();
            std::io::Write::write_all(&mut file, b"{}\n").unwrap();
        }),
        ("without its head", |s| std::fs::remove_file(head_in(s)).unwrap()),
        ("without its folder", |s| std::fs::rename(s, s.with_extension("moved")).unwrap()),
    ];
    for (name, harm) in harms {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("state");
        std::fs::create_dir(&state).unwrap();
        let audit = Audit::open(&state, SMALL).unwrap();
        for _ in 0..3 {
            assert!(audit.record(event("before")).await.is_some());
        }
        assert_eq!(audit.look().await, None);
        harm(&state);
        assert_eq!(audit.record(event("after")).await, None, "{name}");
        assert!(audit.look().await.is_some() && !audit.is_writable(), "{name}");
        assert_eq!(audit.lines(), 3);
        audit.stop();
    }
}

#[tokio::test]
async fn a_log_that_is_put_back_goes_on_and_says_for_how_long_it_did_not() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path();
    let audit = Audit::open(state, SMALL).unwrap();
    assert_eq!(audit.record(event("before")).await, Some(1));
    std::fs::rename(log_in(state), state.join("moved")).unwrap();
    // Noticed without a line, too.
    assert!(audit.look().await.unwrap().why.contains("moved, deleted or replaced"));
    for _ in 0..3 {
        assert_eq!(audit.record(event("refused")).await, None);
    }
    std::fs::rename(state.join("moved"), log_in(state)).unwrap();
    assert_eq!(audit.look().await, None);
    assert_eq!(audit.record(event("after")).await, Some(3));
    audit.stop();
    assert_eq!(verify_log(state, None).unwrap().head.lines, 3);
    let said = &last_lines(state, None, 2).unwrap()[1];
    assert_eq!(
        (said["action"].as_str(), said["evidence"]["refused"].as_u64()),
        (Some("audit log unwritable"), Some(3))
    );
}
