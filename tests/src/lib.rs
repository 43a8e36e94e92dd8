//! Laws, goldens and command-line tests over the whole workspace.
