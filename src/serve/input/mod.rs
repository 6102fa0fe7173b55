//! What a request brings: photos, objects and options.

mod body;
mod form;
mod intake;
mod json;
mod kind;
mod object;
mod query;

pub(super) use form::{Form, Upload};
pub(super) use intake::{Intake, MOST_VECTORS};
pub(super) use object::{List, Object};
pub(super) use query::{NoBody, Options, Path, flag, gallery_of};
