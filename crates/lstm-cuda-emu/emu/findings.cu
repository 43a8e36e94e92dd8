// Kernels that break CUDA's rules, for the emulator's own tests.
#include "device.cuh"

// Half of the threads leave before a barrier.
KERNEL(emulator_barrier_left, unsigned half) {
    if (threadIdx.x < half) return;
    sync_threads();
}

// Threads wait at different barriers.
KERNEL(emulator_barriers_differ, unsigned half) {
    if (threadIdx.x < half) {
        sync_threads();
    } else {
        sync_threads();
    }
}

// Lanes disagree about who takes part.
KERNEL(emulator_masks_differ, unsigned half) {
    shuffle_down(threadIdx.x < half ? 0xFFFFFFFFu : 0xFFFF0000u, threadIdx.x, 1);
}

// Reads shared memory that nobody has written.
KERNEL(emulator_shared_unwritten, float* y) {
    SHARED(float, values);
    y[threadIdx.x] = values[threadIdx.x];
}

// Reads what another warp writes, without a barrier between.
KERNEL(emulator_race, float* y) {
    SHARED(float, values);
    values[threadIdx.x] = float(threadIdx.x);
    y[threadIdx.x] = values[blockDim.x - 1 - threadIdx.x];
}
