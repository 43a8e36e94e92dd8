// Vocabulary of the kernels.
