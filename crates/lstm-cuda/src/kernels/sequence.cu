// A layer's whole sequence in one launch, its recurrent weights on the chip. Equations: `lstm_tensor::reference`.
//
// Grid: one block a row of the batch; rows have nothing to say to each other. Block: 4 P threads for a layer of up to P
// units. Thread 4 u + k belongs to gate k (i f g o) of unit u, so that the four lanes that make a cell are neighbours and
// meet by shuffles. Forward it holds row k H + u of the recurrent weights, backward rows k H to k H + H of their column u.
// What all threads need of a step stands twice in shared memory, so that one barrier a step is enough: who writes a step
// cannot meet who still reads the one before it. Units from H on are zeros that stay zeros.
#include "sequence.cuh"

// Inputs that are multiplied here at most; of more the library has made the product.
#define SEQUENCE_INPUTS 16

// The value of lane `k` of the four that make a cell.
template <class T> DEVICE T of_gate(T value, unsigned k) {
    return shuffle_from(0xFFFFFFFFu, value, (threadIdx.x & 28u) + k);
}

// `inside`: `input [T, B, I]`, I <= 16, is multiplied here; else `gates [T, B, 4H]` holds its product. `gates` receives the
// activated gates where `keep` is not 0; `cell` and `hidden` receive `[T, B, H]`. Biases and the state before, `[B, H]`, may
// be absent.
//
// A step multiplies 4 H (H + I) pairs a row, and moves 4 H (or I) + 2 H elements, 4 H more where gates are kept.
template <class T, unsigned P, unsigned HELD, bool inside>
DEVICE void sequence_forward(const T* w_ih, const T* w_hh, const T* bias, const T* second_bias, double forget_bias,
                             const T* input, T* gates, const T* hidden_before, const T* cell_before, T* cell, T* hidden,
                             unsigned steps, unsigned rows, unsigned units, unsigned inputs, unsigned keep) {
    SHARED(T, shared);
    T* read = shared + 2 * P;
    unsigned unit = threadIdx.x / 4, gate = threadIdx.x % 4, own = threadIdx.x;
    bool real = unit < units;
    u64 row = blockIdx.x, line = u64(gate) * units + unit;
    T of_input[inside ? SEQUENCE_INPUTS : 1];
    Weights<T, 4 * P, P, HELD> weights;
    weights.load(read + 2 * SEQUENCE_INPUTS,
                 [&](unsigned k) { return real && k < units ? w_hh[line * units + k] : T(0); });
    T shift = T(0);
    if (real) {
        if (bias) shift = bias[line];
        if (second_bias) shift += second_bias[line];
        if (gate == 1) shift += T(forget_bias);
    }
    // What is read a step ahead: a value of the input, or of its product.
    T ahead = T(0);
    if (inside) {
        #pragma unroll
        for (unsigned n = 0; n < SEQUENCE_INPUTS; ++n) of_input[n] = real && n < inputs ? w_ih[line * inputs + n] : T(0);
        if (own < SEQUENCE_INPUTS) read[own] = own < inputs ? input[row * inputs + own] : T(0);
    } else if (real) {
        ahead = gates[row * 4 * units + line];
    }
    T c = real && cell_before ? cell_before[row * units + unit] : T(0);
    if (gate == 0) shared[unit] = real && hidden_before ? hidden_before[row * units + unit] : T(0);
    sync_threads();
    for (unsigned t = 0; t < steps; ++t) {
        u64 at = u64(t) * rows + row;
        unsigned now = t % 2, next = 1 - now;
        T z = inside ? shift : shift + ahead;
        if (t + 1 < steps) {
            if (inside) {
                ahead = own < inputs ? input[(at + rows) * inputs + own] : T(0);
            } else if (real) {
                ahead = gates[(at + rows) * 4 * units + line];
            }
        }
        if (inside) {
            T sums[4] = {T(0), T(0), T(0), T(0)};
            add_weighted<T, SEQUENCE_INPUTS>(sums, of_input, read + now * SEQUENCE_INPUTS);
            z += sum_of(sums);
        }
        z += weights.times(shared + now * P);
        T activated = gate == 2 ? tangent(z) : sigmoid(z);
        T i = of_gate(activated, 0), f = of_gate(activated, 1), g = of_gate(activated, 2), o = of_gate(activated, 3);
        c = i * g + f * c;
        T h = o * tangent(c);
        if (gate == 0) shared[next * P + unit] = h;
        if (inside && own < SEQUENCE_INPUTS) read[next * SEQUENCE_INPUTS + own] = ahead;
        if (real) {
            if (keep) gates[at * 4 * units + line] = activated;
            if (gate == 0) hidden[at * units + unit] = h;
            if (gate == 1) cell[at * units + unit] = c;
        }
        sync_threads();
    }
}

#define SEQUENCE_FORWARD(T, type, P, HELD, name, inside)                                                    \
    KERNEL_OF(4 * P, name##_##type##_##P, const T* w_ih, const T* w_hh, const T* bias,                      \
              const T* second_bias, double forget_bias, const T* input, T* gates, const T* hidden_before,   \
              const T* cell_before, T* cell, T* hidden, unsigned steps, unsigned rows, unsigned units,      \
              unsigned inputs, unsigned keep) {                                                             \
        sequence_forward<T, P, HELD, inside>(w_ih, w_hh, bias, second_bias, forget_bias, input, gates,      \
                                       hidden_before, cell_before, cell, hidden, steps, rows, units,        \
                                       inputs, keep);                                                       \
    }
SEQUENCE_FORWARD(float, f32, 32, 32, sequence_inside, true)
SEQUENCE_FORWARD(float, f32, 64, 64, sequence_inside, true)
SEQUENCE_FORWARD(float, f32, 128, 56, sequence_inside, true)
SEQUENCE_FORWARD(double, f64, 32, 32, sequence_inside, true)
SEQUENCE_FORWARD(double, f64, 64, 24, sequence_inside, true)
SEQUENCE_FORWARD(float, f32, 32, 32, sequence, false)
SEQUENCE_FORWARD(float, f32, 64, 64, sequence, false)
SEQUENCE_FORWARD(float, f32, 128, 56, sequence, false)
SEQUENCE_FORWARD(double, f64, 32, 32, sequence, false)
SEQUENCE_FORWARD(double, f64, 64, 24, sequence, false)

// Turns `gates [T, B, 4H]` into the gradients of their pre-activations in place, from the last step to the first; `d_out
// [T, B, H]` are those of the outputs. `cell_before`, the gradients of the last state and those that are wanted of the first
// one, `[B, H]` each, may be absent.
//
// A step multiplies 4 H H pairs a row, and moves 10 H elements.
template <class T, unsigned P, unsigned HELD>
DEVICE void sequence_backward(const T* w_hh, T* gates, const T* cell, const T* cell_before, const T* d_out,
                              const T* d_hidden_last, const T* d_cell_last, T* d_hidden_before, T* d_cell_before,
                              unsigned steps, unsigned rows, unsigned units) {
    SHARED(T, shared);
    // Between the gates' stretches lie 8 values, so that the lanes of a cell read from different banks.
    const unsigned stretch = P + 8;
    unsigned unit = threadIdx.x / 4, gate = threadIdx.x % 4;
    bool real = unit < units;
    u64 first = u64(blockIdx.x) * units + unit;
    Weights<T, 4 * P, P, HELD> weights;
    weights.load(shared + 8 * stretch, [&](unsigned k) {
        return real && k < units ? w_hh[(u64(gate) * units + k) * units + unit] : T(0);
    });
    T d_cell = real && d_cell_last ? d_cell_last[first] : T(0);
    T d_hidden = real && d_hidden_last ? d_hidden_last[first] : T(0);
    Taken<T> step = {};
    if (real) step = taken(gates, cell, cell_before, d_out, u64(steps) - 1, blockIdx.x, rows, units, unit);
    // The gates of a step are written only after all four lanes of a cell have read them.
    sync_threads();
    for (unsigned t = steps; t-- > 0;) {
        Taken<T> earlier = {};
        if (real && t) earlier = taken(gates, cell, cell_before, d_out, u64(t) - 1, blockIdx.x, rows, units, unit);
        T i = step.gates[0], f = step.gates[1], g = step.gates[2], o = step.gates[3];
        T d = step.d_hidden + d_hidden;
        T squashed = tangent(step.cell);
        d_cell += d * o * (T(1) - squashed * squashed);
        T dz = gate == 0   ? d_cell * g * i * (T(1) - i)
               : gate == 1 ? d_cell * step.before * f * (T(1) - f)
               : gate == 2 ? d_cell * i * (T(1) - g * g)
                           : d * squashed * o * (T(1) - o);
        d_cell *= f;
        T* told = shared + t % 2 * 4 * stretch;
        told[gate * stretch + unit] = dz;
        if (real) gates[((u64(t) * rows + blockIdx.x) * 4 + gate) * units + unit] = dz;
        sync_threads();
        T part = weights.times(told + gate * stretch);
        d_hidden = (of_gate(part, 0) + of_gate(part, 1)) + (of_gate(part, 2) + of_gate(part, 3));
        step = earlier;
    }
    if (real && gate == 0 && d_hidden_before) d_hidden_before[first] = d_hidden;
    if (real && gate == 1 && d_cell_before) d_cell_before[first] = d_cell;
}

#define SEQUENCE_BACKWARD(T, type, P, HELD)                                                                 \
    KERNEL_OF(4 * P, sequence_backward_##type##_##P, const T* w_hh, T* gates, const T* cell,                \
              const T* cell_before, const T* d_out, const T* d_hidden_last, const T* d_cell_last,           \
              T* d_hidden_before, T* d_cell_before, unsigned steps, unsigned rows, unsigned units) {        \
        sequence_backward<T, P, HELD>(w_hh, gates, cell, cell_before, d_out, d_hidden_last, d_cell_last,    \
                                d_hidden_before, d_cell_before, steps, rows, units);                        \
    }
SEQUENCE_BACKWARD(float, f32, 32, 32)
SEQUENCE_BACKWARD(float, f32, 64, 64)
SEQUENCE_BACKWARD(float, f32, 128, 56)
SEQUENCE_BACKWARD(double, f64, 32, 32)
SEQUENCE_BACKWARD(double, f64, 64, 24)
