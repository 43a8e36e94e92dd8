//! CPU backend of the lstm workspace: fused LSTM stacks over a GEMM library and a thread pool.
