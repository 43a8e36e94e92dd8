// Vocabulary of the kernels: the only file that knows whether a device or the emulator runs them.
#pragma once

#ifdef LSTM_EMULATOR
#include "emu.h"
#else

#define DEVICE __device__ __forceinline__
// An entry point; its name is the one that a launch gives.
#define KERNEL(name, ...) extern "C" __global__ void name(__VA_ARGS__)
// The same for blocks of at most so many threads, which may take more registers each.
#define KERNEL_OF(threads, name, ...) extern "C" __global__ void __launch_bounds__(threads) name(__VA_ARGS__)
// The block's dynamic shared memory as an array of `type`.
#define SHARED(type, name)                                                                                  \
    extern __shared__ __align__(16) unsigned char shared_memory[];                                          \
    type* name = reinterpret_cast<type*>(shared_memory)

#define sync_threads() __syncthreads()
#define shuffle_down(mask, value, by) __shfl_down_sync(mask, value, by)
#define shuffle_from(mask, value, lane) __shfl_sync(mask, value, lane)

// The exact functions, never the approximate ones; compile without --use_fast_math.
DEVICE float exponential(float x) { return expf(x); }
DEVICE double exponential(double x) { return exp(x); }
DEVICE float tangent(float x) { return tanhf(x); }
DEVICE double tangent(double x) { return tanh(x); }
DEVICE float root(float x) { return sqrtf(x); }
DEVICE double root(double x) { return sqrt(x); }
DEVICE double power(double x, double y) { return pow(x, y); }
DEVICE unsigned high_product(unsigned a, unsigned b) { return __umulhi(a, b); }
DEVICE unsigned long long bits_of(double x) { return __double_as_longlong(x); }
DEVICE double from_bits(unsigned long long bits) { return __longlong_as_double(bits); }

#endif

typedef unsigned long long u64;

// Defines a pair of entry points, `ENTRY(float, f32)` and `ENTRY(double, f64)`.
#define FOR_FLOATS(ENTRY) ENTRY(float, f32) ENTRY(double, f64)

// Index of this thread over all blocks, and the number of all threads, in x.
DEVICE u64 global_index() { return u64(blockIdx.x) * blockDim.x + threadIdx.x; }
DEVICE u64 global_count() { return u64(gridDim.x) * blockDim.x; }

// 1 / (1 + exp(-x)): never cancels, unlike forms with exp(2 x).
template <class T> DEVICE T sigmoid(T x) { return T(1) / (T(1) + exponential(-x)); }

template <class T> DEVICE T magnitude(T x) { return x < T(0) ? -x : x; }

// -1, 0 or 1; NaN stays NaN.
template <class T> DEVICE T sign(T x) { return x > T(0) ? T(1) : x < T(0) ? T(-1) : x == T(0) ? T(0) : x; }

// Nearest value in [low, high]; NaN stays NaN.
template <class T> DEVICE T clamp(T x, T low, T high) { return x < low ? low : x > high ? high : x; }
