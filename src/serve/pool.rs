//! A bounded pool of threads for what must not run on the async threads: networks, searches, disk, large bodies.
//!
//! 1. There are never more than `threads` jobs running, and `queue` jobs of a rank waiting; the next one is refused at
//!    once, so that the time of those that were accepted stays bounded.
//! 2. A thread that is free takes the job of the highest rank that waits. A pool with a thread for doors has one more,
//!    which takes no other jobs: a door waits for no photo of somebody else.
//! 3. A job that waited longer than its caller would is dropped unrun; so is one whose caller has gone.
//! 4. A job that panics costs its caller an error and nobody else anything.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::rank::Rank;

type Job = Box<dyn FnOnce() + Send>;

/// Why a job was not done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    /// As many are waiting as may.
    Full,
    /// It waited too long for a thread.
    TooLate,
    /// It was begun, and its caller's time is over.
    TimedOut,
    /// It panicked.
    Failed,
    /// The service is stopping.
    Stopping,
}

/// The jobs that wait, by rank.
#[derive(Default)]
struct Waiting {
    lanes: [VecDeque<Job>; Rank::COUNT],
    stopping: bool,
}

struct Shared {
    waiting: Mutex<Waiting>,
    /// A job came that every thread may take.
    came: Condvar,
    /// A door's job came.
    door_came: Condvar,
    queue: usize,
    running: AtomicUsize,
}

impl Shared {
    /// The next job of at least that rank; none when the pool has stopped and all are done.
    fn next(&self, least: Rank) -> Option<Job> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let lanes = waiting.lanes[least as usize..].iter_mut().rev();
            if let Some(job) = lanes.into_iter().find_map(VecDeque::pop_front) {
                return Some(job);
            }
            if waiting.stopping {
                return None;
            }
            let came = if least == Rank::Door { &self.door_came } else { &self.came };
            waiting = came.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn work(&self, least: Rank) {
        while let Some(job) = self.next(least) {
            self.running.fetch_add(1, Ordering::Relaxed);
            job();
            self.running.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// Threads, and the jobs that wait for them.
pub(super) struct Pool {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool").field("waiting", &self.waiting()).field("running", &self.running()).finish()
    }
}

impl Pool {
    /// `threads` threads, before which at most `queue` jobs of each rank wait; `door` is one more, for doors alone.
    pub(super) fn new(name: &str, threads: usize, queue: usize, door: bool) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            waiting: Mutex::default(),
            came: Condvar::new(),
            door_came: Condvar::new(),
            queue: queue.max(1),
            running: AtomicUsize::new(0),
        });
        let thread = |(name, least): (String, Rank)| {
            let shared = shared.clone();
            std::thread::Builder::new().name(name).spawn(move || shared.work(least))
        };
        let shareds = (0..threads.max(1)).map(|i| (format!("kith-{name}-{i}"), Rank::Stranger));
        let doors = door.then(|| (format!("kith-{name}-door"), Rank::Door));
        let threads = shareds.chain(doors).map(thread).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { shared, threads: Mutex::new(threads) })
    }

    /// Runs `work` on a thread of the pool: begun within `wait`, and answered by `deadline`, where there is one.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        rank: Rank,
        wait: Duration,
        deadline: Option<Instant>,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Refused> {
        let begin_by = Instant::now() + wait;
        let begin_by = deadline.map_or(begin_by, |d| d.min(begin_by));
        let (tell, told) = oneshot::channel();
        let job = move || {
            if tell.is_closed() {
                return;
            }
            let answer = match Instant::now() > begin_by {
                true => Err(Refused::TooLate),
                false => catch_unwind(AssertUnwindSafe(work)).map_err(|_| Refused::Failed),
            };
            // A caller that has gone needs no answer.
            let _ = tell.send(answer);
        };
        self.submit(rank, Box::new(job))?;
        let told = match deadline {
            Some(deadline) => tokio::time::timeout_at(deadline.into(), told).await,
            None => Ok(told.await),
        };
        match told {
            Err(_) => Err(Refused::TimedOut),
            Ok(Err(_)) => Err(Refused::Stopping),
            Ok(Ok(answer)) => answer,
        }
    }

    fn submit(&self, rank: Rank, job: Job) -> Result<(), Refused> {
        let mut waiting = self.shared.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.stopping {
            return Err(Refused::Stopping);
        }
        let lane = &mut waiting.lanes[rank as usize];
        if lane.len() >= self.shared.queue {
            return Err(Refused::Full);
        }
        lane.push_back(job);
        drop(waiting);
        self.shared.came.notify_one();
        if rank == Rank::Door {
            self.shared.door_came.notify_one();
        }
        Ok(())
    }

    /// Jobs that wait for a thread.
    pub(super) fn waiting(&self) -> usize {
        self.shared.waiting.lock().unwrap_or_else(PoisonError::into_inner).lanes.iter().map(VecDeque::len).sum()
    }

    /// Jobs that a thread is at.
    pub(super) fn running(&self) -> usize {
        self.shared.running.load(Ordering::Relaxed)
    }

    /// Takes no more jobs, and returns when those that it has are done.
    pub(super) fn stop(&self) {
        self.shared.waiting.lock().unwrap_or_else(PoisonError::into_inner).stopping = true;
        self.shared.came.notify_all();
        self.shared.door_came.notify_all();
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            let _ = thread.join();
        }
    }
}

impl Drop for Pool {
    /// Threads of a pool that nobody stopped end too, when what waits is done.
    fn drop(&mut self) {
        self.shared.waiting.lock().unwrap_or_else(PoisonError::into_inner).stopping = true;
        self.shared.came.notify_all();
        self.shared.door_came.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(20)
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_full_queue_refuses_at_once_and_the_rest_is_done() {
        let pool = Arc::new(Pool::new("test", 1, 2, false).unwrap());
        let (open, gate) = std::sync::mpsc::channel::<()>();
        let held = {
            let pool = pool.clone();
            tokio::spawn(async move {
                pool.run(Rank::Keyed, Duration::from_secs(20), Some(soon()), move || gate.recv().is_ok()).await
            })
        };
        while pool.running() == 0 {
            tokio::task::yield_now().await;
        }
        let queued: Vec<_> = (0..2)
            .map(|i| {
                let pool = pool.clone();
                tokio::spawn(
                    async move { pool.run(Rank::Keyed, Duration::from_secs(20), Some(soon()), move || i).await },
                )
            })
            .collect();
        while pool.waiting() < 2 {
            tokio::task::yield_now().await;
        }
        assert_eq!(pool.run(Rank::Keyed, Duration::from_secs(20), Some(soon()), || 7).await, Err(Refused::Full));
        open.send(()).unwrap();
        assert_eq!(held.await.unwrap(), Ok(true));
        for (i, job) in queued.into_iter().enumerate() {
            assert_eq!(job.await.unwrap(), Ok(i));
        }
        // A job's answer is there a moment before its thread counts it as done.
        pool.stop();
        assert_eq!((pool.waiting(), pool.running()), (0, 0));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn panics_and_lateness_are_answers_and_a_stopped_pool_takes_nothing() {
        let pool = Pool::new("test", 1, 4, false).unwrap();
        let failed = pool.run(Rank::Keyed, Duration::from_secs(20), Some(soon()), || panic!("of the test")).await;
        assert_eq!(failed, Err::<(), _>(Refused::Failed));
        assert_eq!(pool.run(Rank::Keyed, Duration::from_secs(20), Some(soon()), || 3).await, Ok(3));
        let past = Instant::now() - Duration::from_millis(1);
        assert!(matches!(
            pool.run(Rank::Keyed, Duration::ZERO, Some(past), || 3).await,
            Err(Refused::TimedOut | Refused::TooLate)
        ));
        pool.stop();
        assert_eq!(pool.run(Rank::Keyed, Duration::from_secs(1), Some(soon()), || 3).await, Err(Refused::Stopping));
    }

    /// A pool whose only thread for all is held until the gate opens, and the job that holds it.
    async fn held(
        door: bool,
    ) -> (Arc<Pool>, std::sync::mpsc::Sender<()>, tokio::task::JoinHandle<Result<bool, Refused>>) {
        let pool = Arc::new(Pool::new("test", 1, 16, door).unwrap());
        let (open, gate) = std::sync::mpsc::channel::<()>();
        let job = tokio::spawn({
            let pool = pool.clone();
            async move { pool.run(Rank::Keyed, Duration::from_secs(20), None, move || gate.recv().is_ok()).await }
        });
        while pool.running() == 0 {
            tokio::task::yield_now().await;
        }
        (pool, open, job)
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_full_queue_of_others_keeps_no_door_waiting() {
        let (pool, open, job) = held(true).await;
        let queued: Vec<_> = (0..17)
            .map(|_| {
                let pool = pool.clone();
                tokio::spawn(async move { pool.run(Rank::Keyed, Duration::from_secs(20), Some(soon()), || 1).await })
            })
            .collect();
        while pool.waiting() < 16 {
            tokio::task::yield_now().await;
        }
        assert_eq!(pool.run(Rank::Door, Duration::from_secs(20), Some(soon()), || 3).await, Ok(3));
        open.send(()).unwrap();
        assert_eq!(job.await.unwrap(), Ok(true));
        let mut refused = 0;
        for job in queued {
            refused += usize::from(job.await.unwrap() == Err(Refused::Full));
        }
        assert_eq!(refused, 1);
        pool.stop();
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn the_highest_rank_that_waits_is_taken_first() {
        let (pool, open, job) = held(false).await;
        let order = Arc::new(Mutex::new(Vec::new()));
        let mut jobs = Vec::new();
        for (i, rank) in [Rank::Stranger, Rank::Keyed, Rank::Keyed, Rank::Door].into_iter().enumerate() {
            let (mine, order) = (pool.clone(), order.clone());
            jobs.push(tokio::spawn(async move {
                mine.run(rank, Duration::from_secs(20), Some(soon()), move || order.lock().unwrap().push(rank)).await
            }));
            while pool.waiting() <= i {
                tokio::task::yield_now().await;
            }
        }
        open.send(()).unwrap();
        job.await.unwrap().unwrap();
        for job in jobs {
            job.await.unwrap().unwrap();
        }
        assert_eq!(*order.lock().unwrap(), [Rank::Door, Rank::Keyed, Rank::Keyed, Rank::Stranger]);
        pool.stop();
    }
}
