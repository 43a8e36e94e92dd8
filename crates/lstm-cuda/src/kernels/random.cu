// Random numbers by place, and dropout by masks that are drawn again wherever they are needed.
#include "philox.cuh"
#include "span.cuh"

// Fills `y [T B, N]`: row `r` belongs to step `first_step + r / B` and to sample `samples[r mod B]`. `word`
// is the place's counter word without its block; `normal_numbers` chooses between normal numbers with
// deviation `parameter` and a mask that keeps with probability `parameter`.
//
// Grid: one thread per element, in blocks of up to 256. Writes each element once.
template <class T>
DEVICE void random(unsigned normal_numbers, double parameter, u64 seed, const unsigned* step,
                   const unsigned* samples, unsigned batch, unsigned word, unsigned first_step, T* y, Span span) {
    u64 i = global_index();
    if (i >= span.count()) return;
    u64 row = i / span.cols;
    unsigned unit = unsigned(i % span.cols), time = first_step + unsigned(row / batch);
    unsigned sample = samples[row % batch];
    unsigned block = normal_numbers ? unit / 2 : unit / 4;
    Words drawn = philox(*step, time, sample, word | block, seed);
    double value;
    if (normal_numbers) {
        unsigned first = 2 * (unit % 2);
        value = parameter * normal(drawn.pick(first), drawn.pick(first + 1));
    } else {
        value = keeps(drawn.pick(unit % 4), parameter) ? 1.0 / parameter : 0.0;
    }
    y[span.nth(i)] = T(value);
}

#define RANDOM(T, type)                                                                                     \
    KERNEL(random_##type, unsigned normal_numbers, double parameter, u64 seed, const unsigned* step,        \
           const unsigned* samples, unsigned batch, unsigned word, unsigned first_step, T* y, Span span) {  \
        random(normal_numbers, parameter, seed, step, samples, batch, word, first_step, y, span);           \
    }
FOR_FLOATS(RANDOM)

// Up to three masks that act on the same numbers, one after another.
struct Sites {
    double keep[3];
    unsigned word[3]; // the places' counter words without their blocks
    unsigned count;
};

// `y = x` times the masks, both dense `[T B, N]`; `x` may be `y`.
//
// Grid: one thread per four units of a row, which share a block of Philox, in blocks of up to 256. Moves 8
// bytes per element in f32; no mask is stored. All loops have a fixed length, so that nothing that is counted
// through needs an address, and all stays in registers.
template <class T>
DEVICE void dropout(const T* x, T* y, u64 rows, unsigned cols, Sites sites, u64 seed, const unsigned* step,
                    const unsigned* samples, unsigned batch, unsigned first_step) {
    unsigned quads = (cols + 3) / 4;
    u64 i = global_index();
    if (i >= rows * quads) return;
    u64 row = i / quads;
    unsigned block = unsigned(i % quads), time = first_step + unsigned(row / batch);
    unsigned sample = samples[row % batch], units = cols - 4 * block < 4 ? cols - 4 * block : 4;
    T values[4];
    for (unsigned k = 0; k < 4; ++k) values[k] = k < units ? x[row * cols + 4 * block + k] : T(0);
    for (unsigned site = 0; site < 3; ++site) {
        if (site >= sites.count) break;
        Words drawn = philox(*step, time, sample, sites.word[site] | block, seed);
        T kept = T(1.0 / sites.keep[site]);
        for (unsigned k = 0; k < 4; ++k) values[k] *= keeps(drawn.word[k], sites.keep[site]) ? kept : T(0);
    }
    for (unsigned k = 0; k < 4; ++k) {
        if (k < units) y[row * cols + 4 * block + k] = values[k];
    }
}

#define DROPOUT(T, type)                                                                                    \
    KERNEL(dropout_##type, const T* x, T* y, u64 rows, unsigned cols, Sites sites, u64 seed,                \
           const unsigned* step, const unsigned* samples, unsigned batch, unsigned first_step) {            \
        dropout(x, y, rows, cols, sites, seed, step, samples, batch, first_step);                           \
    }
FOR_FLOATS(DROPOUT)
