// What the kernels of whole sequences share.
#pragma once
#include "device.cuh"

// Adds the products of N weights and as many shared values to four sums that do not wait for each other.
template <class T, unsigned N> DEVICE void add_weighted(T* sums, const T* weights, const T* values) {
    #pragma unroll
    for (unsigned k = 0; k < N; k += 4) {
        Four<T> four = *reinterpret_cast<const Four<T>*>(values + k);
        #pragma unroll
        for (unsigned n = 0; n < 4; ++n) sums[n] += weights[k + n] * four.at[n];
    }
}

template <class T> DEVICE T sum_of(const T* sums) { return (sums[0] + sums[1]) + (sums[2] + sums[3]); }

// The `COUNT` weights of each of so many threads. A thread holds the first `HELD` in registers; the others lie in shared
// memory, four of one thread beside four of the next, so that a warp reads them without meeting in a bank.
template <class T, unsigned THREADS, unsigned COUNT, unsigned HELD> struct Weights {
    T held[HELD];
    // Weight HELD + 4 j + n is `lent[THREADS j].at[n]`.
    Four<T>* lent;

    // `of(k)` is weight k; `place` the shared memory of all threads' others.
    template <class Of> DEVICE void load(T* place, Of of) {
        lent = reinterpret_cast<Four<T>*>(place) + threadIdx.x;
        #pragma unroll
        for (unsigned k = 0; k < HELD; ++k) held[k] = of(k);
        for (unsigned k = HELD; k < COUNT; ++k) lent[THREADS * ((k - HELD) / 4)].at[k % 4] = of(k);
    }

    // The product with as many shared values.
    DEVICE T times(const T* values) const {
        T sums[4] = {T(0), T(0), T(0), T(0)};
        add_weighted<T, HELD>(sums, held, values);
        #pragma unroll 2
        for (unsigned k = HELD; k < COUNT; k += 4) {
            add_weighted<T, 4>(sums, lent[THREADS * ((k - HELD) / 4)].at, values + k);
        }
        return sum_of(sums);
    }
};

// What a step backward reads of the tape.
template <class T> struct Taken {
    T gates[4], cell, before, d_hidden;
};

template <class T>
DEVICE Taken<T> taken(const T* gates, const T* cell, const T* cell_before, const T* d_out, u64 t, u64 row,
                      unsigned rows, unsigned units, unsigned unit) {
    u64 at = t * rows + row;
    Taken<T> step;
    for (unsigned k = 0; k < 4; ++k) step.gates[k] = gates[(at * 4 + k) * units + unit];
    step.cell = cell[at * units + unit];
    step.d_hidden = d_out[at * units + unit];
    step.before = t ? cell[(at - rows) * units + unit] : cell_before ? cell_before[row * units + unit] : T(0);
    return step;
}
