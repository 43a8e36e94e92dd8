//! Files with a digest: set right, so that what lies behind it is met, and a place to read them from.

use sha2::{Digest, Sha256};
use std::path::PathBuf;
use std::sync::LazyLock;

/// What stands before the digest.
const BEFORE: &[u8] = br#"{\"digest\":\""#;
const DIGITS: usize = 64;

/// A folder of this process: of tests where cargo wants it, of fuzzers in `TMPDIR`, which had better be in memory.
static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
    let place = option_env!("CARGO_TARGET_TMPDIR").map_or_else(std::env::temp_dir, PathBuf::from);
    place.join(format!("lstm-fuzz-{}", std::process::id()))
});

/// The bytes with the digest that they should have; as they are, where there is no place for one.
pub(crate) fn sealed(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let found = bytes.windows(BEFORE.len()).position(|window| window == BEFORE);
    if let Some(place) = found.map(|at| at + BEFORE.len())
        && let Some(digits) = bytes.get_mut(place..place + DIGITS)
    {
        digits.fill(b'0');
        let digest: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        bytes[place..place + DIGITS].copy_from_slice(digest.as_bytes());
    }
    bytes
}

/// An empty folder of this name.
pub(crate) fn folder(name: &str) -> PathBuf {
    let folder = FOLDER.join(name);
    std::fs::create_dir_all(&folder).expect("a folder for files");
    folder
}
