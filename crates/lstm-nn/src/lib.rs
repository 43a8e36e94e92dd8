//! Networks: LSTM stacks with a head, initialisation, losses, saved models.
