//! Naive backend, oracle, laws, tolerances and golden cases for testing lstm backends.
