// Reductions to one number in f64, in fixed order and two stages: a sum per block, then the sum of these.
#include "block_sum.cuh"
#include "span.cuh"

// `parts[block]` becomes the sum (of squares, with `square`) of the elements that fall to a block.
//
// Grid: up to 128 blocks of up to 256 threads, each of which walks over the rectangle in steps of all
// threads; shared memory of one f64 per warp. Reads `x` once.
template <class T> DEVICE void reduce(unsigned square, const T* x, Span span, double* parts) {
    SHARED(double, warps);
    double sum = 0;
    for (u64 i = global_index(); i < span.count(); i += global_count()) {
        double value = x[span.nth(i)];
        sum += square ? value * value : value;
    }
    sum = block_sum(sum, warps);
    if (threadIdx.x == 0) parts[blockIdx.x] = sum;
}

#define REDUCE(T, type)                                                                                     \
    KERNEL(reduce_##type, unsigned square, const T* x, Span span, double* parts) { reduce(square, x, span, parts); }
FOR_FLOATS(REDUCE)

// Adds the sum of `count` parts onto `out[0]`.
//
// Grid: one block of 32 threads; shared memory of one f64.
KERNEL(reduce_parts, const double* parts, unsigned count, double* out) {
    SHARED(double, warps);
    double sum = sum_of_parts(parts, count, warps);
    if (threadIdx.x == 0) *out += sum;
}
