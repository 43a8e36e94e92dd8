// Vocabulary of the kernels: the only file that knows whether a device or the emulator runs them.
#pragma once

// Four neighbours, read or sent at once.
template <class T> struct alignas(16) Four {
    T at[4];
};

#ifdef LSTM_EMULATOR
#include "emu.h"
#else

#define DEVICE __device__ __forceinline__
// An entry point; its name is the one that a launch gives.
#define KERNEL(name, ...) extern "C" __global__ void name(__VA_ARGS__)
// The same for blocks of at most so many threads, which may take more registers each.
#define KERNEL_OF(threads, name, ...) extern "C" __global__ void __launch_bounds__(threads) name(__VA_ARGS__)
// And for clusters of so many blocks in x, which reach each other's shared memory: came with compute capability 9.0, for
// others it makes no code.
#if __CUDA_ARCH__ >= 900
#define KERNEL_IN_CLUSTER(threads, blocks, name, ...)                                                       \
    extern "C" __global__ void __launch_bounds__(threads) __cluster_dims__(blocks, 1, 1) name(__VA_ARGS__)
#else
#define KERNEL_IN_CLUSTER(threads, blocks, name, ...) template <class> DEVICE void name(__VA_ARGS__)
#endif
// And for grids whose blocks all run at the same time, so that they may wait for each other.
#define KERNEL_ON_GRID(threads, name, ...) extern "C" __global__ void __launch_bounds__(threads, 1) name(__VA_ARGS__)
// The block's dynamic shared memory as an array of `type`.
#define SHARED(type, name)                                                                                  \
    extern __shared__ __align__(16) unsigned char shared_memory[];                                          \
    type* name = reinterpret_cast<type*>(shared_memory)

#define sync_threads() __syncthreads()
#define sync_warp() __syncwarp()
#define shuffle_down(mask, value, by) __shfl_down_sync(mask, value, by)
#define shuffle_from(mask, value, lane) __shfl_sync(mask, value, lane)

// Own number in the cluster.
DEVICE unsigned cluster_rank() {
    unsigned rank;
    asm("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
    return rank;
}

// Waits for all threads of the cluster; what they wrote before can be read.
DEVICE void sync_cluster() { asm volatile("barrier.cluster.arrive.release;\n\tbarrier.cluster.wait.acquire;" ::: "memory"); }

// Counts this block up in a number of global memory; whoever has heard it reads what the block's threads wrote before. All
// of them meet here.
DEVICE void tell_grid(unsigned* told) {
    sync_threads();
    if (threadIdx.x == 0) asm volatile("red.release.gpu.add.u32 [%0], 1;" ::"l"(told) : "memory");
}

// Waits until so many have counted, which may go round at 2^32. All threads of the block meet here.
DEVICE void hear_grid(const unsigned* told, unsigned count) {
    if (threadIdx.x == 0) {
        unsigned now;
        do {
            asm volatile("ld.acquire.gpu.u32 %0, [%1];" : "=r"(now) : "l"(told) : "memory");
        } while (int(now - count) < 0);
    }
    sync_threads();
}

DEVICE unsigned shared_address(const void* place) { return static_cast<unsigned>(__cvta_generic_to_shared(place)); }

// An inbox, 8 bytes of shared memory, counts bytes that blocks of the cluster send. One thread opens it, then all meet.
DEVICE void open_inbox(unsigned long long* inbox) {
    asm volatile("mbarrier.init.shared::cta.b64 [%0], 1;" ::"r"(shared_address(inbox)) : "memory");
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
}

// Begins a round, which ends when so many bytes have come; some may have come before.
DEVICE void expect_bytes(unsigned long long* inbox, unsigned bytes) {
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(inbox)), "r"(bytes)
                 : "memory");
}

// Waits for the end of the round of this parity: 0 of the first, 1 of the second, and so on.
DEVICE void await_bytes(unsigned long long* inbox, unsigned parity) {
    unsigned done = 0;
    while (done == 0) {
        asm volatile("{\n\t.reg .pred p;\n\t"
                     "mbarrier.try_wait.parity.acquire.cluster.shared::cta.b64 p, [%1], %2;\n\t"
                     "selp.u32 %0, 1, 0, p;\n\t}"
                     : "=r"(done)
                     : "r"(shared_address(inbox)), "r"(parity)
                     : "memory");
    }
}

DEVICE unsigned in_block(unsigned rank, const void* place) {
    unsigned there;
    asm("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(there) : "r"(shared_address(place)), "r"(rank));
    return there;
}

// Sends to the same place of another block's shared memory, and counts there; returns before it has arrived.
DEVICE void send(unsigned value, const unsigned* place, const unsigned long long* inbox, unsigned rank) {
    asm volatile("st.async.weak.shared::cluster.mbarrier::complete_tx::bytes.u32 [%0], %1, [%2];" ::"r"(in_block(rank, place)),
                 "r"(value), "r"(in_block(rank, inbox))
                 : "memory");
}
DEVICE void send(const Four<float>& values, const Four<float>* place, const unsigned long long* inbox, unsigned rank) {
    asm volatile("st.async.weak.shared::cluster.mbarrier::complete_tx::bytes.v4.u32 [%0], {%1, %2, %3, %4}, [%5];" ::"r"(
                     in_block(rank, place)),
                 "r"(__float_as_uint(values.at[0])), "r"(__float_as_uint(values.at[1])),
                 "r"(__float_as_uint(values.at[2])), "r"(__float_as_uint(values.at[3])), "r"(in_block(rank, inbox))
                 : "memory");
}
DEVICE void send(float value, const float* place, const unsigned long long* inbox, unsigned rank) {
    send(__float_as_uint(value), reinterpret_cast<const unsigned*>(place), inbox, rank);
}

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
