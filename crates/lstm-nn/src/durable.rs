//! Files that nobody sees half-written, and that a loss of power does not take back.
//!
//! Bytes go to a temporary file beside the target, which is synced, renamed, and its folder synced: before the
//! rename the old file is there, after it the new one.

use crate::{Error, Result};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// Tells temporaries of one process apart.
static COUNT: AtomicU32 = AtomicU32::new(0);
/// Names that are tried before a temporary counts as impossible.
const ATTEMPTS: usize = 100;

/// A file that has its name only once it is whole; dropped before that, it leaves nothing.
#[derive(Debug)]
pub struct Durable {
    path: PathBuf,
    temporary: PathBuf,
    /// Locked for as long as somebody writes, so that [`sweep`] can tell.
    file: File,
}

impl Durable {
    /// An empty file that will be `path`.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn create(path: &Path) -> Result<Self> {
        let name = path.file_name().ok_or_else(|| io_error(path, io::Error::other("not a file name")))?;
        for _ in 0..ATTEMPTS {
            let count = COUNT.fetch_add(1, Ordering::Relaxed);
            let temporary = path.with_file_name(format!(
                ".{}.{}-{count}.tmp",
                name.to_string_lossy(),
                std::process::id()
            ));
            let file = match File::options().write(true).create_new(true).open(&temporary) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                file => file.map_err(|error| io_error(path, error))?,
            };
            // Somebody may sweep between the two lines above and below; file systems without locks are not swept.
            let swept = matches!(file.try_lock(), Err(fs::TryLockError::WouldBlock)) || !temporary.exists();
            if !swept {
                return Ok(Self { path: path.to_owned(), temporary, file });
            }
        }
        Err(io_error(path, io::Error::other("its temporary files are taken away while they are made")))
    }

    /// Gives the file its name, durably.
    ///
    /// # Errors
    /// [`Error::Io`]; the name then stands for what it stood for before, or for the whole new file.
    pub fn finish(self) -> Result<()> {
        self.renamed().map_err(|error| io_error(&self.path, error))
    }

    fn renamed(&self) -> io::Result<()> {
        self.file.sync_all()?;
        fs::rename(&self.temporary, &self.path)?;
        sync_folder(&self.path)
    }
}

impl Write for Durable {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for Durable {
    fn drop(&mut self) {
        // Where it has its name already, there is nothing to remove; where it cannot be removed, `sweep` does it later.
        let _ = fs::remove_file(&self.temporary);
    }
}

/// Writes a file whole, or not at all.
///
/// # Errors
/// [`Error::Io`].
pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut file = Durable::create(path)?;
    file.write_all(bytes).map_err(|error| io_error(path, error))?;
    file.finish()
}

/// Removes the temporaries that writers left in a folder when they were killed. One that is still written is locked,
/// and stays.
///
/// # Errors
/// [`Error::Io`] where the folder cannot be read.
pub fn sweep(folder: &Path) -> Result<()> {
    for entry in fs::read_dir(folder).map_err(|error| io_error(folder, error))? {
        let path = entry.map_err(|error| io_error(folder, error))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if !is_temporary(&name) {
            continue;
        }
        // What cannot be opened, locked or removed is somebody else's.
        if let Ok(file) = File::options().write(true).open(&path)
            && file.try_lock().is_ok()
        {
            let _ = fs::remove_file(&path);
        }
    }
    Ok(())
}

/// `.NAME.PID-COUNT.tmp`
fn is_temporary(name: &str) -> bool {
    let number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    name.strip_prefix('.')
        .and_then(|name| name.strip_suffix(".tmp"))
        .and_then(|name| name.rsplit_once('.'))
        .and_then(|(name, writer)| Some((name, writer.split_once('-')?)))
        .is_some_and(|(name, (process, count))| !name.is_empty() && number(process) && number(count))
}

/// Makes names in the folder of a file durable, on systems where a folder can be synced.
fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}

fn io_error(path: &Path, source: io::Error) -> Error {
    Error::Io { path: path.to_owned(), source }
}
