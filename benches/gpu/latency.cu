// What waiting costs: an empty kernel, and a barrier that all blocks of a grid meet at.

extern "C" __global__ void nothing() {}

// One block per multiprocessor at most, so that all of them run at once.
// Grid: any; block: any. `arrived` is 0 at first and counts blocks over all rounds.
extern "C" __global__ void grid_barrier(unsigned* arrived, unsigned rounds) {
    for (unsigned round = 1; round <= rounds; ++round) {
        __syncthreads();
        if (threadIdx.x == 0) {
            unsigned seen;
            asm volatile("red.release.gpu.global.add.u32 [%0], 1;" ::"l"(arrived) : "memory");
            do {
                asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(seen) : "l"(arrived) : "memory");
            } while (seen < round * gridDim.x);
        }
        __syncthreads();
    }
}
