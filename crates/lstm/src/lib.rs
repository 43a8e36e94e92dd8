//! The LSTM for sequences: tensors, CPU backend, networks, optimizers, data and training in one facade.
