//! What a test says when something that it needs is not there: a printed skip, or a failure where `KITH_REQUIRE=1` says
//! that everything is.
#![allow(dead_code)] // each test uses its part

/// Says that the test is skipped, and what it lacks.
///
/// # Panics
/// With `KITH_REQUIRE=1`.
#[track_caller]
pub fn missing(what: impl std::fmt::Display) {
    let required = std::env::var_os("KITH_REQUIRE").is_some_and(|value| value == "1");
    assert!(!required, "KITH_REQUIRE=1, and {what}");
    println!("skipped: {what}");
}

/// Says that this processor cannot run a part of the test. No machine has every instruction set, so that this is in
/// order even where everything is required.
pub fn processor_lacks(what: impl std::fmt::Display) {
    println!("skipped for want of instructions: {what}");
}
