//! Tests of the attention.
