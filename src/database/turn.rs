//! Whose turn it is at a database that one process opens at a time.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::error::{Error, Result, StoreError};

/// How often a waiting process looks again.
const PAUSE: Duration = Duration::from_millis(20);
/// How long it waits before it says so.
const MOMENT: Duration = Duration::from_secs(1);

/// Does `work`, which needs the database in `folder` for this process alone, when it is its turn: again and again for
/// at most `wait` while another process has it. `told` hears once who that is, if it takes more than a moment.
///
/// ```
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("faces");
/// use std::time::Duration;
/// use kith::{Database, DatabaseOptions, in_turn};
/// # drop(Database::open(&path, &DatabaseOptions::default())?);
/// let now = DatabaseOptions { wait: Duration::ZERO, create: false, ..DatabaseOptions::default() };
/// let holder = |holder: &str| eprintln!("waiting for {holder}");
/// let report = in_turn(&path, Duration::from_secs(60), &holder, || kith::repair(&path, &now))?;
/// assert!(report.is_clean());
/// # Ok::<(), kith::Error>(())
/// ```
///
/// # Errors
/// [`StoreError::Locked`] when the time is over, [`StoreError::Serving`] at once when it is a service that has the
/// database, and whatever `work` fails with.
pub fn in_turn<T>(
    folder: impl AsRef<Path>,
    wait: Duration,
    told: &dyn Fn(&str),
    work: impl FnMut() -> Result<T>,
) -> Result<T> {
    let folder = folder.as_ref();
    let free = || match super::server(folder) {
        Some(process) => {
            let (path, holder) = (folder.display().to_string(), format!("process {process}"));
            Err(StoreError::Serving { path, holder }.into())
        }
        None => Ok(None),
    };
    // Before anything else is found wrong: what is in the folder is the service's.
    free().and_then(|_: Option<T>| turn_or_service(wait, told, work, |_| free()))
}

/// [`in_turn`]; before each wait `instead` may say what is to come of it, or end it.
pub(super) fn turn_or_service<T>(
    wait: Duration,
    told: &dyn Fn(&str),
    mut work: impl FnMut() -> Result<T>,
    mut instead: impl FnMut(&str) -> Result<Option<T>>,
) -> Result<T> {
    let (start, mut said) = (Instant::now(), false);
    loop {
        let error = match work() {
            Err(Error::Store(error @ StoreError::Locked { .. })) => error,
            other => return other,
        };
        let StoreError::Locked { holder, .. } = &error else { return Err(error.into()) };
        if let Some(done) = instead(holder)? {
            return Ok(done);
        }
        let waited = start.elapsed();
        if waited >= wait {
            return Err(error.into());
        }
        if waited >= MOMENT && !said {
            told(holder);
            said = true;
        }
        std::thread::sleep(PAUSE.min(wait - waited));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    fn locked() -> Error {
        StoreError::Locked { path: "p".to_string(), holder: "process 7 (kith check)".to_string() }.into()
    }

    #[test]
    fn a_turn_comes_and_an_error_that_waiting_does_not_mend_comes_at_once() {
        let tries = Cell::new(0);
        let count = |error: fn() -> Error| {
            move |tries: &Cell<usize>| {
                tries.set(tries.get() + 1);
                if tries.get() < 4 { Err(error()) } else { Ok(tries.get()) }
            }
        };
        let nobody = |_: &str| panic!("it took no moment");
        let free = |_: &str| Ok(None);
        let work = count(locked);
        assert_eq!(turn_or_service(Duration::MAX, &nobody, || work(&tries), free).unwrap(), 4);
        tries.set(0);
        let refused = turn_or_service(Duration::ZERO, &nobody, || work(&tries), free).unwrap_err();
        assert_eq!((refused.code(), tries.get()), ("store.locked", 1));
        tries.set(0);
        let work = count(|| StoreError::KeyNeeded { path: "p".to_string() }.into());
        let refused = turn_or_service(Duration::MAX, &nobody, || work(&tries), free).unwrap_err();
        assert_eq!((refused.code(), tries.get()), ("store.key_needed", 1));
    }

    #[test]
    fn whoever_waits_says_for_whom_and_once() {
        let heard = Cell::new(0);
        let told = |holder: &str| {
            assert_eq!(holder, "process 7 (kith check)");
            heard.set(heard.get() + 1);
        };
        let start = Instant::now();
        let over = || if start.elapsed() > MOMENT * 2 { Ok(()) } else { Err(locked()) };
        turn_or_service(Duration::MAX, &told, over, |_| Ok(None)).unwrap();
        assert_eq!(heard.get(), 1);
        // A service that comes meanwhile answers.
        let mut looks = 0;
        let service = |_: &str| {
            looks += 1;
            Ok((looks == 3).then_some(9))
        };
        assert_eq!(turn_or_service(Duration::MAX, &told, || Err::<i32, _>(locked()), service).unwrap(), 9);
    }
}
