//! The cast to FP16 and BF16, on models built by hand.

mod any;
mod left_alone;
mod masks;
mod rules;
mod storage;
mod support;
