//! Random names.

use axum::http::StatusCode;

use super::problem::Problem;
use crate::files::hex;

/// `N` bytes from the operating system as hex digits.
pub(super) fn random_hex<const N: usize>() -> Result<String, Problem> {
    let mut bytes = [0; N];
    let failed = |e: getrandom::Error| {
        tracing::error!(error = %e, "no random numbers");
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal.random", "no random numbers are to be had")
    };
    getrandom::fill(&mut bytes).map_err(failed)?;
    Ok(hex(&bytes))
}
