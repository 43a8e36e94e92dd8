//! Criterion benches per operation.
