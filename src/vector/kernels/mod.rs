//! The loops that a search spends its time in, compiled for several processors and chosen at run time.

mod codes;
mod floats;

pub(crate) use codes::{CodedProbe, Held, LINE, Layout, products_at, products_in, stored};
pub(crate) use floats::products;
