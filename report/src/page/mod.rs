//! Pages: what they share lies here, and what each of them says in a folder of its own.

mod frame;
mod overlap;
mod parts;
mod precision;
mod scores;
mod table;

pub(crate) use precision::html as precision;

use frame::{Page, Section};
use parts::{many, panel};
