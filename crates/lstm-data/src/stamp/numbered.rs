//! Times that are whole numbers: years, dates without separators, counts since 1970, row numbers.

use super::{Layout, Style, names_clock, names_count, names_time, stamp_of};

/// The style of a column of whole numbers that are times: by its name, or because each is a date of eight digits. Where
/// they may start `anew`, years and counts need not rise throughout. A few cells may be something else, so that reading
/// the column names them.
pub(super) fn style<'a>(
    name: &str,
    cells: impl Iterator<Item = &'a str> + Clone,
    anew: bool,
) -> Option<Style> {
    let date = if names_count(name) || names_time(name) {
        named(name, &Numbers::of(cells)?, anew)?
    } else {
        unnamed(cells).then_some(Layout::CompactYmd)?
    };
    Some(Style { date, separator: '-', padded: true, clock: None, zone: None })
}

/// A cell as a whole number; some programs write 2020 as `2020.0`.
pub(super) fn whole(cell: &str) -> Option<i64> {
    cell.strip_suffix(".0").unwrap_or(cell).parse().ok()
}

/// The stamp of a number in this layout.
pub(super) fn stamp(layout: Layout, number: i64) -> Option<i64> {
    let within = |least: i64, most: i64| (least..=most).contains(&number);
    match layout {
        Layout::Y => within(1_000, 2_999).then(|| stamp_of(number, 1, 1, 0))?,
        Layout::CompactYmd => within(10_000_101, 29_991_231)
            .then(|| stamp_of(number / 10_000, number / 100 % 100, number % 100, 0))?,
        Layout::CompactYm => within(100_001, 299_912).then(|| stamp_of(number / 100, number % 100, 1, 0))?,
        Layout::Seconds => within(100_000_000, 9_999_999_999).then(|| number.checked_mul(1_000_000))?,
        Layout::Millis => within(100_000_000_000, 9_999_999_999_999).then(|| number.checked_mul(1_000))?,
        Layout::Micros => within(100_000_000_000_000, 9_999_999_999_999_999).then_some(number),
        Layout::Nanos => (number >= 100_000_000_000_000_000 && number % 1_000 == 0).then_some(number / 1_000),
        _ => Some(number),
    }
}

/// The whole numbers of a column, and what they look like together.
struct Numbers {
    /// As they stand.
    values: Vec<i64>,
    /// Each once, from the least.
    sorted: Vec<i64>,
    rising: bool,
}

impl Numbers {
    /// `None` unless more than nine in ten cells are whole numbers.
    fn of<'a>(cells: impl Iterator<Item = &'a str>) -> Option<Self> {
        let (mut values, mut all) = (Vec::new(), 0_usize);
        for cell in cells {
            all += 1;
            values.extend(whole(cell));
            // Most columns end here, after a few cells.
            if all == 20 && values.len() < 10 {
                return None;
            }
        }
        if values.is_empty() || values.len() * 10 < all * 9 {
            return None;
        }
        let rising = values.windows(2).all(|pair| pair[0] < pair[1]);
        let mut sorted = values.clone();
        if !rising {
            sorted.sort_unstable();
            sorted.dedup();
        }
        Some(Self { values, sorted, rising })
    }

    /// Whether more than nine in ten numbers can be read in this layout.
    fn fit(&self, layout: Layout) -> bool {
        let fits = self.values.iter().filter(|number| stamp(layout, **number).is_some()).count();
        fits * 10 > self.values.len() * 9
    }

    /// Whether at most one in twenty repeats another.
    fn differ(&self) -> bool {
        (self.values.len() - self.sorted.len()) * 20 <= self.values.len()
    }

    /// The step on which all of them lie, the commonest between neighbours, and how many are missing there.
    fn grid(&self) -> Option<(i64, i64)> {
        let mut differences = Vec::with_capacity(self.sorted.len());
        for pair in self.sorted.windows(2) {
            differences.push(pair[1].checked_sub(pair[0])?);
        }
        let step = crate::time::commonest(differences.iter().copied())?;
        let mut missing = 0_i64;
        for difference in differences {
            if difference % step != 0 {
                return None;
            }
            missing = missing.checked_add(difference / step - 1)?;
        }
        Some((step, missing))
    }

    fn lies_in(&self, layout: Layout) -> bool {
        self.values.iter().all(|number| stamp(layout, *number).is_some())
    }
}

/// The layout of whole numbers whose column is called as times or counts are.
fn named(name: &str, numbers: &Numbers, anew: bool) -> Option<Layout> {
    let index = names_count(name);
    let clock = names_clock(name);
    let year = !index && (clock || name.to_lowercase().contains("year"));
    let rising = !index && numbers.lies_in(Layout::Y) && (numbers.rising || anew);
    if rising || year && numbers.fit(Layout::Y) && numbers.differ() {
        return Some(Layout::Y);
    }
    if numbers.fit(Layout::CompactYmd) {
        return Some(Layout::CompactYmd);
    }
    if !index && numbers.fit(Layout::CompactYm) && (numbers.rising || anew || clock || numbers.differ()) {
        return Some(Layout::CompactYm);
    }
    for layout in [Layout::Seconds, Layout::Millis, Layout::Micros, Layout::Nanos] {
        if numbers.lies_in(layout) || clock && numbers.fit(layout) {
            return Some(layout);
        }
    }
    is_count(name, numbers, anew).then_some(Layout::Count)
}

/// Whether numbers count rows: evenly, or with gaps and out of order where the name leaves no doubt.
fn is_count(name: &str, numbers: &Numbers, anew: bool) -> bool {
    if numbers.values.len() < 2 {
        return false;
    }
    if anew {
        return true;
    }
    let Some((_, missing)) = numbers.grid() else { return false };
    if numbers.rising && missing == 0 {
        return true;
    }
    let rows = i64::try_from(numbers.sorted.len()).unwrap_or(i64::MAX);
    let few = |missing: i64| missing.saturating_mul(4) <= rows;
    // Without a header the first column may hold anything.
    let sure = names_clock(name) && numbers.differ() && rows > 3;
    sure && few(missing)
}

/// Whether every cell is a date of eight digits, each later than the one before.
fn unnamed<'a>(mut cells: impl Iterator<Item = &'a str>) -> bool {
    let mut previous = i64::MIN;
    let mut rows = 0;
    let later = |cell: &str| {
        let number = whole(cell).filter(|number| (19_000_101..=21_001_231).contains(number));
        let after =
            number.filter(|number| *number > previous && stamp(Layout::CompactYmd, *number).is_some());
        previous = after.unwrap_or(i64::MAX);
        rows += 1;
        after.is_some()
    };
    cells.all(later) && rows > 2
}
