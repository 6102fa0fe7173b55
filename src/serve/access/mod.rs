//! Access decisions: may whoever is in this photo come in? Under a policy of the service's owner, and
//! answered with "deny" whenever anything is not as it must be.

mod cool_down;
mod decide;
mod evidence;
mod judge;
mod policy;
mod policy_file;
mod reason;
mod room;

pub(super) use cool_down::CoolDowns;
pub(super) use decide::__path_decide;
pub(super) use decide::decide;
pub(super) use policy::Policies;
pub use room::PolicyRoom;
