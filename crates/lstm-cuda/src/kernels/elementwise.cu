// Element-wise primitives on rectangles: copy, fill, map, zip, add_row.
//
// Grid: one thread per element of the output, row by row, in blocks of up to 256. Each thread moves its
// element of every operand once: 8 bytes per element for copy and map in f32, 12 for zip and add_row.
#include "span.cuh"

template <class E> DEVICE void copy(const E* from, Span from_span, E* to, Span to_span) {
    u64 i = global_index();
    if (i < to_span.count()) to[to_span.nth(i)] = from[from_span.nth(i)];
}

#define COPY(E, bits)                                                                                       \
    KERNEL(copy_##bits, const E* from, Span from_span, E* to, Span to_span) { copy(from, from_span, to, to_span); }
COPY(unsigned, 32)
COPY(u64, 64)

template <class E> DEVICE void fill(E value, E* to, Span span) {
    u64 i = global_index();
    if (i < span.count()) to[span.nth(i)] = value;
}

#define FILL(E, bits)                                                                                       \
    KERNEL(fill_##bits, E value, E* to, Span span) { fill(value, to, span); }
FILL(unsigned, 32)
FILL(u64, 64)

// The numbers are those of `unary` in elementwise.rs; `a` and `b` are the function's constants.
template <class T> DEVICE T unary(unsigned op, T a, T b, T x) {
    switch (op) {
    case 0: return a * x + b;
    case 1: return sigmoid(x);
    case 2: return tangent(x);
    case 3: return x * x;
    case 4: return root(x);
    case 5: return T(1) / x;
    case 6: return magnitude(x);
    case 7: return sign(x);
    default: return clamp(x, a, b);
    }
}

// `x` and `y` may be the same rectangle: each thread reads its element before it writes it.
template <class T> DEVICE void map(unsigned op, double a, double b, const T* x, Span x_span, T* y, Span y_span) {
    u64 i = global_index();
    if (i < y_span.count()) y[y_span.nth(i)] = unary<T>(op, T(a), T(b), x[x_span.nth(i)]);
}

#define MAP(T, type)                                                                                        \
    KERNEL(map_##type, unsigned op, double a, double b, const T* x, Span x_span, T* y, Span y_span) {       \
        map(op, a, b, x, x_span, y, y_span);                                                                \
    }
FOR_FLOATS(MAP)

// The numbers are those of `binary` in elementwise.rs.
template <class T> DEVICE T binary(unsigned op, T a, T b) {
    switch (op) {
    case 0: return a + b;
    case 1: return a - b;
    case 2: return a * b;
    case 3: return a / b;
    default: return a > b || a != a ? a : b; // NaN if either is
    }
}

template <class T>
DEVICE void zip(unsigned op, const T* a, Span a_span, const T* b, Span b_span, T* y, Span y_span) {
    u64 i = global_index();
    if (i < y_span.count()) y[y_span.nth(i)] = binary(op, a[a_span.nth(i)], b[b_span.nth(i)]);
}

#define ZIP(T, type)                                                                                        \
    KERNEL(zip_##type, unsigned op, const T* a, Span a_span, const T* b, Span b_span, T* y, Span y_span) {  \
        zip(op, a, a_span, b, b_span, y, y_span);                                                           \
    }
FOR_FLOATS(ZIP)

template <class T> DEVICE void add_row(const T* row, Span row_span, T* y, Span y_span) {
    u64 i = global_index();
    if (i < y_span.count()) y[y_span.nth(i)] += row[row_span.at(0, i % y_span.cols)];
}

#define ADD_ROW(T, type)                                                                                    \
    KERNEL(add_row_##type, const T* row, Span row_span, T* y, Span y_span) { add_row(row, row_span, y, y_span); }
FOR_FLOATS(ADD_ROW)
