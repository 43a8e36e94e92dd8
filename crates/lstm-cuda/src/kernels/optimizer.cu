// Clipping and update rules over a flat arena; their scalars stay on the device.
// Formulas: `lstm_tensor::reference::update`.
#include "block_sum.cuh"

// Slots of `Control::values`, as `lstm_tensor::control_slot` numbers them.
enum { RATE, STEP, SQUARE_NORM, CLIP_SCALE, LOSS };

// Whether it is a number, and not an infinite one.
template <class T> DEVICE bool is_number(T x) { return x - x == T(0); }

// Clips every finite gradient to ±`limit`; `parts[block]` becomes the sum of squares that falls to a block.
//
// Grid: up to 128 blocks of up to 256 threads, each of which walks over the arena in steps of all threads;
// shared memory of one f64 per warp. Reads (and with a limit writes) the gradients once.
template <class T> DEVICE void clip(T* gradients, u64 count, unsigned limited, double limit, double* parts) {
    SHARED(double, warps);
    double sum = 0;
    for (u64 i = global_index(); i < count; i += global_count()) {
        T g = gradients[i];
        if (limited) {
            g = is_number(g) ? clamp(g, T(-limit), T(limit)) : g;
            gradients[i] = g;
        }
        sum += double(g) * double(g);
    }
    sum = block_sum(sum, warps);
    if (threadIdx.x == 0) parts[blockIdx.x] = sum;
}

#define CLIP(T, type)                                                                                       \
    KERNEL(clip_##type, T* gradients, u64 count, unsigned limited, double limit, double* parts) {           \
        clip(gradients, count, limited, limit, parts);                                                      \
    }
FOR_FLOATS(CLIP)

// Sets the square norm and the scale that brings the norm down to `max_norm` (0: any norm will do), and
// latches the step if the norm or the loss is not finite.
//
// Grid: one block of 32 threads; shared memory of one f64.
KERNEL(clip_scale, const double* parts, unsigned count, double max_norm, double* control, unsigned* bad_step) {
    SHARED(double, warps);
    double square = sum_of_parts(parts, count, warps);
    if (threadIdx.x > 0) return;
    double norm = root(square), scale = max_norm > 0 ? max_norm / (norm + 1e-6) : 1.0;
    control[SQUARE_NORM] = square;
    control[CLIP_SCALE] = scale < 1.0 ? scale : 1.0;
    if (*bad_step == 0 && !(is_number(norm) && is_number(control[LOSS]))) *bad_step = unsigned(control[STEP]);
}

// What all rules share: the arena, its moments, and the scalars of this step.
//
// Grid of every rule: one thread per parameter, in blocks of up to 256; shared memory of two f64. Each reads
// gradient, parameter and moments once and writes parameter and moments once: 12 bytes plus 8 per moment in
// f32. Nothing happens once a bad step is latched.
template <class T> struct Update {
    T* params;
    const T* gradients;
    u64 count;
    const double* control;
    const unsigned* bad_step;

    // Whether this thread has a parameter to change.
    DEVICE bool active() const { return *bad_step == 0 && global_index() < count; }
    // The gradient after clipping, with the L2 penalty.
    DEVICE T gradient(double penalty) const {
        u64 i = global_index();
        return T(control[CLIP_SCALE]) * gradients[i] + T(penalty) * params[i];
    }
};

template <class T>
DEVICE void sgd(Update<T> update, T* velocities, double momentum, double dampening, unsigned nesterov, double decay) {
    if (!update.active()) return;
    u64 i = global_index();
    T g = update.gradient(decay), m = T(momentum), rate = T(update.control[RATE]);
    if (velocities) {
        T taken = update.control[STEP] <= 1.0 ? T(1) : T(1.0 - dampening);
        T v = m * velocities[i] + taken * g;
        velocities[i] = v;
        g = nesterov ? g + m * v : v;
    }
    update.params[i] -= rate * g;
}

#define SGD(T, type)                                                                                        \
    KERNEL(sgd_##type, Update<T> update, T* velocities, double momentum, double dampening,                  \
           unsigned nesterov, double decay) {                                                               \
        sgd(update, velocities, momentum, dampening, nesterov, decay);                                      \
    }
FOR_FLOATS(SGD)

template <class T>
DEVICE void adagrad(Update<T> update, T* squares, double rate_decay, double epsilon, double decay) {
    if (!update.active()) return;
    u64 i = global_index();
    T g = update.gradient(decay);
    T rate = T(update.control[RATE] / (1.0 + (update.control[STEP] - 1.0) * rate_decay));
    T s = squares[i] + g * g;
    squares[i] = s;
    update.params[i] -= rate * (g / (root(s) + T(epsilon)));
}

#define ADAGRAD(T, type)                                                                                    \
    KERNEL(adagrad_##type, Update<T> update, T* squares, double rate_decay, double epsilon, double decay) { \
        adagrad(update, squares, rate_decay, epsilon, decay);                                               \
    }
FOR_FLOATS(ADAGRAD)

// Velocities are there with momentum, means if centered.
template <class T>
DEVICE void rms_prop(Update<T> update, T* squares, T* velocities, T* means, double alpha, double epsilon,
                     double momentum, double decay) {
    if (!update.active()) return;
    u64 i = global_index();
    T g = update.gradient(decay), a = T(alpha), rest = T(1.0 - alpha), rate = T(update.control[RATE]);
    T s = a * squares[i] + rest * (g * g), variance = s;
    squares[i] = s;
    if (means) {
        T mean = a * means[i] + rest * g;
        means[i] = mean;
        variance -= mean * mean;
    }
    T step = g / (root(variance) + T(epsilon));
    if (velocities) {
        step += T(momentum) * velocities[i];
        velocities[i] = step;
    }
    update.params[i] -= rate * step;
}

#define RMS_PROP(T, type)                                                                                   \
    KERNEL(rms_prop_##type, Update<T> update, T* squares, T* velocities, T* means, double alpha,            \
           double epsilon, double momentum, double decay) {                                                 \
        rms_prop(update, squares, velocities, means, alpha, epsilon, momentum, decay);                      \
    }
FOR_FLOATS(RMS_PROP)

// `decoupled` decays the parameter itself (AdamW); `tf_epsilon` adds epsilon before the correction.
template <class T>
DEVICE void adam(Update<T> update, T* firsts, T* seconds, double beta1, double beta2, double epsilon,
                 double decay, unsigned decoupled, unsigned tf_epsilon) {
    // Two powers in f64 are costly: one thread of a block takes them for all.
    SHARED(double, corrections);
    if (threadIdx.x == 0) {
        corrections[0] = 1.0 - power(beta1, update.control[STEP]);
        corrections[1] = 1.0 - power(beta2, update.control[STEP]);
    }
    sync_threads();
    if (!update.active()) return;
    u64 i = global_index();
    double rate = update.control[RATE], one = corrections[0], two = corrections[1];
    T g = update.gradient(decoupled ? 0.0 : decay);
    T m = T(beta1) * firsts[i] + T(1.0 - beta1) * g;
    T s = T(beta2) * seconds[i] + T(1.0 - beta2) * (g * g);
    firsts[i] = m;
    seconds[i] = s;
    T correction = T(tf_epsilon ? 1.0 : 1.0 / two), size = T(tf_epsilon ? rate * root(two) / one : rate / one);
    T kept = T(decoupled ? 1.0 - rate * decay : 1.0);
    update.params[i] = kept * update.params[i] - size * (m / (root(correction * s) + T(epsilon)));
}

#define ADAM(T, type)                                                                                       \
    KERNEL(adam_##type, Update<T> update, T* firsts, T* seconds, double beta1, double beta2,                \
           double epsilon, double decay, unsigned decoupled, unsigned tf_epsilon) {                         \
        adam(update, firsts, seconds, beta1, beta2, epsilon, decay, decoupled, tf_epsilon);                 \
    }
FOR_FLOATS(ADAM)
