//! Colours: one for each role. All can be told apart by colour-blind people.

use super::Role;

/// Red, green and blue.
pub(super) type Rgb = (u8, u8, u8);

/// Text, axes and frames.
pub(super) const INK: Rgb = (0x33, 0x33, 0x33);
/// Lines that only help the eye.
pub(super) const GRID: Rgb = (0xe4, 0xe4, 0xe4);
/// Cutoffs and other vertical lines.
pub(super) const MARK: Rgb = (0x77, 0x77, 0x77);

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

/// Rules of a style sheet that turn pictures of the class `figure` into what is legible on a dark page.
pub(super) fn dark() -> String {
    let inks =
        [INK, GRID, MARK].into_iter().zip([(0xd0, 0xd7, 0xde), (0x2b, 0x31, 0x38), (0x9a, 0xa4, 0xaf)]);
    let roles = [
        (Role::History, (0xf0, 0xf3, 0xf6)),
        (Role::Truth, (0x3f, 0xc4, 0x8b)),
        (Role::Forecast, (0xff, 0x6b, 0x6b)),
        (Role::Baseline, (0x58, 0xa6, 0xff)),
        (Role::Other(2), (0x2f, 0xc7, 0x9a)),
        (Role::Other(4), (0xff, 0x8a, 0x3c)),
    ];
    // The other colours are light enough.
    let all = inks.chain(roles.map(|(role, dark)| (colour(role), dark)));
    let hex = |(r, g, b): Rgb| format!("#{r:02x}{g:02x}{b:02x}");
    let rules = all.map(|(light, dark)| {
        let (light, dark) = (hex(light), hex(dark));
        format!(".figure [fill=\"{light}\"]{{fill:{dark}}}.figure [stroke=\"{light}\"]{{stroke:{dark}}}")
    });
    let page = ".figure [fill=\"white\"]{fill:none}".to_owned();
    format!("@media (prefers-color-scheme:dark){{{}}}", rules.chain([page]).collect::<String>())
}
