//! `cargo fuzz run model`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    lstm_fuzz::model::check(bytes);
});
