//! Writes that are sent again while they run, after they ended, and after the service was stopped or killed.

use std::sync::atomic::{AtomicUsize, Ordering};

use axum::body::to_bytes;
use tokio::sync::oneshot;

use super::*;

const LONG: Duration = Duration::from_secs(60);

struct Desk {
    folder: tempfile::TempDir,
    repeats: Arc<Repeats>,
    carried: Carried,
    /// How often a write ran: each is one of the database, too.
    runs: Arc<AtomicUsize>,
    /// Number of the database's last write before.
    before: u64,
}

fn desk_in(folder: tempfile::TempDir, writes: u64) -> Desk {
    let repeats = Repeats::open(folder.path(), writes).unwrap();
    Desk { folder, repeats, carried: Carried::default(), runs: Arc::default(), before: writes }
}

fn desk() -> Desk {
    desk_in(tempfile::tempdir().unwrap(), 0)
}

fn key(name: &str) -> Again {
    Again(Some(Sha256::digest(name).into()))
}

impl Desk {
    async fn send<W>(&self, within: Duration, name: &str, write: W) -> Result<(u16, bool, String), String>
    where
        W: Future<Output = Result<String, Problem>> + Send + 'static,
    {
        let runs = self.runs.clone();
        let counted = async move {
            runs.fetch_add(1, Ordering::SeqCst);
            write.await
        };
        let writes = self.writes();
        let asked = Asked { caller: "k", again: key(name), body: [1; 32], writes };
        let response = self.repeats.once(&self.carried, within, asked, StatusCode::CREATED, counted).await;
        let response = response.map_err(|p| p.code().to_string())?;
        let (status, again) = (response.status().as_u16(), response.headers().contains_key(REPLAYED));
        let bytes = to_bytes(response.into_body(), 1 << 20).await.unwrap();
        Ok((status, again, String::from_utf8(bytes.to_vec()).unwrap()))
    }

    /// What a write under that key comes to that says `new` where it is run.
    async fn ask(&self, name: &str) -> Result<(u16, bool, String), String> {
        self.send(LONG, name, async { Ok("new".to_string()) }).await
    }

    /// Number of the database's last write.
    fn writes(&self) -> u64 {
        self.before + self.runs.load(Ordering::SeqCst) as u64
    }

    /// The desk as it is found after a kill now.
    fn killed(&self) -> Desk {
        let folder = tempfile::tempdir().unwrap();
        for entry in std::fs::read_dir(self.folder.path()).unwrap() {
            let entry = entry.unwrap();
            std::fs::copy(entry.path(), folder.path().join(entry.file_name())).unwrap();
        }
        desk_in(folder, self.writes())
    }

    async fn runs(&self, count: usize) {
        while self.runs.load(Ordering::SeqCst) < count {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

fn gated() -> (oneshot::Sender<()>, impl Future<Output = Result<String, Problem>> + Send + 'static) {
    let (open, gate) = oneshot::channel::<()>();
    (open, async move {
        let _ = gate.await;
        Ok("first".to_string())
    })
}

fn told(status: u16, again: bool, text: &str) -> Result<(u16, bool, String), String> {
    Ok((status, again, format!("\"{text}\"")))
}

#[tokio::test]
async fn a_caller_who_goes_away_ends_neither_the_write_nor_its_turn() {
    let desk = desk();
    let (open, write) = gated();
    {
        let sent = desk.send(LONG, "a", write);
        tokio::pin!(sent);
        tokio::select! {
            _ = &mut sent => panic!("nothing opened the gate"),
            () = desk.runs(1) => {}
        }
    }
    assert_eq!(desk.ask("a").await, Err("request.idempotency_running".to_string()));
    open.send(()).unwrap();
    desk.carried.ended(LONG).await;
    assert_eq!(desk.ask("a").await, told(201, true, "first"));
    assert_eq!(desk.runs.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_write_that_takes_too_long_is_told_so_and_keeps_its_turn() {
    let desk = desk();
    let (open, write) = gated();
    assert_eq!(desk.send(Duration::from_millis(50), "a", write).await, Err("timeout.work".to_string()));
    assert_eq!(desk.ask("a").await, Err("request.idempotency_running".to_string()));
    open.send(()).unwrap();
    desk.carried.ended(LONG).await;
    assert_eq!(desk.ask("a").await, told(201, true, "first"));
    assert_eq!(desk.runs.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn of_many_at_once_one_runs() {
    let desk = desk();
    let (open, write) = gated();
    let first = desk.send(LONG, "a", write);
    let others = async {
        desk.runs(1).await;
        for _ in 0..20 {
            assert_eq!(desk.ask("a").await, Err("request.idempotency_running".to_string()));
        }
        open.send(()).unwrap();
    };
    assert_eq!(tokio::join!(first, others).0, told(201, false, "first"));
    assert_eq!((desk.ask("a").await, desk.runs.load(Ordering::SeqCst)), (told(201, true, "first"), 1));
    let other_body = desk.repeats.find(slot_of("a"), [2; 32], now_ms(), 0);
    assert_eq!(other_body.err().unwrap().code(), "request.idempotency_mismatch");
}

fn slot_of(name: &str) -> Slot {
    let Again(Some(key)) = key(name) else { unreachable!() };
    Sha256::new().chain_update(key).chain_update("k").finalize().into()
}

#[tokio::test]
async fn a_kill_at_any_step_leads_to_the_answer_or_to_an_honest_refusal() {
    let desk = desk();
    let unknown = || Err("idempotency.unknown_outcome".to_string());
    // Before anything is known of the key: the write is the first.
    let before = desk.killed();
    assert_eq!(before.ask("a").await, told(201, false, "new"));
    let (open, write) = gated();
    let sent = desk.send(LONG, "a", write);
    let meanwhile = async {
        desk.runs(1).await;
        // While it runs: done or not, nobody knows, and it is not run again.
        let during = desk.killed();
        assert_eq!((during.ask("a").await, during.runs.load(Ordering::SeqCst)), (unknown(), 0));
        assert_eq!(during.killed().ask("a").await, unknown());
        open.send(()).unwrap();
    };
    assert_eq!(tokio::join!(sent, meanwhile).0, told(201, false, "first"));
    // What was answered is on disk.
    let after = desk.killed();
    assert_eq!((after.ask("a").await, after.runs.load(Ordering::SeqCst)), (told(201, true, "first"), 0));
}

#[tokio::test]
async fn a_write_before_which_the_service_was_killed_may_be_tried_again() {
    let desk = desk();
    let begun = desk.repeats.find(slot_of("a"), [1; 32], now_ms(), 7).map_err(|p| p.code().to_string());
    let Ok(Found::New(line)) = begun else { panic!("the first is new") };
    assert!(desk.repeats.journal.append(&line, true).await);
    // The database's last write is still the one from before it; or another one came, and nobody knows whose.
    for (writes, answer) in [(7, told(201, false, "new")), (8, Err("idempotency.unknown_outcome".to_string()))] {
        let folder = tempfile::tempdir().unwrap();
        std::fs::copy(desk.folder.path().join("answers.log"), folder.path().join("answers.log")).unwrap();
        assert_eq!(desk_in(folder, writes).ask("a").await, answer, "{writes}");
    }
}

#[tokio::test]
async fn what_was_refused_may_be_tried_again_and_what_failed_half_way_may_not() {
    let desk = desk();
    let refused = |status, code: &'static str| async move { Err(Problem::new(status, code, "of the test")) };
    for (code, status) in [
        ("gallery.unknown_person", StatusCode::NOT_FOUND),
        ("overload.queue_full", StatusCode::SERVICE_UNAVAILABLE),
        ("timeout.work", StatusCode::GATEWAY_TIMEOUT),
    ] {
        assert_eq!(desk.send(LONG, code, refused(status, code)).await, Err(code.to_string()));
        assert_eq!(desk.killed().ask(code).await, told(201, false, "new"), "{code} after a restart");
        assert_eq!(desk.ask(code).await, told(201, false, "new"), "{code}");
    }
    for (code, status) in
        [("store.io", StatusCode::INTERNAL_SERVER_ERROR), ("audit.unwritable", StatusCode::SERVICE_UNAVAILABLE)]
    {
        assert_eq!(desk.send(LONG, code, refused(status, code)).await, Err(code.to_string()));
        for desk in [&desk, &desk.killed()] {
            assert_eq!(desk.ask(code).await, Err("idempotency.unknown_outcome".to_string()), "{code}");
        }
    }
    let panics = desk.send(LONG, "panic", async { panic!("of the test") }).await;
    assert_eq!(panics, Err("internal.panic".to_string()));
    assert_eq!(desk.ask("panic").await, Err("idempotency.unknown_outcome".to_string()));
}

#[tokio::test]
async fn what_cannot_be_stored_is_not_begun_or_not_answered() {
    let desk = desk();
    let repeats = desk.repeats.clone();
    let write = async move {
        repeats.stop();
        Ok("first".to_string())
    };
    let unwritable = || Err("idempotency.unwritable".to_string());
    // Done, and its answer cannot be stored: it is not given, and not done again.
    assert_eq!(desk.send(LONG, "a", write).await, unwritable());
    assert_eq!((desk.ask("a").await, desk.runs.load(Ordering::SeqCst)), (unwritable(), 1));
    // Its beginning cannot be stored: it is not begun.
    assert_eq!((desk.ask("b").await, desk.runs.load(Ordering::SeqCst)), (unwritable(), 1));
    let after = desk.killed();
    assert_eq!(after.ask("a").await, Err("idempotency.unknown_outcome".to_string()));
    assert_eq!(after.ask("b").await, told(201, false, "new"));
}

#[test]
fn beyond_the_bounds_the_oldest_that_ended_goes_and_what_runs_stays() {
    let mut known = Known::default();
    let slot = |i: usize| -> Slot { Sha256::digest(i.to_le_bytes()).into() };
    let now = now_ms();
    for i in 0..MOST {
        let line = Line { slot: slot(i), body: [0; 32], since_ms: now + i as u64, writes: None, what: What::Begun };
        known.put(line, if i == 0 { State::Running } else { State::Ended });
    }
    known.0.make_room(now);
    assert!(known.0.len() < MOST && known.0.get(&slot(0)).is_some() && known.0.get(&slot(1)).is_none());
    assert!(known.0.get(&slot(MOST - 1)).is_some());
}
