//! Training loops, stop rules, forecasting and metrics over any lstm backend.
