// Philox-4x32-10 (Salmon and others, SC 2011), word for word `lstm_tensor::philox`.
#pragma once
#include "device.cuh"

struct Words {
    unsigned word[4];
    // Word `index`, chosen and not looked up: registers have no index, the words would go through the stack.
    DEVICE unsigned pick(unsigned index) const {
        return index < 2 ? (index == 0 ? word[0] : word[1]) : (index == 2 ? word[2] : word[3]);
    }
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

// Natural logarithm of a positive normal number, as the `libm` crate (FreeBSD's e_log.c) has it, so that noise
// is the same on every device but for fused products.
DEVICE double noise_log(double x) {
    u64 bits = bits_of(x);
    unsigned high = unsigned(bits >> 32) + (0x3ff00000u - 0x3fe6a09eu); // x in [√2 / 2, √2] times 2^k
    double k = int(high >> 20) - 0x3ff;
    high = (high & 0xfffffu) + 0x3fe6a09eu;
    double f = from_bits(u64(high) << 32 | (bits & 0xffffffffu)) - 1.0, half = 0.5 * f * f;
    double s = f / (2.0 + f), z = s * s, w = z * z;
    double even = w * (3.999999999940941908e-01 + w * (2.222219843214978396e-01 + w * 1.531383769920937332e-01));
    double odd = z * (6.666666666666735130e-01 +
                      w * (2.857142874366239149e-01 + w * (1.818357216161805012e-01 + w * 1.479819860511658591e-01)));
    double r = odd + even;
    return s * (half + r) + k * 1.90821492927058770002e-10 - half + f + k * 6.93147180369123816490e-01;
}

// Cosine and sine of `x + low` with |x| up to about π / 4, of the same source.
DEVICE double small_cosine(double x, double low) {
    double z = x * x, w = z * z;
    double r = z * (4.16666666666666019037e-02 + z * (-1.38888888888741095749e-03 + z * 2.48015872894767294178e-05)) +
               w * w * (-2.75573143513906633035e-07 + z * (2.08757232129817482790e-09 + z * -1.13596475577881948265e-11));
    double half = 0.5 * z, rest = 1.0 - half;
    return rest + (((1.0 - rest) - half) + (z * r - x * low));
}

DEVICE double small_sine(double x, double low) {
    double z = x * x, w = z * z;
    double r = 8.33333333332248946124e-03 + z * (-1.98412698298579493134e-04 + z * 2.75573137070700676789e-06) +
               z * w * (-2.50507602534068634195e-08 + z * 1.58969099521155010221e-10);
    double v = z * x;
    return x - ((z * (0.5 * low - v * r) - low) - v * -1.66666666666666324348e-01);
}

// Cosine of a number from 0 to 2 π, of the same source.
DEVICE double noise_cosine(double x) {
    if (unsigned(bits_of(x) >> 32) <= 0x3fe921fbu) return small_cosine(x, 0.0);
    // Quarter turns, and what is left of x in two numbers.
    const double to_integer = 1.5 / 2.2204460492503131e-16;
    double turns = (x * 6.36619772367581382433e-01 + to_integer) - to_integer;
    double rest = x - turns * 1.57079632673412561417e+00, less = turns * 6.07710050650619224932e-11;
    double high = rest - less;
    int before = int(bits_of(x) >> 52) & 0x7ff, after = int(bits_of(high) >> 52) & 0x7ff;
    if (before - after > 16) { // x is next to a multiple of π / 2: more digits of it
        double old = rest;
        less = turns * 6.07710050630396597660e-11;
        rest = old - less;
        less = turns * 2.02226624879595063154e-21 - ((old - rest) - less);
        high = rest - less;
    }
    double low = (rest - high) - less;
    switch (int(turns) & 3) {
    case 0: return small_cosine(high, low);
    case 1: return -small_sine(high, low);
    case 2: return -small_cosine(high, low);
    default: return small_sine(high, low);
    }
}

// A standard normal number from two words, by Box and Muller's formula.
DEVICE double normal(unsigned a, unsigned b) {
    const double scale = 1.0 / 4294967296.0, pi = 3.14159265358979323846;
    return root(-2.0 * noise_log((double(a) + 1.0) * scale)) * noise_cosine(2.0 * pi * double(b) * scale);
}
