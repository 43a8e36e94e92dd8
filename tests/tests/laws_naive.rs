//! The laws on the naive backend: the reference itself is right.

use lstm_testkit::{Naive, laws};

laws!(f32_elements, Naive, f32);
laws!(f64_elements, Naive, f64);
