//! Who is asking, and what they may: API keys, sessions of the page, roles, rates.

mod caller;
mod key;
mod key_file;
mod known_keys;
mod rate;
mod session;

pub(super) use caller::{Admin, AtHome, Caller, Decide, Enroll, Identify, Known, May, Read, caller_of};
pub use key::{ApiKey, NewKey, Role};
pub use key_file::KeyFile;
pub(super) use key_file::now_ms;
pub(super) use known_keys::{Keys, Standing};
pub(super) use rate::{Permit, Rates};
pub(super) use session::{CSRF_HEADER, Session, Sessions, clear_cookie, cookie_of, set_cookie};
