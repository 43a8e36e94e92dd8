//! Ctrl-C: the first asks the running step to be the last, the second ends the program at once.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::failure::{Failure, Result};

static ASKED: AtomicBool = AtomicBool::new(false);

/// Listens from now on. Files are renamed into place, so that ending at once leaves none half-written under
/// its name; at most a `.NAME.PID.tmp` stays beside it.
///
/// # Errors
/// If the system does not let us listen.
pub(crate) fn listen() -> Result<()> {
    let heard = || {
        if ASKED.swap(true, Ordering::SeqCst) {
            std::process::exit(130);
        }
    };
    ctrlc::set_handler(heard).map_err(|error| Failure::device(format!("cannot listen for Ctrl-C: {error}")))
}

/// Whether somebody wants us to end.
pub(crate) fn asked() -> bool {
    ASKED.load(Ordering::SeqCst)
}
