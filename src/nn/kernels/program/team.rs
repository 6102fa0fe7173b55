//! A fork-join team: threads that stay together through all steps of a run.
//!
//! A network is some hundred steps of a twentieth of a millisecond, and to wake a thread takes as long as that.
//! So one thread leads: it opens a step, takes pieces of it as others do, and opens the next when all are done.
//! Helpers from the pool take pieces of whatever step is open; between two steps they wait without sleeping, but
//! only for a moment, after which they go back to the pool, and are called again for a step that needs them. None
//! is needed: the leader does alone what nobody takes.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// What a team does: steps in order, whose pieces may run side by side.
pub(crate) trait Work: Sync {
    fn steps(&self) -> usize;
    fn pieces(&self, step: usize) -> usize;
    /// Each piece of a step is run once, after all pieces of the steps before.
    fn run(&self, step: usize, piece: usize);
}

/// Who waits gives the processor to others after that long,
const SPIN: Duration = Duration::from_micros(20);
/// and, where it helps, goes back to the pool after this.
const STAY: Duration = Duration::from_micros(200);

/// The open step in the upper half, its next piece in the lower.
const STEP: u32 = 32;
const PIECE: u64 = (1 << STEP) - 1;
/// What is there when there are no more steps.
const OVER: u64 = u64::MAX;

/// In a cache line of its own: who reads it is not held up by writes to others.
#[repr(align(128))]
#[derive(Default)]
struct Apart<T>(T);

#[derive(Default)]
struct Team {
    turn: Apart<AtomicU64>,
    /// Pieces of all steps that are done.
    done: Apart<AtomicUsize>,
    /// Helpers that were called and did not go back yet.
    helpers: Apart<AtomicUsize>,
}

enum Taken {
    Piece(usize, usize),
    Nothing,
    Over,
}

/// Runs all of `work` on `threads` of the pool at most; `after` is called when a step is done.
pub(crate) fn run(work: &impl Work, threads: usize, mut after: impl FnMut(usize) + Send) {
    if threads == 1 {
        for step in 0..work.steps() {
            (0..work.pieces(step)).for_each(|piece| work.run(step, piece));
            after(step);
        }
        return;
    }
    let team = Team::default();
    rayon::scope(|scope| {
        // Helpers go whatever happens here, or the scope would never end.
        let _over = OnDrop(|| team.turn.0.store(OVER, Ordering::Release));
        let mut opened = 0;
        for step in 0..work.steps() {
            let pieces = work.pieces(step);
            opened += pieces;
            // In one order with what helpers that go do, see `Team::help`.
            team.turn.0.store((step as u64) << STEP, Ordering::SeqCst);
            for _ in team.helpers.0.load(Ordering::SeqCst)..threads.min(pieces).saturating_sub(1) {
                team.helpers.0.fetch_add(1, Ordering::SeqCst);
                scope.spawn(|_| team.help(work));
            }
            while let Taken::Piece(step, piece) = team.take(work) {
                team.run(work, step, piece);
            }
            let mut waited = Wait::default();
            while team.done.0.load(Ordering::Acquire) < opened {
                waited.a_little();
            }
            after(step);
        }
    });
}

impl Team {
    fn take(&self, work: &impl Work) -> Taken {
        let mut turn = self.turn.0.load(Ordering::Acquire);
        loop {
            let (step, piece) = ((turn >> STEP) as usize, (turn & PIECE) as usize);
            if turn == OVER {
                return Taken::Over;
            }
            if piece >= work.pieces(step) {
                return Taken::Nothing;
            }
            // Turns only grow, so that this one is still the step's when it is taken.
            match self.turn.0.compare_exchange_weak(turn, turn + 1, Ordering::Acquire, Ordering::Acquire) {
                Ok(_) => return Taken::Piece(step, piece),
                Err(newer) => turn = newer,
            }
        }
    }

    fn run(&self, work: &impl Work, step: usize, piece: usize) {
        // Counted even if it panics: the leader waits for it, and the scope hands the panic on.
        let _done = OnDrop(|| {
            self.done.0.fetch_add(1, Ordering::Release);
        });
        work.run(step, piece);
    }

    fn help(&self, work: &impl Work) {
        loop {
            self.help_for_a_while(work);
            // A step may have been opened after this helper had looked and before it was counted out, so that nobody was
            // called for it.
            let turn = self.turn.0.load(Ordering::SeqCst);
            if turn == OVER || (turn & PIECE) as usize >= work.pieces((turn >> STEP) as usize) {
                return;
            }
            self.helpers.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// Until there is nothing to do, and one helper fewer.
    fn help_for_a_while(&self, work: &impl Work) {
        let _gone = OnDrop(|| {
            self.helpers.0.fetch_sub(1, Ordering::SeqCst);
        });
        let mut waited = Wait::default();
        loop {
            match self.take(work) {
                Taken::Piece(step, piece) => {
                    self.run(work, step, piece);
                    waited = Wait::default();
                }
                Taken::Nothing if waited.a_little() < STAY => (),
                Taken::Nothing | Taken::Over => return,
            }
        }
    }
}

/// Waiting that begins with the first call.
#[derive(Default)]
struct Wait(Option<Instant>);

impl Wait {
    /// Waits, and gives how long it has by now.
    fn a_little(&mut self) -> Duration {
        let waited = self.0.get_or_insert_with(Instant::now).elapsed();
        if waited < SPIN {
            (0..8).for_each(|_| std::hint::spin_loop());
        } else {
            std::thread::yield_now();
        }
        waited
    }
}

struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::Mutex;
    use std::sync::atomic::AtomicBool;
    use std::thread::ThreadId;

    use super::*;

    /// Steps of so many pieces, each of which is to run once, after all of the step before.
    struct Counted {
        runs: Vec<Vec<AtomicUsize>>,
        early: AtomicBool,
        panics_at: Option<(usize, usize)>,
        pause: Duration,
        /// How long one of two pieces waits for the other to begin.
        together: Duration,
        /// Which thread ran a piece of which step.
        by: Mutex<Vec<(usize, ThreadId)>>,
    }

    impl Counted {
        fn new(pieces: &[usize]) -> Self {
            let runs = pieces.iter().map(|&p| (0..p).map(|_| AtomicUsize::new(0)).collect()).collect();
            let (pause, together) = (Duration::ZERO, Duration::ZERO);
            Self { runs, early: AtomicBool::new(false), panics_at: None, pause, together, by: Mutex::default() }
        }

        fn done(&self, step: usize) -> bool {
            self.runs[step].iter().all(|r| r.load(Ordering::Relaxed) == 1)
        }
    }

    impl Work for Counted {
        fn steps(&self) -> usize {
            self.runs.len()
        }

        fn pieces(&self, step: usize) -> usize {
            self.runs[step].len()
        }

        fn run(&self, step: usize, piece: usize) {
            assert_ne!(self.panics_at, Some((step, piece)), "asked to");
            if step > 0 && !self.done(step - 1) {
                self.early.store(true, Ordering::Relaxed);
            }
            if !self.pause.is_zero() {
                std::thread::sleep(self.pause);
            }
            self.by.lock().unwrap().push((step, std::thread::current().id()));
            let (begun, since) =
                (|| self.by.lock().unwrap().iter().filter(|(s, _)| *s == step).count(), Instant::now());
            while self.runs[step].len() == 2 && begun() < 2 && since.elapsed() < self.together {
                std::thread::yield_now();
            }
            self.runs[step][piece].fetch_add(1, Ordering::Relaxed);
        }
    }

    fn pool(threads: usize) -> rayon::ThreadPool {
        rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap()
    }

    #[test]
    fn every_piece_is_run_once_and_in_its_step() {
        let pieces: Vec<usize> = (0..300).map(|step| [1, 2, 7, 0, 16, 3][step % 6]).collect();
        for threads in [1, 2, 5] {
            // Pieces take a moment, in which a step that did not wait for them would be seen.
            let pause = Duration::from_micros(1);
            let (work, mut seen) = (Counted { pause, ..Counted::new(&pieces) }, Vec::new());
            pool(threads).install(|| run(&work, threads, |step| seen.push((step, work.done(step)))));
            assert_eq!(seen, (0..pieces.len()).map(|step| (step, true)).collect::<Vec<_>>());
            assert!(!work.early.load(Ordering::Relaxed), "a piece came before the step before it was done");
        }
    }

    #[test]
    fn helpers_that_went_back_are_called_again() {
        // A step of one piece, longer than a helper stays, after each that two have to share: on a busy machine, too, a
        // helper that was called comes in the end.
        let pieces = [2, 1].repeat(4);
        let together = Duration::from_secs(20);
        let work = Counted { pause: STAY * 5, together, ..Counted::new(&pieces) };
        pool(2).install(|| run(&work, 2, |_| ()));
        assert!((0..pieces.len()).all(|step| work.done(step)));
        let by = work.by.into_inner().unwrap();
        for shared in (0..pieces.len()).step_by(2) {
            let threads: HashSet<_> = by.iter().filter(|(s, _)| *s == shared).map(|(_, thread)| thread).collect();
            assert_eq!(threads.len(), 2, "helpers did not come to step {shared}");
        }
    }

    #[test]
    fn runs_inside_a_busy_pool_end() {
        pool(2).install(|| {
            rayon::scope(|scope| {
                for _ in 0..16 {
                    scope.spawn(|_| {
                        let work = Counted::new(&[8; 50]);
                        run(&work, 2, |_| ());
                        assert!((0..50).all(|step| work.done(step)));
                    });
                }
            });
        });
    }

    #[test]
    fn a_panic_comes_back_to_the_caller() {
        for at in [(0, 0), (3, 5), (9, 7)] {
            let work = Counted { panics_at: Some(at), ..Counted::new(&[8; 10]) };
            let ran = pool(3).install(|| catch_unwind(AssertUnwindSafe(|| run(&work, 3, |_| ()))));
            assert!(ran.is_err(), "{at:?}");
        }
    }
}
