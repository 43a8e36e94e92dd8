//! Nothing to run: only whether the manifest resolves is asked.
