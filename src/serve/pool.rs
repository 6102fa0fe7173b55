//! A bounded pool of threads for what must not run on the async threads: networks, searches, disk.
//!
//! 1. There are never more than `threads` jobs running and `queue` jobs waiting; the next one is refused
//!    at once, so that the time of those that were accepted stays bounded.
//! 2. A job that waited longer than its caller would is dropped unrun; so is one whose caller has gone.
//! 3. A job that panics costs its caller an error and nobody else anything.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

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

/// Threads, and the jobs that wait for them.
#[derive(Debug)]
pub(super) struct Pool {
    sender: Mutex<Option<SyncSender<Job>>>,
    waiting: Arc<AtomicUsize>,
    running: Arc<AtomicUsize>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Pool {
    /// `threads` threads, before which at most `queue` jobs wait.
    pub(super) fn new(name: &str, threads: usize, queue: usize) -> std::io::Result<Self> {
        let (sender, receiver) = sync_channel::<Job>(queue.max(1));
        let receiver = Arc::new(Mutex::new(receiver));
        let (waiting, running) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let thread = |i: usize| {
            let (receiver, waiting, running) = (receiver.clone(), waiting.clone(), running.clone());
            let work = move || {
                while let Some(job) = next(&receiver) {
                    waiting.fetch_sub(1, Ordering::Relaxed);
                    running.fetch_add(1, Ordering::Relaxed);
                    job();
                    running.fetch_sub(1, Ordering::Relaxed);
                }
            };
            std::thread::Builder::new().name(format!("kith-{name}-{i}")).spawn(work)
        };
        let threads = (0..threads.max(1)).map(thread).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { sender: Mutex::new(Some(sender)), waiting, running, threads: Mutex::new(threads) })
    }

    /// Runs `work` on a thread of the pool: begun within `wait`, and answered by `deadline`.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        wait: Duration,
        deadline: Instant,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Refused> {
        let begin_by = deadline.min(Instant::now() + wait);
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
        self.submit(Box::new(job))?;
        match tokio::time::timeout_at(deadline.into(), told).await {
            Err(_) => Err(Refused::TimedOut),
            Ok(Err(_)) => Err(Refused::Stopping),
            Ok(Ok(answer)) => answer,
        }
    }

    fn submit(&self, job: Job) -> Result<(), Refused> {
        let sender = self.sender.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(sender) = sender.as_ref() else { return Err(Refused::Stopping) };
        // Counted before it is there to be taken, so that the count never falls below nothing.
        self.waiting.fetch_add(1, Ordering::Relaxed);
        sender.try_send(job).map_err(|e| {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            match e {
                TrySendError::Full(_) => Refused::Full,
                TrySendError::Disconnected(_) => Refused::Stopping,
            }
        })
    }

    /// Jobs that wait for a thread.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Jobs that a thread is at.
    pub(super) fn running(&self) -> usize {
        self.running.load(Ordering::Relaxed)
    }

    /// Takes no more jobs, and returns when those that it has are done.
    pub(super) fn stop(&self) {
        drop(self.sender.lock().unwrap_or_else(PoisonError::into_inner).take());
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            let _ = thread.join();
        }
    }
}

fn next(receiver: &Mutex<Receiver<Job>>) -> Option<Job> {
    receiver.lock().unwrap_or_else(PoisonError::into_inner).recv().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(20)
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_full_queue_refuses_at_once_and_the_rest_is_done() {
        let pool = Arc::new(Pool::new("test", 1, 2).unwrap());
        let (open, gate) = std::sync::mpsc::channel::<()>();
        let held = {
            let pool = pool.clone();
            tokio::spawn(async move { pool.run(Duration::from_secs(20), soon(), move || gate.recv().is_ok()).await })
        };
        while pool.running() == 0 {
            tokio::task::yield_now().await;
        }
        let queued: Vec<_> = (0..2)
            .map(|i| {
                let pool = pool.clone();
                tokio::spawn(async move { pool.run(Duration::from_secs(20), soon(), move || i).await })
            })
            .collect();
        while pool.waiting() < 2 {
            tokio::task::yield_now().await;
        }
        assert_eq!(pool.run(Duration::from_secs(20), soon(), || 7).await, Err(Refused::Full));
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
        let pool = Pool::new("test", 1, 4).unwrap();
        let failed = pool.run(Duration::from_secs(20), soon(), || panic!("of the test")).await;
        assert_eq!(failed, Err::<(), _>(Refused::Failed));
        assert_eq!(pool.run(Duration::from_secs(20), soon(), || 3).await, Ok(3));
        let past = Instant::now() - Duration::from_millis(1);
        assert!(matches!(pool.run(Duration::ZERO, past, || 3).await, Err(Refused::TimedOut | Refused::TooLate)));
        pool.stop();
        assert_eq!(pool.run(Duration::from_secs(1), soon(), || 3).await, Err(Refused::Stopping));
    }
}
