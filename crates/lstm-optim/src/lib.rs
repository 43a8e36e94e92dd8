//! Optimizers, learning-rate schedules and gradient clipping on a backend.
