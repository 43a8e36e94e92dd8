// A layer's whole sequence in one launch, its recurrent weights spread over a cluster of blocks. Equations:
// `lstm_tensor::reference`.
//
// Grid: one cluster of `BLOCKS` blocks a row of the batch. Each block has P / BLOCKS of the layer's P units, each unit
// `LANES` neighbours, which meet by shuffles. A thread holds `STRETCH` weights: forward those of a gate's row that meet a
// stretch of the hidden state, backward those of a unit's column that meet a stretch of the gradients of all gates, which
// stand unit by unit. What a block finds out in a step it sends to all blocks of the cluster, itself too, while it goes on.
//
// What is received stands twice in shared memory, each with an inbox that counts its bytes. Nobody overwrites what another
// still reads: a block sends the values of step t + 2 after it has received all of step t + 1, and those were sent by threads
// that had read step t. Nor does anybody leave while others send to it, as it waits for all that is sent. Units from H on are
// zeros that stay zeros.
#include "sequence.cuh"

// Weights of a thread.
#define STRETCH 128u
// From one stretch of received values to the next: lanes that read different ones meet in no bank.
#define STRIDE (STRETCH + 4)

// Where received value j lies.
DEVICE unsigned received(unsigned j) { return j / STRETCH * STRIDE + j % STRETCH; }

// The same sum in each of `LANES` neighbours.
template <class T, unsigned LANES> DEVICE T sum_of_lanes(T value) {
    #pragma unroll
    for (unsigned by = 1; by < LANES; by *= 2) value += shuffle_from(0xFFFFFFFFu, value, (threadIdx.x % 32) ^ by);
    return value;
}

// Both inboxes wait for their first round. All threads of the cluster meet here.
DEVICE void open_inboxes(u64* inboxes, unsigned bytes) {
    if (threadIdx.x == 0) {
        open_inbox(&inboxes[0]);
        open_inbox(&inboxes[1]);
        expect_bytes(&inboxes[0], bytes);
        expect_bytes(&inboxes[1], bytes);
    }
    sync_cluster();
}

// Waits for round n of all rounds, of which each inbox has every second.
DEVICE void receive(u64* inboxes, unsigned n, unsigned bytes) {
    await_bytes(&inboxes[n % 2], n / 2 % 2);
    if (threadIdx.x == 0) expect_bytes(&inboxes[n % 2], bytes);
}

// `gates [T, B, 4H]` holds the product of inputs and weights, and receives the activated gates where `keep` is not 0; the
// rest as `sequence_forward`.
template <class T, unsigned P, unsigned BLOCKS, unsigned HELD>
DEVICE void cluster_forward(const T* w_hh, const T* bias, const T* second_bias, double forget_bias, T* gates,
                            const T* hidden_before, const T* cell_before, T* cell, T* hidden, unsigned steps,
                            unsigned rows, unsigned units, unsigned keep) {
    const unsigned stretches = P / STRETCH, LANES = 4 * stretches, state = stretches * STRIDE;
    static_assert(BLOCKS <= LANES && 32 % LANES == 0, "a lane sends to one block");
    SHARED(u64, inboxes);
    T* shared = reinterpret_cast<T*>(inboxes + 2);
    unsigned part = threadIdx.x % LANES, gate = part / stretches, stretch = part % stretches;
    unsigned unit = cluster_rank() * (P / BLOCKS) + threadIdx.x / LANES;
    bool real = unit < units;
    u64 row = blockIdx.x / BLOCKS, line = u64(gate) * units + unit;
    Weights<T, P / BLOCKS * LANES, STRETCH, HELD> weights;
    weights.load(shared + 2 * state, [&](unsigned k) {
        unsigned from = stretch * STRETCH + k;
        return real && from < units ? w_hh[line * units + from] : T(0);
    });
    T shift = T(0);
    if (real) {
        if (bias) shift = bias[line];
        if (second_bias) shift += second_bias[line];
        if (gate == 1) shift += T(forget_bias);
    }
    // What is read a step ahead.
    T ahead = real ? gates[row * 4 * units + line] : T(0);
    T c = real && cell_before ? cell_before[row * units + unit] : T(0);
    for (unsigned j = threadIdx.x; j < P; j += blockDim.x)
        shared[state + received(j)] = j < units && hidden_before ? hidden_before[row * units + j] : T(0);
    const unsigned bytes = P * sizeof(T);
    open_inboxes(inboxes, bytes);
    for (unsigned t = 0; t < steps; ++t) {
        u64 at = u64(t) * rows + row;
        T z = shift + ahead;
        if (real && t + 1 < steps) ahead = gates[(at + rows) * 4 * units + line];
        // Round t is what step t sends; step 0 reads the state before it where that of round -1 would lie.
        if (t) receive(inboxes, t - 1, bytes);
        z += sum_of_lanes<T, stretches>(weights.times(shared + (t + 1) % 2 * state + stretch * STRIDE));
        T activated = gate == 2 ? tangent(z) : sigmoid(z);
        unsigned first = threadIdx.x % 32 - part;
        T i = shuffle_from(0xFFFFFFFFu, activated, first);
        T f = shuffle_from(0xFFFFFFFFu, activated, first + stretches);
        T g = shuffle_from(0xFFFFFFFFu, activated, first + 2 * stretches);
        T o = shuffle_from(0xFFFFFFFFu, activated, first + 3 * stretches);
        c = i * g + f * c;
        T h = o * tangent(c);
        if (part < BLOCKS && t + 1 < steps) send(h, shared + t % 2 * state + received(unit), &inboxes[t % 2], part);
        // All lanes of a unit have read what one of them overwrites.
        sync_warp();
        if (real && stretch == 0) {
            if (keep) gates[at * 4 * units + line] = activated;
            if (gate == 0) hidden[at * units + unit] = h;
            if (gate == 1) cell[at * units + unit] = c;
        }
    }
}

#define CLUSTER_FORWARD(P, BLOCKS, HELD)                                                                    \
    KERNEL_IN_CLUSTER(P / BLOCKS * P / STRETCH * 4, BLOCKS, cluster_f32_##P, const float* w_hh,             \
                      const float* bias, const float* second_bias, double forget_bias, float* gates,        \
                      const float* hidden_before, const float* cell_before, float* cell, float* hidden,     \
                      unsigned steps, unsigned rows, unsigned units, unsigned keep) {                       \
        cluster_forward<float, P, BLOCKS, HELD>(w_hh, bias, second_bias, forget_bias, gates, hidden_before, \
                                                cell_before, cell, hidden, steps, rows, units, keep);       \
    }
CLUSTER_FORWARD(128, 2, 128)
CLUSTER_FORWARD(256, 8, 128)
CLUSTER_FORWARD(512, 16, 56)

// As `sequence_backward`.
template <class T, unsigned P, unsigned BLOCKS, unsigned HELD>
DEVICE void cluster_backward(const T* w_hh, T* gates, const T* cell, const T* cell_before, const T* d_out,
                             const T* d_hidden_last, const T* d_cell_last, T* d_hidden_before, T* d_cell_before,
                             unsigned steps, unsigned rows, unsigned units) {
    const unsigned stretches = P / STRETCH, LANES = 4 * stretches, told = LANES * STRIDE;
    SHARED(u64, inboxes);
    T* shared = reinterpret_cast<T*>(inboxes + 2);
    unsigned part = threadIdx.x % LANES, gate = part / stretches;
    unsigned unit = cluster_rank() * (P / BLOCKS) + threadIdx.x / LANES;
    bool real = unit < units;
    u64 row = blockIdx.x / BLOCKS, first = row * units + unit;
    Weights<T, P / BLOCKS * LANES, STRETCH, HELD> weights;
    // Of a unit the gradients of its four gates are neighbours.
    weights.load(shared + 2 * told, [&](unsigned k) {
        unsigned from = (part * STRETCH + k) / 4;
        return real && from < units ? w_hh[(u64(k % 4) * units + from) * units + unit] : T(0);
    });
    T d_cell = real && d_cell_last ? d_cell_last[first] : T(0);
    T d_hidden = real && d_hidden_last ? d_hidden_last[first] : T(0);
    Taken<T> step = {};
    if (real) step = taken(gates, cell, cell_before, d_out, u64(steps) - 1, row, rows, units, unit);
    const unsigned bytes = 4 * P * sizeof(T);
    open_inboxes(inboxes, bytes);
    for (unsigned n = 0; n < steps; ++n) {
        unsigned t = steps - 1 - n;
        Taken<T> earlier = {};
        if (real && t) earlier = taken(gates, cell, cell_before, d_out, u64(t) - 1, row, rows, units, unit);
        T i = step.gates[0], f = step.gates[1], g = step.gates[2], o = step.gates[3];
        T d = step.d_hidden + d_hidden;
        T squashed = tangent(step.cell);
        d_cell += d * o * (T(1) - squashed * squashed);
        Four<T> dz = {{d_cell * g * i * (T(1) - i), d_cell * step.before * f * (T(1) - f), d_cell * i * (T(1) - g * g),
                       d * squashed * o * (T(1) - o)}};
        T own = gate == 0 ? dz.at[0] : gate == 1 ? dz.at[1] : gate == 2 ? dz.at[2] : dz.at[3];
        d_cell *= f;
        T* here = shared + n % 2 * told;
        if (part < BLOCKS) send(dz, reinterpret_cast<Four<T>*>(here + received(4 * unit)), &inboxes[n % 2], part);
        // All lanes of a unit have read what some of them overwrite.
        sync_warp();
        if (real && part % stretches == 0) gates[((u64(t) * rows + row) * 4 + gate) * units + unit] = own;
        receive(inboxes, n, bytes);
        d_hidden = sum_of_lanes<T, LANES>(weights.times(here + part * STRIDE));
        step = earlier;
    }
    if (real && part == 0 && d_hidden_before) d_hidden_before[first] = d_hidden;
    if (real && part == 1 && d_cell_before) d_cell_before[first] = d_cell;
}

#define CLUSTER_BACKWARD(P, BLOCKS, HELD)                                                                   \
    KERNEL_IN_CLUSTER(P / BLOCKS * P / STRETCH * 4, BLOCKS, cluster_backward_f32_##P, const float* w_hh,    \
                      float* gates, const float* cell, const float* cell_before, const float* d_out,        \
                      const float* d_hidden_last, const float* d_cell_last, float* d_hidden_before,         \
                      float* d_cell_before, unsigned steps, unsigned rows, unsigned units) {                \
        cluster_backward<float, P, BLOCKS, HELD>(w_hh, gates, cell, cell_before, d_out, d_hidden_last,      \
                                                 d_cell_last, d_hidden_before, d_cell_before, steps, rows,  \
                                                 units);                                                    \
    }
CLUSTER_BACKWARD(128, 2, 128)
CLUSTER_BACKWARD(256, 8, 128)
CLUSTER_BACKWARD(512, 16, 56)
