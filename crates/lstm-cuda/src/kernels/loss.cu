// Losses: value and gradient in one pass. Formulas: `lstm_tensor::reference::loss`.
#include "block_sum.cuh"
#include "span.cuh"

// Value and slope of the loss of one element with error `e`. The numbers are those of `code` in loss.rs.
template <class T> DEVICE T loss_of(unsigned kind, T delta, T e, T target, T* slope) {
    switch (kind) {
    case 0: *slope = T(2) * e; return e * e;
    case 1: *slope = e; return T(0.5) * (e * e);
    case 2: *slope = sign(e); return magnitude(e);
    case 3: {
        T k = clamp(e, -delta, delta);
        *slope = k;
        return T(0.5) * (k * k) + delta * (magnitude(e) - magnitude(k));
    }
    default: *slope = sign(e) / target; return magnitude(e) / target;
    }
}

// Sets the gradient; `parts[block]` becomes the sum of values that falls to a block. Row weights may be
// absent: then they are 1.
//
// Grid: up to 128 blocks of up to 256 threads, each of which walks over the elements in steps of all
// threads; shared memory of one f64 per warp. Moves 12 bytes per element in f32.
template <class T>
DEVICE void loss(unsigned kind, double delta, double scale, const T* prediction, Span prediction_span,
                 const T* target, Span target_span, const T* weights, Span weights_span, T* gradient,
                 Span gradient_span, double* parts) {
    SHARED(double, warps);
    double sum = 0;
    for (u64 i = global_index(); i < gradient_span.count(); i += global_count()) {
        T wanted = target[target_span.nth(i)], slope;
        T e = prediction[prediction_span.nth(i)] - wanted;
        T value = loss_of(kind, T(delta), e, wanted, &slope);
        T weight = T(scale);
        if (weights) weight *= weights[weights_span.at(0, i / gradient_span.cols)];
        gradient[gradient_span.nth(i)] = slope * weight;
        sum += double(value * weight);
    }
    sum = block_sum(sum, warps);
    if (threadIdx.x == 0) parts[blockIdx.x] = sum;
}

#define LOSS(T, type)                                                                                       \
    KERNEL(loss_##type, unsigned kind, double delta, double scale, const T* prediction,                     \
           Span prediction_span, const T* target, Span target_span, const T* weights, Span weights_span,    \
           T* gradient, Span gradient_span, double* parts) {                                                \
        loss(kind, delta, scale, prediction, prediction_span, target, target_span, weights, weights_span,   \
             gradient, gradient_span, parts);                                                               \
    }
FOR_FLOATS(LOSS)
