// What waiting costs inside a cluster of 8 blocks; for compute capability 9.0 and later.

// Barriers that all blocks of the cluster meet at. Grid: 8; block: any.
extern "C" __global__ void __cluster_dims__(8, 1, 1) cluster_barrier(unsigned rounds) {
    for (unsigned round = 0; round < rounds; ++round) {
        asm volatile("barrier.cluster.arrive.release.aligned;\n\tbarrier.cluster.wait.acquire.aligned;" ::
                         : "memory");
    }
}

// A word goes from each block to the other and back, by a store that counts down a barrier in the other's
// shared memory. Grid: 2; block: 1 warp, of which one thread works. `sum` receives what arrived.
extern "C" __global__ void __cluster_dims__(2, 1, 1) st_async(unsigned rounds, unsigned* sum) {
    __shared__ alignas(8) unsigned long long barrier;
    __shared__ unsigned word;
    unsigned here = static_cast<unsigned>(__cvta_generic_to_shared(&barrier));
    unsigned place = static_cast<unsigned>(__cvta_generic_to_shared(&word));
    unsigned rank, there, target;
    asm("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
    asm("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(there) : "r"(here), "r"(rank ^ 1));
    asm("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(target) : "r"(place), "r"(rank ^ 1));
    if (threadIdx.x == 0) {
        asm volatile("mbarrier.init.shared::cta.b64 [%0], 1;" ::"r"(here) : "memory");
        asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
    }
    asm volatile("barrier.cluster.arrive.release;\n\tbarrier.cluster.wait.acquire;" ::: "memory");
    unsigned total = 0;
    if (threadIdx.x == 0) {
        for (unsigned round = 0; round < rounds; ++round) {
            asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], 4;" ::"r"(here) : "memory");
            for (unsigned turn = 0; turn < 2; ++turn) {
                if (turn == rank) {
                    asm volatile(
                        "st.async.weak.shared::cluster.mbarrier::complete_tx::bytes.u32 [%0], %1, [%2];" ::"r"(target),
                        "r"(round + rank),
                        "r"(there)
                        : "memory");
                } else {
                    unsigned done = 0;
                    while (done == 0) {
                        asm volatile(
                            "{\n\t.reg .pred p;\n\t"
                            "mbarrier.try_wait.parity.acquire.cluster.shared::cta.b64 p, [%1], %2;\n\t"
                            "selp.u32 %0, 1, 0, p;\n\t}"
                            : "=r"(done)
                            : "r"(here), "r"(round & 1)
                            : "memory");
                    }
                    total += *static_cast<volatile unsigned*>(&word);
                }
            }
        }
        sum[rank] = total;
    }
    asm volatile("barrier.cluster.arrive.release;\n\tbarrier.cluster.wait.acquire;" ::: "memory");
}
