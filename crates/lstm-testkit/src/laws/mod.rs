//! What every backend obeys: functions generic over backend and element type, each of which tries its law
//! on at least 256 cases, and the macro that makes tests of them.
//!
//! The cases are the same in every run; `PROPTEST_RNG_SEED` asks for others, `PROPTEST_CASES` for more.

pub mod differences;
pub mod dropout;
pub mod errors;
pub mod primitives;
pub mod stack;
pub mod training;

use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed, TestCaseResult, TestRunner};

/// Tries a law on cases of a strategy.
///
/// # Panics
/// With the smallest case that breaks it.
pub fn hold<S: Strategy>(cases: S, law: impl Fn(S::Value) -> TestCaseResult) {
    let mut config = Config { failure_persistence: None, ..Config::default() };
    if config.rng_seed == RngSeed::Random {
        config.rng_seed = RngSeed::Fixed(1997);
    }
    if let Err(broken) = TestRunner::new(config).run(&cases, law) {
        panic!("{broken}");
    }
}

/// Fails unless every element of `got` lies within `tolerance max(1, |want|)`; NaN and infinities must agree.
fn close(what: &str, got: &[f64], want: &[f64], tolerance: f64) -> TestCaseResult {
    prop_assert_eq!(got.len(), want.len(), "{}", what);
    for (index, (&got, &want)) in got.iter().zip(want).enumerate() {
        let near = (got - want).abs() <= tolerance * want.abs().max(1.0);
        let same = got == want || got.is_nan() && want.is_nan();
        prop_assert!(near || same, "{}[{}] is {}, not {} within {:e}", what, index, got, want, tolerance);
    }
    Ok(())
}

/// Fails unless `got <= 1`, the name and the value said.
fn within((name, error): (String, f64)) -> TestCaseResult {
    prop_assert!(error <= 1.0, "{} is off by {} tolerances", name, error);
    Ok(())
}

/// One test per law, in a module `$module`, for a backend expression and an element type. Finite
/// differences need f64 and run there only.
#[macro_export]
macro_rules! laws {
    ($module:ident, $backend:expr, f64) => {
        mod $module {
            use super::*;
            $crate::laws!(@common $backend, f64);
            $crate::laws!(@group differences, $backend, f64:
                stack, stack_with_dropout, loss
            );
        }
    };
    ($module:ident, $backend:expr, f32) => {
        mod $module {
            use super::*;
            $crate::laws!(@common $backend, f32);
        }
    };
    (@common $backend:expr, $float:ty) => {
        $crate::laws!(@group primitives, $backend, $float:
            transfer_keeps_elements, copy_and_fill_touch_their_rectangle, gemm_is_the_loop, map_is_the_loop,
            zip_is_the_loop, add_row_and_sum_rows_are_the_loops, reduce_is_the_loop,
            gather_and_scatter_are_the_loops, random_is_philox, masks_keep_their_rate
        );
        $crate::laws!(@group stack, $backend, $float:
            forward_is_the_oracle, all_pairings_are_the_reference, absent_operands_are_zero,
            gradients_add_up, split_sequences_carry_their_state, steps_are_the_whole,
            inference_is_training_forward, rows_are_independent, permuted_rows_permute_outputs,
            permuted_units_change_nothing, repeats_are_bit_equal
        );
        $crate::laws!(@group dropout, $backend, $float:
            masked_forward_is_the_oracle, masked_pairings_are_the_reference, masks_follow_the_sample,
            inference_drops_nothing
        );
        $crate::laws!(@group training, $backend, $float:
            linear_is_the_loop, loss_is_the_formula, clip_is_the_formula, update_is_the_formula,
            a_bad_gradient_stops_updates
        );
        $crate::laws!(@group errors, $backend, $float:
            primitives_refuse_wrong_rectangles, stacks_refuse_wrong_shapes, plans_refuse_what_none_serves,
            training_refuses_wrong_shapes, stale_weights_are_refused
        );
    };
    (@group $group:ident, $backend:expr, $float:ty: $($law:ident),+) => {
        mod $group {
            use super::*;
            $(
                #[test]
                fn $law() {
                    $crate::laws::$group::$law::<_, $float>(&$backend);
                }
            )+
        }
    };
}
