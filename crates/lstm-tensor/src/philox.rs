//! Philox-4x32-10, a random number generator addressed by a counter.
//!
//! Source: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3" (SC 2011).
//! A draw is a pure function of (key, counter). The key is the model's seed, the counter says what the
//! number is for; so the same mask comes out on every device, in every thread, forward and backward.

use crate::Distribution;
use core::convert::Infallible;
use rand::TryRng;

const ROUNDS: usize = 10;
const MULTIPLIER: [u32; 2] = [0xD251_1F53, 0xCD9E_8D57];
const WEYL: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];

/// Four random words for a counter under a key.
#[inline]
#[must_use]
pub fn philox4x32(mut counter: [u32; 4], mut key: [u32; 2]) -> [u32; 4] {
    for round in 0..ROUNDS {
        if round > 0 {
            key = [key[0].wrapping_add(WEYL[0]), key[1].wrapping_add(WEYL[1])];
        }
        let a = u64::from(MULTIPLIER[0]) * u64::from(counter[0]);
        let b = u64::from(MULTIPLIER[1]) * u64::from(counter[2]);
        counter = [
            (b >> 32) as u32 ^ counter[1] ^ key[0],
            b as u32,
            (a >> 32) as u32 ^ counter[3] ^ key[1],
            a as u32,
        ];
    }
    counter
}

/// The two words of a 64-bit seed.
#[must_use]
pub fn key(seed: u64) -> [u32; 2] {
    [seed as u32, (seed >> 32) as u32]
}

/// What a random number inside a network is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Site {
    /// Dropout on a layer's input.
    Input = 0,
    /// Dropout on a layer's output.
    Output = 1,
    /// Dropout between two layers.
    Between = 2,
    /// Dropout on the recurrent connection.
    Recurrent = 3,
    /// Zoneout of the hidden state.
    ZoneoutHidden = 4,
    /// Zoneout of the cell state.
    ZoneoutCell = 5,
    /// Noise on the network's input.
    InputNoise = 6,
    /// Anything outside a network: initialisation, order of samples, generators.
    Stream = 7,
}

/// Place of a random number inside a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// What it is for.
    pub site: Site,
    /// Layer, from 0; below 256.
    pub layer: usize,
    /// Whether it belongs to the reverse direction.
    pub reverse: bool,
}

impl Place {
    /// Fourth counter word of block `block` (units `4 block .. 4 block + 4` of a mask): three bits of
    /// site, eight of layer, one of direction, twenty of block.
    #[inline]
    #[must_use]
    pub fn word(self, block: usize) -> u32 {
        (self.site as u32) << 29
            | (self.layer as u32 & 0xFF) << 21
            | u32::from(self.reverse) << 20
            | (block as u32 & 0xF_FFFF)
    }
}

/// Whether a mask word keeps its unit: `word < keep * 2^32`.
#[inline]
#[must_use]
pub fn keeps(word: u32, keep: f64) -> bool {
    f64::from(word) < keep * 4_294_967_296.0
}

/// A standard normal number from two words, by Box and Muller's formula in f64.
#[must_use]
pub fn normal(a: u32, b: u32) -> f64 {
    const SCALE: f64 = 1.0 / 4_294_967_296.0;
    let radius = libm::sqrt(-2.0 * libm::log((f64::from(a) + 1.0) * SCALE));
    radius * libm::cos(2.0 * std::f64::consts::PI * f64::from(b) * SCALE)
}

/// What [`Backend::random`](crate::Backend::random) writes for one unit: a mask's unit `u` is decided by
/// word `u mod 4` of block `u / 4`, a normal unit is made of words `2 (u mod 2)` and the next of block
/// `u / 2`.
#[must_use]
pub fn value(
    distribution: Distribution,
    seed: u64,
    [step, time, sample]: [u32; 3],
    place: Place,
    unit: usize,
) -> f64 {
    let block = |block| philox4x32([step, time, sample, place.word(block)], key(seed));
    match distribution {
        Distribution::Mask { keep } if keeps(block(unit / 4)[unit % 4], keep) => 1.0 / keep,
        Distribution::Mask { .. } => 0.0,
        Distribution::Normal { std } => {
            let words = block(unit / 2);
            let first = 2 * (unit % 2);
            std * normal(words[first], words[first + 1])
        }
    }
}

/// What an independent stream is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
#[non_exhaustive]
pub enum Purpose {
    /// Initial parameters; item = index of the tensor.
    Parameters = 0,
    /// Order of samples; item = epoch.
    Order = 1,
    /// Generated data; item = index of the batch or 0.
    Data = 2,
    /// Samples of a forecast; item = twice the step ahead, or twice the index of the series and 1.
    Samples = 3,
}

/// A stream of random words for (seed, purpose, item), usable wherever the `rand` crate's traits are.
#[derive(Clone, Debug)]
pub struct Philox {
    key: [u32; 2],
    counter: [u32; 4],
    words: [u32; 4],
    used: usize,
}

impl Philox {
    /// The stream for `item` of `purpose` under `seed`.
    #[must_use]
    pub fn new(seed: u64, purpose: Purpose, item: u32) -> Self {
        let place = Place { site: Site::Stream, layer: purpose as usize, reverse: false };
        Self { key: key(seed), counter: [0, 0, item, place.word(0)], words: [0; 4], used: 4 }
    }

    fn next_word(&mut self) -> u32 {
        if self.used == 4 {
            self.words = philox4x32(self.counter, self.key);
            let (low, carry) = self.counter[0].overflowing_add(1);
            self.counter[0] = low;
            self.counter[1] = self.counter[1].wrapping_add(u32::from(carry));
            self.used = 0;
        }
        self.used += 1;
        self.words[self.used - 1]
    }

    /// Uniform in [0, 1), a multiple of 2⁻⁵³.
    pub fn uniform(&mut self) -> f64 {
        let (high, low) = (self.next_word(), self.next_word());
        let bits = (u64::from(high) << 32 | u64::from(low)) >> 11;
        bits as f64 / (1u64 << 53) as f64
    }

    /// Standard normal.
    pub fn normal(&mut self) -> f64 {
        let (a, b) = (self.next_word(), self.next_word());
        normal(a, b)
    }
}

impl TryRng for Philox {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(self.next_word())
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let (high, low) = (self.next_word(), self.next_word());
        Ok(u64::from(high) << 32 | u64::from(low))
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        for chunk in out.chunks_mut(4) {
            chunk.copy_from_slice(&self.next_word().to_le_bytes()[..chunk.len()]);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Vectors of the Random123 distribution (`kat_vectors`, philox 4x32 10).
    #[test]
    fn known_answers() {
        assert_eq!(philox4x32([0; 4], [0; 2]), [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
        assert_eq!(
            philox4x32([u32::MAX; 4], [u32::MAX; 2]),
            [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]
        );
        assert_eq!(
            philox4x32([0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344], [0xa409_3822, 0x299f_31d0]),
            [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]
        );
    }

    #[test]
    fn uniform_and_normal_have_their_moments() {
        let mut stream = Philox::new(7, Purpose::Data, 0);
        let n = 20_000;
        let (mut mean, mut square, mut normal_mean, mut normal_square) = (0.0, 0.0, 0.0, 0.0);
        for _ in 0..n {
            let u = stream.uniform();
            assert!((0.0..1.0).contains(&u));
            mean += u / f64::from(n);
            square += u * u / f64::from(n);
            let z = stream.normal();
            normal_mean += z / f64::from(n);
            normal_square += z * z / f64::from(n);
        }
        assert!((mean - 0.5).abs() < 0.01 && (square - 1.0 / 3.0).abs() < 0.01);
        assert!(normal_mean.abs() < 0.03 && (normal_square - 1.0).abs() < 0.05);
    }

    #[test]
    fn streams_differ_by_purpose_item_and_seed() {
        let first = |seed, purpose, item| Philox::new(seed, purpose, item).next_word();
        let base = first(1, Purpose::Data, 0);
        assert_ne!(base, first(2, Purpose::Data, 0));
        assert_ne!(base, first(1, Purpose::Order, 0));
        assert_ne!(base, first(1, Purpose::Data, 1));
    }
}
