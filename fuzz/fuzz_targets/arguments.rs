//! `cargo fuzz run arguments`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    lstm_fuzz::arguments::check(bytes);
});
