//! Panics of others' code, which become errors of ours.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

thread_local! {
    static CATCHING: Cell<bool> = const { Cell::new(false) };
}

/// Runs others' code on bytes of any kind; nothing where it panics. See [`quiet_panics`].
pub(crate) fn caught<T>(work: impl FnOnce() -> T) -> Option<T> {
    let before = CATCHING.replace(true);
    let done = catch_unwind(AssertUnwindSafe(work));
    CATCHING.set(before);
    done.ok()
}

/// From now on the process says nothing of panics that become errors: the error says what is wrong, and where. For
/// programs only, since the hook that it sets is the whole process's.
#[cfg(feature = "cli")]
pub(crate) fn quiet_panics() {
    let tell = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if !CATCHING.get() {
            tell(panic);
        }
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_nothing_and_the_next_is_told_again() {
        assert_eq!(caught(|| 7), Some(7));
        let within = caught(|| {
            assert_eq!(caught(|| CATCHING.get()), Some(true));
            assert!(CATCHING.get(), "the outer one is not over yet");
            if CATCHING.get() {
                panic!("a decoder gives up");
            }
        });
        assert_eq!(within, None);
        assert!(!CATCHING.get());
    }
}
