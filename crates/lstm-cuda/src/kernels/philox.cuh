// Philox-4x32-10 (Salmon and others, SC 2011), word for word `lstm_tensor::philox`.
#pragma once
#include "device.cuh"

struct Words {
    unsigned word[4];
};

DEVICE Words philox(unsigned c0, unsigned c1, unsigned c2, unsigned c3, u64 seed) {
    unsigned k0 = unsigned(seed), k1 = unsigned(seed >> 32);
    for (int round = 0; round < 10; ++round) {
        unsigned a_high = high_product(0xD2511F53u, c0), a_low = 0xD2511F53u * c0;
        unsigned b_high = high_product(0xCD9E8D57u, c2), b_low = 0xCD9E8D57u * c2;
        c0 = b_high ^ c1 ^ k0;
        c1 = b_low;
        c2 = a_high ^ c3 ^ k1;
        c3 = a_low;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    return {{c0, c1, c2, c3}};
}

// Whether a mask word keeps its unit.
DEVICE bool keeps(unsigned word, double keep) { return double(word) < keep * 4294967296.0; }

// A standard normal number from two words, by Box and Muller's formula.
DEVICE double normal(unsigned a, unsigned b) {
    const double scale = 1.0 / 4294967296.0, pi = 3.14159265358979323846;
    return root(-2.0 * logarithm((double(a) + 1.0) * scale)) * cosine(2.0 * pi * double(b) * scale);
}
