//! Compiled kernels on disk.
//!
//! An entry says by itself what it is: it holds the whole key (compiler, options, source) and a checksum, so
//! that neither a collision of file names nor half a file can be taken for the right machine code. Entries
//! are written beside their place and moved there at once: processes that write the same one do not meet.
//!
//! Beside the user's cache there may be kernels packed with the program, for machines that have a GPU but no
//! compiler: [`Cache::packed`].

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// First bytes of an entry; the number changes with the format.
const MAGIC: &[u8] = b"lstm kernels 1\n";

/// Names the folder of packed kernels.
const PACKED: &str = "LSTM_KERNELS";

/// A folder of compiled kernels; without one nothing is kept.
#[derive(Clone, Debug)]
pub(crate) struct Cache {
    folder: Option<PathBuf>,
}

/// What machine code depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Key(String);

impl Key {
    /// Version of the compiler, its options with the architecture, the source.
    pub(crate) fn new(version: (i32, i32), options: &[String], source: &str) -> Self {
        Self(format!("NVRTC {}.{}\n{}\n\n{source}", version.0, version.1, options.join("\n")))
    }

    /// Options with the architecture and the source, by whatever compiler.
    pub(crate) fn of_any_compiler(options: &[String], source: &str) -> Self {
        Self(format!("packed\n{}\n\n{source}", options.join("\n")))
    }

    fn file_name(&self) -> String {
        format!("{:016x}.cubin", hash(self.0.as_bytes()))
    }
}

impl Cache {
    /// The cache of the user who runs this process.
    pub(crate) fn of_user() -> Self {
        let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let base = variable("XDG_CACHE_HOME")
            .or_else(|| variable("LOCALAPPDATA"))
            .or_else(|| variable("HOME").map(|home| home.join(".cache")));
        Self { folder: base.map(|base| base.join("lstm").join("kernels")) }
    }

    /// Kernels packed with the program: the folder that `LSTM_KERNELS` names; only where it is not set,
    /// `lstm-kernels` beside the program or one folder above it.
    ///
    /// # Errors
    /// A sentence where `LSTM_KERNELS` names no folder.
    pub(crate) fn packed() -> Result<Option<Self>, String> {
        let named = std::env::var_os(PACKED).filter(|value| !value.is_empty()).map(PathBuf::from);
        Self::packed_at(named.as_deref(), std::env::current_exe().ok().as_deref())
    }

    fn packed_at(named: Option<&Path>, program: Option<&Path>) -> Result<Option<Self>, String> {
        if let Some(named) = named {
            return match named.is_dir() {
                true => Ok(Some(Self::at(named))),
                false => Err(format!(
                    "{PACKED} names {}, which is no folder: name the one with the packed kernels, or unset it",
                    named.display()
                )),
            };
        }
        let beside = program.into_iter().flat_map(|program| program.ancestors().skip(1).take(2));
        let mut folders = beside.map(|folder| folder.join("lstm-kernels"));
        Ok(folders.find(|folder| folder.is_dir()).map(|folder| Self::at(&folder)))
    }

    /// A cache in `folder`.
    pub(crate) fn at(folder: &Path) -> Self {
        Self { folder: Some(folder.to_owned()) }
    }

    /// The machine code of `key`, if it is here and whole.
    pub(crate) fn load(&self, key: &Key) -> Option<Vec<u8>> {
        let entry = std::fs::read(self.folder.as_ref()?.join(key.file_name())).ok()?;
        let rest = entry.strip_prefix(MAGIC)?;
        let (length, rest) = number(rest)?;
        let (stored, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
        let (checksum, image) = number(rest)?;
        (stored == key.0.as_bytes() && checksum == hash(image)).then(|| image.to_vec())
    }

    /// Keeps the machine code of `key`. Best effort: whoever cannot write compiles again the next time.
    pub(crate) fn store(&self, key: &Key, image: &[u8]) {
        let Some(folder) = &self.folder else { return };
        // Nothing to do about a full disk or a folder that may not be written.
        let _ = write(folder, key, image);
    }
}

pub(super) fn write(folder: &Path, key: &Key, image: &[u8]) -> std::io::Result<()> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    std::fs::create_dir_all(folder)?;
    // No two writers share a name, neither processes nor threads.
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let beside = folder.join(format!("{}.{}-{count}.part", key.file_name(), std::process::id()));
    let mut entry = Vec::with_capacity(MAGIC.len() + key.0.len() + image.len() + 16);
    entry.extend_from_slice(MAGIC);
    entry.extend_from_slice(&(key.0.len() as u64).to_le_bytes());
    entry.extend_from_slice(key.0.as_bytes());
    entry.extend_from_slice(&hash(image).to_le_bytes());
    entry.extend_from_slice(image);
    let written = std::fs::File::create(&beside)
        .and_then(|mut file| file.write_all(&entry).and_then(|()| file.sync_all()))
        .and_then(|()| std::fs::rename(&beside, folder.join(key.file_name())));
    if written.is_err() {
        let _ = std::fs::remove_file(&beside);
    }
    written
}

/// The first eight bytes as a number, and the rest.
fn number(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (number, rest) = bytes.split_first_chunk()?;
    Some((u64::from_le_bytes(*number), rest))
}

/// FNV-1a of 64 bits: it finds accidents. Nothing rests on it alone, as an entry holds its key.
fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(version: (i32, i32), option: &str, source: &str) -> Key {
        Key::new(version, &[option.to_owned()], source)
    }

    #[test]
    fn what_is_stored_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(&folder.path().join("new"));
        let key = key((13, 0), "sm_90a", "source");
        assert_eq!(cache.load(&key), None);
        cache.store(&key, b"image");
        assert_eq!(cache.load(&key).as_deref(), Some(&b"image"[..]));
        assert_eq!(std::fs::read_dir(folder.path().join("new")).unwrap().count(), 1, "nothing left beside");
    }

    #[test]
    fn every_part_of_the_key_counts() {
        let base = key((13, 0), "sm_90a", "source");
        let others = [
            key((13, 1), "sm_90a", "source"),
            key((13, 0), "sm_100", "source"),
            key((13, 0), "sm_90a", "other"),
        ];
        for other in others {
            assert_ne!(base.file_name(), other.file_name());
        }
    }

    #[test]
    fn damaged_entries_are_not_taken() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path());
        let key = key((13, 0), "sm_90a", "source");
        cache.store(&key, b"image");
        let path = folder.path().join(key.file_name());
        let whole = std::fs::read(&path).unwrap();
        for length in 0..whole.len() {
            std::fs::write(&path, &whole[..length]).unwrap();
            assert_eq!(cache.load(&key), None, "cut to {length} bytes");
        }
        for place in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[place] ^= 1;
            std::fs::write(&path, damaged).unwrap();
            assert_eq!(cache.load(&key), None, "byte {place} changed");
        }
        cache.store(&key, b"image");
        assert!(cache.load(&key).is_some(), "a damaged entry is replaced");
    }

    #[test]
    fn an_entry_of_another_key_under_the_same_name_is_not_taken() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path());
        let (wanted, other) = (key((13, 0), "sm_90a", "source"), key((13, 0), "sm_90a", "other"));
        cache.store(&other, b"image");
        std::fs::rename(folder.path().join(other.file_name()), folder.path().join(wanted.file_name()))
            .unwrap();
        assert_eq!(cache.load(&wanted), None);
    }

    #[test]
    fn a_folder_that_is_named_alone_counts() {
        let folder = tempfile::tempdir().unwrap();
        let (named, beside) = (folder.path().join("named"), folder.path().join("lstm-kernels"));
        let program = folder.path().join("bin/program");
        let packed = |named: Option<&Path>| {
            Cache::packed_at(named, Some(&program)).map(|cache| cache.and_then(|cache| cache.folder))
        };
        assert_eq!(packed(None), Ok(None));
        std::fs::create_dir(&beside).unwrap();
        assert_eq!(packed(None), Ok(Some(beside)));
        let error = packed(Some(&named)).unwrap_err();
        assert!(error.starts_with("LSTM_KERNELS names ") && error.contains("which is no folder"), "{error}");
        std::fs::create_dir(&named).unwrap();
        assert_eq!(packed(Some(&named)), Ok(Some(named.clone())));
    }

    #[test]
    fn many_writers_leave_one_whole_entry() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path());
        let key = key((13, 0), "sm_90a", "source");
        let image = vec![7u8; 100_000];
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..20 {
                        cache.store(&key, &image);
                        assert!(cache.load(&key).is_none_or(|found| found == image));
                    }
                });
            }
        });
        assert_eq!(cache.load(&key), Some(image));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_no_error() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, b"").unwrap();
        let cache = Cache::at(&file.join("below"));
        let key = key((13, 0), "sm_90a", "source");
        cache.store(&key, b"image");
        assert_eq!(cache.load(&key), None);
    }
}
