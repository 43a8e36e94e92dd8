// Primitives that move or add whole rows: gather, scatter, sums of columns. All sums in fixed order.
#include "span.cuh"

// Row `r` of `to` becomes row `rows[r]` of `from`; NaN where there is none.
//
// Grid: one thread per element of `to`, in blocks of up to 256. Moves 8 bytes per element in f32.
template <class T>
DEVICE void gather_rows(const T* from, Span from_span, const unsigned* rows, T* to, Span to_span) {
    u64 i = global_index();
    if (i >= to_span.count()) return;
    u64 row = rows[i / to_span.cols];
    T absent = T(0) / T(0);
    to[to_span.nth(i)] = row < from_span.rows ? from[from_span.at(row, i % to_span.cols)] : absent;
}

#define GATHER_ROWS(T, type)                                                                                \
    KERNEL(gather_rows_##type, const T* from, Span from_span, const unsigned* rows, T* to, Span to_span) {  \
        gather_rows(from, from_span, rows, to, to_span);                                                    \
    }
FOR_FLOATS(GATHER_ROWS)

// Adds row `r` of `from` onto row `rows[r]` of `to`, `r` ascending; skips rows that do not exist.
//
// Grid: one thread per column, in blocks of up to 256, so that rows meet in order. Moves 12 bytes per
// element in f32.
template <class T>
DEVICE void scatter_add_rows(const T* from, Span from_span, const unsigned* rows, T* to, Span to_span) {
    u64 col = global_index();
    if (col >= from_span.cols) return;
    for (u64 r = 0; r < from_span.rows; ++r) {
        if (rows[r] < to_span.rows) to[to_span.at(rows[r], col)] += from[from_span.at(r, col)];
    }
}

#define SCATTER_ADD_ROWS(T, type)                                                                           \
    KERNEL(scatter_add_rows_##type, const T* from, Span from_span, const unsigned* rows, T* to, Span to_span) { \
        scatter_add_rows(from, from_span, rows, to, to_span);                                               \
    }
FOR_FLOATS(SCATTER_ADD_ROWS)

// Sums of columns over a part of the rows: row `p` of `y` is set to (or, with `add`, increased by) the sum
// of the `p`th part of `x`, and so is that of `twin` if it is there.
//
// Grid: (columns / 32, parts) blocks of 32 columns by 8 threads that share a column's rows; shared memory
// of one element per thread. Reads `x` once. Sums of many rows are made in two stages: parts, then theirs.
template <class T>
DEVICE void sum_rows(const T* x, Span x_span, u64 rows_of_part, T* y, T* twin, Span y_span, unsigned add) {
    SHARED(T, sums);
    u64 col = u64(blockIdx.x) * blockDim.x + threadIdx.x;
    u64 first = blockIdx.y * rows_of_part, end = first + rows_of_part;
    if (end > x_span.rows) end = x_span.rows;
    T sum = 0;
    if (col < x_span.cols) {
        for (u64 row = first + threadIdx.y; row < end; row += blockDim.y) sum += x[x_span.at(row, col)];
    }
    sums[threadIdx.y * blockDim.x + threadIdx.x] = sum;
    sync_threads();
    if (threadIdx.y > 0 || col >= x_span.cols) return;
    for (unsigned other = 1; other < blockDim.y; ++other) sum += sums[other * blockDim.x + threadIdx.x];
    u64 at = y_span.at(blockIdx.y, col);
    y[at] = add ? y[at] + sum : sum;
    if (twin) twin[at] = add ? twin[at] + sum : sum;
}

#define SUM_ROWS(T, type)                                                                                   \
    KERNEL(sum_rows_##type, const T* x, Span x_span, u64 rows_of_part, T* y, T* twin, Span y_span,          \
           unsigned add) {                                                                                  \
        sum_rows(x, x_span, rows_of_part, y, twin, y_span, add);                                            \
    }
FOR_FLOATS(SUM_ROWS)
