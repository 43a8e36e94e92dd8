//! The LSTMs of burn and candle on the CPU, for `bench lstm --peer burn` and `--peer candle`: a worker that is asked
//! on its stdin and answers on its stdout ([`lstm_benches::worker`]). `RAYON_NUM_THREADS` is the number of threads
//! of both. It is no part of the workspace, so that nothing of ours is built on what it is compared with.

mod burn_lstm;
mod candle_lstm;

use anyhow::Result;
use clap::{Parser, ValueEnum};
use lstm_benches::worker::serve;

#[derive(Parser)]
struct Args {
    /// Whose LSTM
    framework: Framework,
}

#[derive(Clone, Copy, ValueEnum)]
enum Framework {
    Burn,
    Candle,
}

fn main() -> Result<()> {
    match Args::parse().framework {
        Framework::Burn => serve(burn_lstm::VERSION, burn_lstm::Network::load),
        Framework::Candle => serve(candle_lstm::VERSION, candle_lstm::Network::load),
    }
}
