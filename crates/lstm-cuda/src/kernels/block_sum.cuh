// Sum over the threads of a block, in an order that depends on the block's size alone.
#pragma once
#include "device.cuh"

// Answers the sum of all threads' values to thread 0 (to others something else).
//
// All threads of the block call it, a multiple of 32 of them. `shared` holds one number per warp.
DEVICE double block_sum(double value, double* shared) {
    const unsigned all = 0xFFFFFFFFu, lane = threadIdx.x % 32, warp = threadIdx.x / 32, warps = blockDim.x / 32;
    for (unsigned by = 16; by > 0; by /= 2) value += shuffle_down(all, value, by);
    if (lane == 0) shared[warp] = value;
    sync_threads();
    if (warp > 0) return 0;
    value = lane < warps ? shared[lane] : 0;
    for (unsigned by = 16; by > 0; by /= 2) value += shuffle_down(all, value, by);
    return value;
}

// Sum of `count` parts, to thread 0 of a single block.
DEVICE double sum_of_parts(const double* parts, unsigned count, double* shared) {
    double sum = 0;
    for (unsigned i = threadIdx.x; i < count; i += blockDim.x) sum += parts[i];
    return block_sum(sum, shared);
}
