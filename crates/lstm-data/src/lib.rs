//! Series for forecasting: CSV reading, windows, splits, scalers, generators.
