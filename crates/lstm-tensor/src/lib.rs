//! Scalars, views, errors and the backend contract of the lstm workspace.
