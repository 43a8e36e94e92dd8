//! Configuration files: what is read is written to text that says the same.

/// Reads the text of a configuration file.
pub fn check(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    match lstm_cli::doors::settings(text) {
        Ok(written) => {
            assert_eq!(lstm_cli::doors::settings(&written).as_ref(), Ok(&written), "from {text:?}");
            true
        }
        Err(why) => {
            assert!(why.starts_with("settings.toml"), "{why:?} does not name the file");
            false
        }
    }
}
