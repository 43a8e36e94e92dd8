// A layer's whole sequence in one launch, its recurrent weights spread over all blocks of the grid, which run at the same
// time. Equations: `lstm_tensor::reference`.
//
// Grid: a block for every 8 units, a warp for each, so that layers need no more blocks than they have units for. A thread
// holds P / 8 weights, all in registers: forward those of a gate's row that meet a stretch of the hidden state, backward those
// of the unit's column that meet a stretch of one gate's gradients. Up to 32 rows of the batch go together: their sums are made
// one after another by all lanes, their cells at once, each row's by a lane of its own.
//
// What blocks find out in a step they write where it belongs anyway, and count up a number of global memory; all wait until
// everybody has counted. Nothing is overwritten that somebody may still read, since each step has a place of its own.
#include "sequence.cuh"

#define GRID_UNITS 8u
// Rows whose hidden state, or whose gates' gradients, lie in shared memory at the same time.
#define ROWS_FORWARD 8u
#define ROWS_BACKWARD 4u

// The sum over `LANES` neighbours in the first of them.
template <class T, unsigned LANES> DEVICE T sum_to_first(T value) {
    #pragma unroll
    for (unsigned by = LANES / 2; by > 0; by /= 2) value += shuffle_down(0xFFFFFFFFu, value, by);
    return value;
}

// Shared memory of so many rows of `STRETCHES` stretches each; behind a stretch lie 4 values, so that lanes which read
// different ones meet in no bank. `of(row, j)` is value j of a row.
template <class T, unsigned STRETCHES, unsigned LENGTH, class Of> DEVICE void receive_rows(T* received, unsigned rows, Of of) {
    // Everybody has read the rows before.
    sync_threads();
    for (unsigned j = threadIdx.x; j < rows * STRETCHES * LENGTH; j += blockDim.x) {
        unsigned row = j / (STRETCHES * LENGTH), at = j % (STRETCHES * LENGTH);
        received[(row * STRETCHES + at / LENGTH) * (LENGTH + 4) + at % LENGTH] = of(row, at);
    }
    sync_threads();
}

// As `sequence_forward`, for `rows` rows, at most 32, of a batch of so many; `told` is 0.
template <class T, unsigned P>
DEVICE void grid_forward(const T* w_hh, const T* bias, const T* second_bias, double forget_bias, T* gates,
                         const T* hidden_before, const T* cell_before, T* cell, T* hidden, unsigned* told,
                         unsigned steps, unsigned batch, unsigned first, unsigned rows, unsigned units, unsigned keep) {
    const unsigned LENGTH = P / 8;
    SHARED(T, received);
    unsigned lane = threadIdx.x % 32, gate = lane / 8, stretch = lane % 8;
    unsigned unit = blockIdx.x * GRID_UNITS + threadIdx.x / 32;
    bool real = unit < units, of_row = real && lane < rows;
    Weights<T, 32 * GRID_UNITS, LENGTH, LENGTH> weights;
    weights.load(received, [&](unsigned k) {
        unsigned from = stretch * LENGTH + k;
        return real && from < units ? w_hh[(u64(gate) * units + unit) * units + from] : T(0);
    });
    T shift[4] = {T(0), T(0), T(0), T(0)};
    if (real) {
        #pragma unroll
        for (unsigned k = 0; k < 4; ++k) {
            if (bias) shift[k] = bias[k * units + unit];
            if (second_bias) shift[k] += second_bias[k * units + unit];
        }
        shift[1] += T(forget_bias);
    }
    u64 row = first + lane;
    T c = of_row && cell_before ? cell_before[row * units + unit] : T(0);
    for (unsigned t = 0; t < steps; ++t) {
        u64 at = u64(t) * batch + row;
        T z[4] = {T(0), T(0), T(0), T(0)};
        if (of_row) {
            #pragma unroll
            for (unsigned k = 0; k < 4; ++k) z[k] = gates[(at * 4 + k) * units + unit];
        }
        const T* before = hidden_before;
        if (t) {
            hear_grid(told, t * gridDim.x);
            before = hidden + (u64(t) - 1) * batch * units;
        }
        for (unsigned from = 0; before && from < rows; from += ROWS_FORWARD) {
            unsigned count = rows - from < ROWS_FORWARD ? rows - from : ROWS_FORWARD;
            receive_rows<T, 8, LENGTH>(received, count, [&](unsigned n, unsigned j) {
                return j < units ? before[u64(first + from + n) * units + j] : T(0);
            });
            for (unsigned n = 0; n < count; ++n) {
                T sum = sum_to_first<T, 8>(weights.times(received + (n * 8 + stretch) * (LENGTH + 4)));
                #pragma unroll
                for (unsigned k = 0; k < 4; ++k) {
                    T of_gate = shuffle_from(0xFFFFFFFFu, sum, 8 * k);
                    if (lane == from + n) z[k] += of_gate;
                }
            }
        }
        T i = sigmoid(z[0] + shift[0]), f = sigmoid(z[1] + shift[1]), g = tangent(z[2] + shift[2]), o = sigmoid(z[3] + shift[3]);
        c = i * g + f * c;
        if (of_row) {
            hidden[at * units + unit] = o * tangent(c);
            cell[at * units + unit] = c;
        }
        if (of_row && keep) {
            gates[at * 4 * units + unit] = i;
            gates[(at * 4 + 1) * units + unit] = f;
            gates[(at * 4 + 2) * units + unit] = g;
            gates[(at * 4 + 3) * units + unit] = o;
        }
        if (t + 1 < steps) tell_grid(told);
    }
}

#define GRID_FORWARD(T, type, P)                                                                            \
    KERNEL_ON_GRID(32 * GRID_UNITS, grid_##type##_##P, const T* w_hh, const T* bias, const T* second_bias,  \
                   double forget_bias, T* gates, const T* hidden_before, const T* cell_before, T* cell,     \
                   T* hidden, unsigned* told, unsigned steps, unsigned batch, unsigned first,               \
                   unsigned rows, unsigned units, unsigned keep) {                                          \
        grid_forward<T, P>(w_hh, bias, second_bias, forget_bias, gates, hidden_before, cell_before, cell,   \
                           hidden, told, steps, batch, first, rows, units, keep);                           \
    }
GRID_FORWARD(float, f32, 512)
GRID_FORWARD(float, f32, 768)
GRID_FORWARD(float, f32, 1024)
GRID_FORWARD(double, f64, 512)

// As `sequence_backward`, for the same rows.
template <class T, unsigned P>
DEVICE void grid_backward(const T* w_hh, T* gates, const T* cell, const T* cell_before, const T* d_out,
                          const T* d_hidden_last, const T* d_cell_last, T* d_hidden_before, T* d_cell_before,
                          unsigned* told, unsigned steps, unsigned batch, unsigned first, unsigned rows,
                          unsigned units) {
    const unsigned LENGTH = P / 8;
    SHARED(T, received);
    unsigned lane = threadIdx.x % 32, gate = lane / 8, stretch = lane % 8;
    unsigned unit = blockIdx.x * GRID_UNITS + threadIdx.x / 32;
    bool real = unit < units, of_row = real && lane < rows;
    Weights<T, 32 * GRID_UNITS, LENGTH, LENGTH> weights;
    weights.load(received, [&](unsigned k) {
        unsigned from = stretch * LENGTH + k;
        return real && from < units ? w_hh[(u64(gate) * units + from) * units + unit] : T(0);
    });
    u64 row = first + lane, own = row * units + unit;
    T d_cell = of_row && d_cell_last ? d_cell_last[own] : T(0);
    T d_hidden = of_row && d_hidden_last ? d_hidden_last[own] : T(0);
    Taken<T> step = {};
    if (of_row) step = taken(gates, cell, cell_before, d_out, u64(steps) - 1, row, batch, units, unit);
    for (unsigned n = 0; n < steps; ++n) {
        unsigned t = steps - 1 - n;
        T* here = gates + u64(t) * batch * 4 * units;
        if (of_row) {
            T i = step.gates[0], f = step.gates[1], g = step.gates[2], o = step.gates[3];
            T d = step.d_hidden + d_hidden;
            T squashed = tangent(step.cell);
            d_cell += d * o * (T(1) - squashed * squashed);
            T* of_gates = here + row * 4 * units + unit;
            of_gates[0] = d_cell * g * i * (T(1) - i);
            of_gates[units] = d_cell * step.before * f * (T(1) - f);
            of_gates[2 * units] = d_cell * i * (T(1) - g * g);
            of_gates[3 * units] = d * squashed * o * (T(1) - o);
            d_cell *= f;
            if (t) step = taken(gates, cell, cell_before, d_out, u64(t) - 1, row, batch, units, unit);
        }
        // Nobody asks for the gradient of a state before the first step that is not there.
        if (t == 0 && !d_hidden_before) break;
        tell_grid(told);
        hear_grid(told, (n + 1) * gridDim.x);
        for (unsigned from = 0; from < rows; from += ROWS_BACKWARD) {
            unsigned count = rows - from < ROWS_BACKWARD ? rows - from : ROWS_BACKWARD;
            receive_rows<T, 32, LENGTH>(received, count, [&](unsigned m, unsigned j) {
                unsigned of_gate = j / P, of_unit = j % P;
                return of_unit < units ? here[(u64(first + from + m) * 4 + of_gate) * units + of_unit] : T(0);
            });
            for (unsigned m = 0; m < count; ++m) {
                T sum = sum_to_first<T, 32>(weights.times(received + (m * 32 + lane) * (LENGTH + 4)));
                T of_unit = shuffle_from(0xFFFFFFFFu, sum, 0);
                if (lane == from + m) d_hidden = of_unit;
            }
        }
    }
    if (of_row && d_hidden_before) d_hidden_before[own] = d_hidden;
    if (of_row && d_cell_before) d_cell_before[own] = d_cell;
}

#define GRID_BACKWARD(T, type, P)                                                                           \
    KERNEL_ON_GRID(32 * GRID_UNITS, grid_backward_##type##_##P, const T* w_hh, T* gates, const T* cell,     \
                   const T* cell_before, const T* d_out, const T* d_hidden_last, const T* d_cell_last,      \
                   T* d_hidden_before, T* d_cell_before, unsigned* told, unsigned steps, unsigned batch,    \
                   unsigned first, unsigned rows, unsigned units) {                                         \
        grid_backward<T, P>(w_hh, gates, cell, cell_before, d_out, d_hidden_last, d_cell_last,              \
                            d_hidden_before, d_cell_before, told, steps, batch, first, rows, units);        \
    }
GRID_BACKWARD(float, f32, 512)
GRID_BACKWARD(float, f32, 768)
GRID_BACKWARD(float, f32, 1024)
GRID_BACKWARD(double, f64, 512)
