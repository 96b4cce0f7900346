//! How well an order of items predicts what people did next.
//!
//! **In:** a [`Recommender`] and the histories of a `Store`. **Out:** the place of each user's held-out item in each
//! list that the recommender makes, metrics over them, and intervals of differences.
//! **Never here:** a model, files, printing.

mod recommender;

pub use recommender::{Ranked, Recommender};
