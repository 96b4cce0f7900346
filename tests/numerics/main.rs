//! What the exported graphs compute, on both CPU backends: against the NumPy reference, against
//! themselves (the contract's identities), and against parity's own sensitivity.

mod checker;
mod engines;
mod golden;
mod half;
mod identities;
mod numpy;
mod sensitivity;
mod support;
