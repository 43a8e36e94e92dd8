//! `cargo fuzz run checkpoint`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    lstm_fuzz::checkpoint::check(bytes);
});
