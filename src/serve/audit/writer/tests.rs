//! The log as it is written, harmed, and found so.

use super::super::{AuditHead, head_in, last_lines, log_in, verify_log};
use super::*;

fn event(person: &str) -> Event {
    Event { person: Some(person.to_string()), ..Event::new("key", "a test's", "identify") }
}

async fn written(state: &Path, count: usize) {
    let audit = Audit::open(state).unwrap();
    for i in 0..count {
        assert!(audit.record(event(&format!("person {i}"))).await);
    }
    audit.stop();
    assert!(!audit.record(event("too late")).await);
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
    let audit = Arc::new(Audit::open(folder.path()).unwrap());
    let all: Vec<_> = (0..300)
        .map(|i| {
            let audit = audit.clone();
            tokio::spawn(async move { audit.record(event(&i.to_string())).await })
        })
        .collect();
    for one in all {
        assert!(one.await.unwrap());
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
        assert!(Audit::open(folder.path()).is_err(), "{name}");
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
    let held = Audit::open(folder.path()).unwrap();
    assert_eq!(Audit::open(folder.path()).unwrap_err().code(), "serve.audit_held");
    held.stop();
    assert!(Audit::open(folder.path()).is_ok());
}
