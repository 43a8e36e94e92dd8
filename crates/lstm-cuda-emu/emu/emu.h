// The kernels' vocabulary on the CPU; device.cuh includes this where it is compiled for the emulator.
#pragma once
#include "machine.h"
#include <cmath>

#define DEVICE inline
#define KERNEL(name, ...)                                                                                   \
    static void name(__VA_ARGS__);                                                                          \
    static const emu::Call<name> call_##name(#name);                                                        \
    static void name(__VA_ARGS__)
#define KERNEL_OF(threads, name, ...) KERNEL(name, __VA_ARGS__)
#define KERNEL_IN_CLUSTER(threads, blocks, name, ...)                                                       \
    static void name(__VA_ARGS__);                                                                          \
    static const emu::Call<name> call_##name(#name, blocks);                                                \
    static void name(__VA_ARGS__)
#define KERNEL_ON_GRID(threads, name, ...)                                                                  \
    static void name(__VA_ARGS__);                                                                          \
    static const emu::Call<name> call_##name(#name, emu::WHOLE_GRID);                                       \
    static void name(__VA_ARGS__)
#define SHARED(type, name) type* name = reinterpret_cast<type*>(emu::current->block->shared.data())

#define threadIdx (emu::current->index)
#define blockIdx (emu::current->block->index)
#define blockDim (emu::grid->threads)
#define gridDim (emu::grid->blocks)

#define cluster_rank() (emu::current->block->rank)
#define sync_cluster() emu::cluster_barrier({"sync_cluster", __FILE__, __LINE__})
#define tell_grid(told) emu::tell_grid(told, {"tell_grid", __FILE__, __LINE__})
#define hear_grid(told, count) emu::hear_grid(told, count, {"hear_grid", __FILE__, __LINE__})
#define open_inbox(inbox) emu::open_inbox(inbox, {"open_inbox", __FILE__, __LINE__})
#define expect_bytes(inbox, bytes) emu::expect_bytes(inbox, bytes, {"expect_bytes", __FILE__, __LINE__})
#define await_bytes(inbox, parity) emu::await_bytes(inbox, parity, {"await_bytes", __FILE__, __LINE__})
#define send(value, place, inbox, rank) emu::send(value, place, inbox, rank, {"send", __FILE__, __LINE__})

#define sync_warp() emu::exchange(0xFFFFFFFFu, 0, {"sync_warp", __FILE__, __LINE__})
#define sync_threads() emu::block_barrier({"sync_threads", __FILE__, __LINE__})
#define shuffle_down(mask, value, by) emu::shuffle_down(mask, value, by, {"shuffle_down", __FILE__, __LINE__})
#define shuffle_from(mask, value, lane) emu::shuffle_from(mask, value, lane, {"shuffle_from", __FILE__, __LINE__})

DEVICE float exponential(float x) { return std::exp(x); }
DEVICE double exponential(double x) { return std::exp(x); }
DEVICE float tangent(float x) { return std::tanh(x); }
DEVICE double tangent(double x) { return std::tanh(x); }
DEVICE float root(float x) { return std::sqrt(x); }
DEVICE double root(double x) { return std::sqrt(x); }
DEVICE double power(double x, double y) { return std::pow(x, y); }
DEVICE unsigned high_product(unsigned a, unsigned b) { return unsigned(uint64_t(a) * b >> 32); }
DEVICE unsigned long long bits_of(double x) {
    unsigned long long bits;
    memcpy(&bits, &x, sizeof(bits));
    return bits;
}
DEVICE double from_bits(unsigned long long bits) {
    double x;
    memcpy(&x, &bits, sizeof(x));
    return x;
}
