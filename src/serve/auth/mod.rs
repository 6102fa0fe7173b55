//! Who is asking, and what they may: API keys, sessions of the page, roles, rates.

mod caller;
mod gate;
mod key;
mod key_file;
mod known_keys;
mod rate;
mod session;

pub(super) use caller::{Admin, AtHome, Caller, Decide, Enroll, Everywhere, Identify, Known, May, Read, caller_of};
pub(super) use gate::Gate;
pub use key::{ApiKey, NewKey, Role};
pub use key_file::KeyFile;
pub(super) use known_keys::{Keys, Standing};
pub(super) use session::{clear_cookie, cookie_of, set_cookie};
