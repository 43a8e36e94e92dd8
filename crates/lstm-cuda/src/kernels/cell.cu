// The pointwise half of an LSTM step, forward and backward. Equations: `lstm_tensor::reference`.
//
// Grid: (units / block, rows) blocks of up to 256 threads, one thread per unit of a row; more rows than a
// grid may have are walked over. Gates stand as `[B, 4H]` in the order i f g o.
#include "device.cuh"

// Turns pre-activations into gates in place; sets the cell and the hidden state. Biases and `before` may be
// absent: then they are zero.
//
// Moves 4 + 4 (gates) + 1 + 1 + 1 (states) elements per unit and row, and the biases.
template <class T>
DEVICE void cell_forward(T* gates, const T* bias, const T* second_bias, double forget_bias, const T* before,
                         T* cell, T* hidden, unsigned rows, unsigned units) {
    unsigned unit = blockIdx.x * blockDim.x + threadIdx.x;
    if (unit >= units) return;
    T shift[4];
    for (unsigned k = 0; k < 4; ++k) {
        shift[k] = bias ? bias[k * units + unit] : T(0);
        if (second_bias) shift[k] += second_bias[k * units + unit];
    }
    shift[1] += T(forget_bias);
    for (u64 row = blockIdx.y; row < rows; row += gridDim.y) {
        T* z = gates + row * 4 * units + unit;
        T i = sigmoid(z[0] + shift[0]);
        T f = sigmoid(z[units] + shift[1]);
        T g = tangent(z[2 * units] + shift[2]);
        T o = sigmoid(z[3 * units] + shift[3]);
        u64 at = row * units + unit;
        T c = i * g;
        if (before) c += f * before[at];
        z[0] = i;
        z[units] = f;
        z[2 * units] = g;
        z[3 * units] = o;
        cell[at] = c;
        hidden[at] = o * tangent(c);
    }
}

#define CELL_FORWARD(T, type)                                                                               \
    KERNEL(cell_forward_##type, T* gates, const T* bias, const T* second_bias, double forget_bias,          \
           const T* before, T* cell, T* hidden, unsigned rows, unsigned units) {                            \
        cell_forward(gates, bias, second_bias, forget_bias, before, cell, hidden, rows, units);             \
    }
FOR_FLOATS(CELL_FORWARD)

// Turns gates into the gradients of their pre-activations in place; sets the gradient of the cell state
// before the step. `d_hidden` and `d_hidden_too` add up to the gradient of the hidden state, `d_cell` is
// that of the cell state from the step after; each but the first may be absent, and so may `before`.
// `d_cell` may be `d_before`.
//
// Moves 4 + 4 (gates) + up to 6 (states) elements per unit and row.
template <class T>
DEVICE void cell_backward(T* gates, const T* d_hidden, const T* d_hidden_too, const T* cell, const T* before,
                          const T* d_cell, T* d_before, unsigned rows, unsigned units) {
    unsigned unit = blockIdx.x * blockDim.x + threadIdx.x;
    if (unit >= units) return;
    for (u64 row = blockIdx.y; row < rows; row += gridDim.y) {
        T* z = gates + row * 4 * units + unit;
        T i = z[0], f = z[units], g = z[2 * units], o = z[3 * units];
        u64 at = row * units + unit;
        T dh = d_hidden[at];
        if (d_hidden_too) dh += d_hidden_too[at];
        T squashed = tangent(cell[at]);
        T dc = dh * o * (T(1) - squashed * squashed);
        if (d_cell) dc += d_cell[at];
        T c = before ? before[at] : T(0);
        z[0] = dc * g * i * (T(1) - i);
        z[units] = dc * c * f * (T(1) - f);
        z[2 * units] = dc * i * (T(1) - g * g);
        z[3 * units] = dh * squashed * o * (T(1) - o);
        d_before[at] = dc * f;
    }
}

#define CELL_BACKWARD(T, type)                                                                              \
    KERNEL(cell_backward_##type, T* gates, const T* d_hidden, const T* d_hidden_too, const T* cell,         \
           const T* before, const T* d_cell, T* d_before, unsigned rows, unsigned units) {                  \
        cell_backward(gates, d_hidden, d_hidden_too, cell, before, d_cell, d_before, rows, units);          \
    }
FOR_FLOATS(CELL_BACKWARD)
