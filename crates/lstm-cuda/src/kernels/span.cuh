// A rectangle inside a flat buffer, as `lstm_tensor::Span` has it.
#pragma once
#include "device.cuh"

struct Span {
    u64 offset, rows, cols, row_stride, col_stride;
    DEVICE u64 count() const { return rows * cols; }
    DEVICE u64 at(u64 row, u64 col) const { return offset + row * row_stride + col * col_stride; }
    // Element `index` of the rectangle, row by row.
    DEVICE u64 nth(u64 index) const { return at(index / cols, index % cols); }
};
