//! Pages: what they share lies here, and what each of them says in a folder of its own.

mod frame;
mod overlap;
mod parity;
mod parts;
mod precision;
mod scores;
mod table;

pub(crate) use parity::html as parity;
pub(crate) use precision::html as precision;

use frame::{Page, Section};
use parts::{many, panel};
