// A layer's whole sequence in one launch, its recurrent weights spread over all blocks of the grid, which run at the same
// time. Equations: `lstm_tensor::reference`.
//
// Grid: a block for every 8 units, so that a layer needs no more blocks than it has units for. Its 8 warps share what a step
// brings: each reads an eighth of the hidden states, backward of the gates' gradients, and multiplies it with the weights of
// all gates of the 8 units, backward of the 8 columns; a thread holds P / 8 weights, all in registers. The parts meet in shared
// memory. The batch has up to 32 rows: their sums are made one after another, their cells at once, each warp those of a unit,
// each lane that of a row.
//
// What blocks find out in a step they write where it belongs anyway, and count up a number of global memory; all wait until
// everybody has counted. Nothing is overwritten that somebody may still read: each step has a place of its own, and where the
// state before the first step lies in the last one's, there are two steps at least, and everybody has counted the first.
#include "sequence.cuh"

// Units of a block, and warps.
#define GRID_UNITS 8u

// What a warp adds up for `OUTS` outputs from `VALUES` values a lane. Lane l counts outputs from its own one on: sum n is that of
// output n ^ own, so that neighbours keep one half of their sums and give the other away without asking which.
template <class T, unsigned OUTS, unsigned VALUES> struct Shares {
    T weights[OUTS * VALUES];

    DEVICE static unsigned own() { return threadIdx.x % 32 / (32 / OUTS); }

    // `of(n, k)` is the weight of output n for the lane's value k; there are fewer than 2^32.
    template <class Of> DEVICE void load(Of of) {
        #pragma unroll
        for (unsigned n = 0; n < OUTS; ++n) {
            #pragma unroll
            for (unsigned k = 0; k < VALUES; ++k) weights[n * VALUES + k] = of(n ^ own(), k);
        }
    }

    // What all lanes together have of each one's own output.
    DEVICE static T meet(T* sums) {
        #pragma unroll
        for (unsigned level = 0; level < 5; ++level) {
            unsigned by = 16u >> level, kept = OUTS >> (level + 1);
            #pragma unroll
            for (unsigned n = 0; n < OUTS / 2; ++n) {
                if (n < kept) sums[n] += shuffle_from(0xFFFFFFFFu, sums[n + kept], (threadIdx.x % 32) ^ by);
            }
            if (kept == 0) sums[0] += shuffle_from(0xFFFFFFFFu, sums[0], (threadIdx.x % 32) ^ by);
        }
        return sums[0];
    }

    // Multiplies rows one after another and leaves the warps' sums at `parts`, `[rows, 8, OUTS]`; from row to row lies one value
    // more, so that lanes which read different rows meet in no bank. Of the values of a lane, 32 apart, those below `count` are
    // real. All threads of the block meet at the end.
    DEVICE void multiply(T* parts, const T* from, u64 stride, unsigned rows, unsigned count) const {
        unsigned lane = threadIdx.x % 32, warp = threadIdx.x / 32;
        T values[VALUES];
        #pragma unroll
        for (unsigned k = 0; k < VALUES; ++k) values[k] = k * 32 + lane < count ? from[k * 32 + lane] : T(0);
        for (unsigned row = 0; row < rows; ++row) {
            from += stride;
            if (row + 1 == rows) count = 0;
            T sums[OUTS];
            #pragma unroll
            for (unsigned n = 0; n < OUTS; ++n) sums[n] = T(0);
            #pragma unroll
            for (unsigned k = 0; k < VALUES; ++k) {
                T value = values[k];
                // Of the next row.
                values[k] = k * 32 + lane < count ? from[k * 32 + lane] : T(0);
                #pragma unroll
                for (unsigned n = 0; n < OUTS; ++n) sums[n] += weights[n * VALUES + k] * value;
            }
            T sum = meet(sums);
            if (lane % (32 / OUTS) == 0) parts[row * (GRID_UNITS * OUTS + 1) + warp * OUTS + own()] = sum;
        }
        sync_threads();
    }
};

// The sum of all warps for output n of a row.
template <class T, unsigned OUTS> DEVICE T of_all_warps(const T* parts, unsigned row, unsigned n) {
    const T* part = parts + row * (GRID_UNITS * OUTS + 1) + n;
    T sum = part[0];
    #pragma unroll
    for (unsigned warp = 1; warp < GRID_UNITS; ++warp) sum += part[warp * OUTS];
    return sum;
}

// How many of a warp's values from `first` on lie below `units`.
DEVICE unsigned below(unsigned units, unsigned first) { return units > first ? units - first : 0; }

// As `sequence_forward`, for 32 rows at most; `told` is 0.
template <class T, unsigned P>
DEVICE void grid_forward(const T* w_hh, const T* bias, const T* second_bias, double forget_bias, T* gates,
                         const T* hidden_before, const T* cell_before, T* cell, T* hidden, unsigned steps,
                         unsigned rows, unsigned units, unsigned keep, unsigned* told) {
    SHARED(T, parts);
    unsigned lane = threadIdx.x % 32, warp = threadIdx.x / 32, slice = warp * (P / GRID_UNITS);
    unsigned unit = blockIdx.x * GRID_UNITS + warp;
    bool of_row = unit < units && lane < rows;
    // Of a unit the four gates are neighbours.
    Shares<T, 4 * GRID_UNITS, P / GRID_UNITS / 32> shares;
    shares.load([&](unsigned n, unsigned k) {
        unsigned to = blockIdx.x * GRID_UNITS + n / 4, from = slice + k * 32 + lane;
        return to < units && from < units ? w_hh[(n % 4 * units + to) * units + from] : T(0);
    });
    T shift[4] = {T(0), T(0), T(0), T(0)};
    if (of_row) {
        #pragma unroll
        for (unsigned k = 0; k < 4; ++k) {
            if (bias) shift[k] = bias[k * units + unit];
            if (second_bias) shift[k] += second_bias[k * units + unit];
        }
        shift[1] += T(forget_bias);
    }
    T c = of_row && cell_before ? cell_before[lane * units + unit] : T(0);
    for (unsigned t = 0; t < steps; ++t) {
        u64 at = u64(t) * rows + lane;
        T z[4] = {T(0), T(0), T(0), T(0)};
        if (of_row) {
            #pragma unroll
            for (unsigned k = 0; k < 4; ++k) z[k] = shift[k] + gates[(at * 4 + k) * units + unit];
        }
        const T* before = hidden_before;
        if (t) {
            hear_grid(told, t * gridDim.x);
            before = hidden + (u64(t) - 1) * rows * units;
        }
        if (before) {
            shares.multiply(parts, before + slice, units, rows, below(units, slice));
            if (of_row) {
                #pragma unroll
                for (unsigned k = 0; k < 4; ++k) z[k] += of_all_warps<T, 4 * GRID_UNITS>(parts, lane, warp * 4 + k);
            }
        }
        if (of_row) {
            T i = sigmoid(z[0]), f = sigmoid(z[1]), g = tangent(z[2]), o = sigmoid(z[3]);
            c = i * g + f * c;
            hidden[at * units + unit] = o * tangent(c);
            cell[at * units + unit] = c;
            if (keep) {
                gates[at * 4 * units + unit] = i;
                gates[(at * 4 + 1) * units + unit] = f;
                gates[(at * 4 + 2) * units + unit] = g;
                gates[(at * 4 + 3) * units + unit] = o;
            }
        }
        if (t + 1 < steps) tell_grid(told);
    }
}

#define GRID_FORWARD(T, type, P)                                                                            \
    KERNEL_ON_GRID(32 * GRID_UNITS, grid_##type##_##P, const T* w_hh, const T* bias, const T* second_bias,  \
                   double forget_bias, T* gates, const T* hidden_before, const T* cell_before, T* cell,     \
                   T* hidden, unsigned steps, unsigned rows, unsigned units, unsigned keep,                 \
                   unsigned* told) {                                                                        \
        grid_forward<T, P>(w_hh, bias, second_bias, forget_bias, gates, hidden_before, cell_before, cell,   \
                           hidden, steps, rows, units, keep, told);                                         \
    }
GRID_FORWARD(float, f32, 512)
GRID_FORWARD(float, f32, 768)
GRID_FORWARD(float, f32, 1024)
GRID_FORWARD(double, f64, 512)

// As `sequence_backward`, for the same rows.
template <class T, unsigned P>
DEVICE void grid_backward(const T* w_hh, T* gates, const T* cell, const T* cell_before, const T* d_out,
                          const T* d_hidden_last, const T* d_cell_last, T* d_hidden_before, T* d_cell_before,
                          unsigned steps, unsigned rows, unsigned units, unsigned* told) {
    SHARED(T, parts);
    unsigned lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    unsigned unit = blockIdx.x * GRID_UNITS + warp;
    bool of_row = unit < units && lane < rows;
    // A warp's eighth is half of a gate's gradients.
    unsigned gate = warp / 2, slice = warp % 2 * (P / 2);
    Shares<T, GRID_UNITS, P / 2 / 32> shares;
    shares.load([&](unsigned n, unsigned k) {
        unsigned to = blockIdx.x * GRID_UNITS + n, from = slice + k * 32 + lane;
        return to < units && from < units ? w_hh[(gate * units + from) * units + to] : T(0);
    });
    u64 own = lane * units + unit;
    T d_cell = of_row && d_cell_last ? d_cell_last[own] : T(0);
    T d_hidden = of_row && d_hidden_last ? d_hidden_last[own] : T(0);
    Taken<T> step = {};
    if (of_row) step = taken(gates, cell, cell_before, d_out, u64(steps) - 1, lane, rows, units, unit);
    for (unsigned n = 0; n < steps; ++n) {
        unsigned t = steps - 1 - n;
        T* here = gates + u64(t) * rows * 4 * units;
        if (of_row) {
            T i = step.gates[0], f = step.gates[1], g = step.gates[2], o = step.gates[3];
            T d = step.d_hidden + d_hidden;
            T squashed = tangent(step.cell);
            d_cell += d * o * (T(1) - squashed * squashed);
            T* of_gates = here + lane * 4 * units + unit;
            of_gates[0] = d_cell * g * i * (T(1) - i);
            of_gates[units] = d_cell * step.before * f * (T(1) - f);
            of_gates[2 * units] = d_cell * i * (T(1) - g * g);
            of_gates[3 * units] = d * squashed * o * (T(1) - o);
            d_cell *= f;
            if (t) step = taken(gates, cell, cell_before, d_out, u64(t) - 1, lane, rows, units, unit);
        }
        // Nobody asks for the gradient of a state before the first step that is not there.
        if (t == 0 && !d_hidden_before) break;
        tell_grid(told);
        hear_grid(told, (n + 1) * gridDim.x);
        shares.multiply(parts, here + gate * units + slice, u64(4) * units, rows, below(units, slice));
        if (of_row) d_hidden = of_all_warps<T, GRID_UNITS>(parts, lane, warp);
    }
    if (of_row && d_hidden_before) d_hidden_before[own] = d_hidden;
    if (of_row && d_cell_before) d_cell_before[own] = d_cell;
}

#define GRID_BACKWARD(T, type, P)                                                                           \
    KERNEL_ON_GRID(32 * GRID_UNITS, grid_backward_##type##_##P, const T* w_hh, T* gates, const T* cell,     \
                   const T* cell_before, const T* d_out, const T* d_hidden_last, const T* d_cell_last,      \
                   T* d_hidden_before, T* d_cell_before, unsigned steps, unsigned rows, unsigned units,     \
                   unsigned* told) {                                                                        \
        grid_backward<T, P>(w_hh, gates, cell, cell_before, d_out, d_hidden_last, d_cell_last,              \
                            d_hidden_before, d_cell_before, steps, rows, units, told);                      \
    }
GRID_BACKWARD(float, f32, 512)
GRID_BACKWARD(float, f32, 768)
GRID_BACKWARD(float, f32, 1024)
GRID_BACKWARD(double, f64, 512)
