//! The program `lstm`; all of it stands in the library, where fuzzers and tests reach it.

fn main() -> std::process::ExitCode {
    lstm_cli::main()
}
