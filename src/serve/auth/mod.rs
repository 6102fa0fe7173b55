//! Who is asking, and what they may: API keys, sessions of the page, roles, rates.

mod caller;
mod keys;
mod rate;
mod session;

pub(super) use caller::{Admin, AtHome, Caller, Decide, Enroll, Identify, Known, May, Read, caller_of};
pub use keys::{ApiKey, KeyFile, NewKey, Role};
pub(super) use keys::{Keys, Standing};
pub(super) use rate::{Permit, Rates};
pub(super) use session::{CSRF_HEADER, Session, Sessions, clear_cookie, cookie_of, set_cookie};
