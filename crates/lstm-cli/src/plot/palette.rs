//! Colours: one for each role, and the scales of heat maps. All can be told apart by colour-blind people.

use super::Role;

/// Red, green and blue.
pub(super) type Rgb = (u8, u8, u8);

/// Text, axes and frames.
pub(super) const INK: Rgb = (0x33, 0x33, 0x33);
/// Lines that only help the eye.
pub(super) const GRID: Rgb = (0xe4, 0xe4, 0xe4);
/// Cutoffs and other vertical lines.
pub(super) const MARK: Rgb = (0x77, 0x77, 0x77);
/// A heat map's cell without a value.
pub(super) const MISSING: Rgb = (0xd0, 0xd0, 0xd0);

/// Okabe and Ito's palette ("Color Universal Design", 2008) without black and yellow.
const OTHERS: [Rgb; 6] = [
    (0x00, 0x72, 0xb2),
    (0xe6, 0x9f, 0x00),
    (0x00, 0x9e, 0x73),
    (0xcc, 0x79, 0xa7),
    (0xd5, 0x5e, 0x00),
    (0x56, 0xb4, 0xe9),
];

/// The colour of a role in pictures.
pub(super) fn colour(role: Role) -> Rgb {
    match role {
        Role::History => (0, 0, 0),
        Role::Truth => (0x00, 0x8f, 0x5a),
        Role::Forecast => (0xd6, 0x27, 0x28),
        Role::Baseline => (0x00, 0x72, 0xb2),
        Role::Other(n) => OTHERS[n % OTHERS.len()],
    }
}

/// The colour of a role in a terminal, as an SGR code from the sixteen that every theme keeps legible;
/// `None` is the terminal's own foreground.
pub(super) fn terminal(role: Role) -> Option<u8> {
    match role {
        Role::History => None,
        Role::Truth => Some(32),
        Role::Forecast => Some(31),
        Role::Baseline => Some(34),
        Role::Other(n) => Some([34, 33, 32, 35, 31, 36][n % 6]),
    }
}

/// From dark blue to yellow, evenly in lightness (the corners of viridis).
const SEQUENTIAL: [Rgb; 6] = [
    (0x44, 0x01, 0x54),
    (0x41, 0x44, 0x87),
    (0x2a, 0x78, 0x8e),
    (0x22, 0xa8, 0x84),
    (0x7a, 0xd1, 0x51),
    (0xfd, 0xe7, 0x25),
];

/// From blue through white to red, for values on both sides of zero.
const DIVERGING: [Rgb; 5] =
    [(0x21, 0x66, 0xac), (0x92, 0xc5, 0xde), (0xf7, 0xf7, 0xf7), (0xf4, 0xa5, 0x82), (0xb2, 0x18, 0x2b)];

/// A heat map's scale: the values at its two ends and the colours between them.
pub(super) struct Heat {
    pub(super) lo: f64,
    pub(super) hi: f64,
    stops: &'static [Rgb],
}

impl Heat {
    /// The scale for values in `lo..=hi`: symmetric around white zero if they have both signs.
    pub(super) fn between(lo: f64, hi: f64) -> Self {
        if lo < 0.0 && hi > 0.0 {
            let end = hi.max(-lo);
            return Heat { lo: -end, hi: end, stops: &DIVERGING };
        }
        Heat { lo, hi, stops: &SEQUENTIAL }
    }

    /// The colour of a value; outside the scale it is that of the nearer end.
    pub(super) fn colour(&self, value: f64) -> Rgb {
        let share = (value - self.lo) / (self.hi - self.lo);
        if !share.is_finite() {
            return if value.is_finite() { self.stops[0] } else { MISSING };
        }
        let place = share.clamp(0.0, 1.0) * (self.stops.len() - 1) as f64;
        let below = (place as usize).min(self.stops.len() - 2);
        let (from, to) = (self.stops[below], self.stops[below + 1]);
        let part = place - below as f64;
        let mix = |a: u8, b: u8| (f64::from(a) + part * (f64::from(b) - f64::from(a))).round() as u8;
        (mix(from.0, to.0), mix(from.1, to.1), mix(from.2, to.2))
    }
}
