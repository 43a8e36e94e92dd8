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

// A block waits for bytes that nobody sends.
KERNEL_IN_CLUSTER(64, 2, emulator_nothing_sent, unsigned bytes) {
    SHARED(u64, inbox);
    if (threadIdx.x == 0) {
        open_inbox(inbox);
        expect_bytes(inbox, bytes);
    }
    sync_cluster();
    await_bytes(inbox, 0);
}

// A round of an inbox is begun before the last has ended.
KERNEL_IN_CLUSTER(64, 2, emulator_expected_twice, unsigned bytes) {
    SHARED(u64, inbox);
    if (threadIdx.x == 0) {
        open_inbox(inbox);
        expect_bytes(inbox, bytes);
        expect_bytes(inbox, bytes);
    }
}

// Something is sent before anybody can have opened the inbox.
KERNEL_IN_CLUSTER(64, 2, emulator_inbox_closed, unsigned bytes) {
    SHARED(u64, inbox);
    if (cluster_rank() == 0 && threadIdx.x == 0) send(bytes, reinterpret_cast<unsigned*>(inbox + 1), inbox, 1);
}

// Each block of a cluster reads what the other sends; without waiting for it, if `wait` is 0.
KERNEL_IN_CLUSTER(64, 2, emulator_sent, unsigned* y, unsigned wait) {
    SHARED(u64, inbox);
    unsigned* words = reinterpret_cast<unsigned*>(inbox + 1);
    if (threadIdx.x == 0) {
        open_inbox(inbox);
        expect_bytes(inbox, 64 * sizeof(unsigned));
    }
    sync_cluster();
    send(blockIdx.x * 64 + threadIdx.x, words + threadIdx.x, inbox, 1 - cluster_rank());
    if (wait) await_bytes(inbox, 0);
    y[blockIdx.x * 64 + threadIdx.x] = words[63 - threadIdx.x];
    sync_cluster();
}

// Each block of a grid reads what the next one has written, after so many have told of it.
KERNEL_ON_GRID(64, emulator_passed_on, unsigned* told, unsigned* words, unsigned heard) {
    unsigned count = blockDim.x * gridDim.x, at = blockIdx.x * blockDim.x + threadIdx.x;
    words[at] = at;
    tell_grid(told);
    hear_grid(told, heard);
    words[count + at] = words[(at + blockDim.x) % count];
}
