//! Text that a person reads as a time and this crate does not, so that it is refused and not passed over.

/// Whether a cell looks like a date in a form that is not read: with the name of a month, two digits for the year, a
/// quarter or a week, AM or PM.
pub(crate) fn looks_like_date(cell: &str) -> bool {
    if cell.len() > 40 || !cell.bytes().any(|b| b.is_ascii_digit()) {
        return false;
    }
    let words: Vec<String> = cell
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .collect();
    let numbers = words.iter().filter(|word| word.bytes().all(|b| b.is_ascii_digit())).count();
    let month = words.iter().any(|word| is_month(word));
    // A date that is read, with something behind it, as the name of a zone.
    let date = cell.split_once([' ', 'T']).is_some_and(|(date, _)| super::looks_like_time(date));
    let parts = words.len() == 3 && numbers == 3 && cell.contains(['-', '/']);
    date || (month && numbers > 0)
        || parts
        || is_quarter_or_week(&words)
        || (numbers > 3 && looks_like_clock(cell))
}

/// Whether a cell is, or ends with, a time of day: `7:30`, `19:30:00`, `07:30 PM`.
pub(crate) fn looks_like_clock(cell: &str) -> bool {
    let half = cell.get(cell.len().saturating_sub(2)..).unwrap_or("");
    let halves = half.eq_ignore_ascii_case("am") || half.eq_ignore_ascii_case("pm");
    let clock = if halves { cell.get(..cell.len() - 2).unwrap_or("").trim_end() } else { cell };
    let clock = clock.rsplit([' ', 'T']).next().unwrap_or("");
    let fields: Vec<&str> = clock.split(':').collect();
    let two = |field: &&str| (1..=2).contains(&field.len()) && field.bytes().all(|b| b.is_ascii_digit());
    (2..=3).contains(&fields.len()) && fields.iter().all(two)
}

fn is_month(word: &str) -> bool {
    const MONTHS: [&str; 12] =
        ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
    const LONG: [&str; 10] = [
        "january",
        "february",
        "march",
        "april",
        "june",
        "july",
        "august",
        "september",
        "october",
        "november",
    ];
    MONTHS.contains(&word) || LONG.contains(&word) || matches!(word, "december" | "sept")
}

/// A year with a quarter, a month or a week: `2020Q1`, `2020-W05`, `Q1 2020`, `2020M01`.
fn is_quarter_or_week(words: &[String]) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let part = |word: &str| {
        word.strip_prefix(['q', 'w', 'm', 'h', 'k']).is_some_and(|rest| rest.len() <= 2 && digits(rest))
    };
    let year = |word: &str| word.len() == 4 && digits(word);
    match words {
        [only] => only.get(..4).is_some_and(year) && only.get(4..).is_some_and(part),
        [a, b] => (year(a) && part(b)) || (part(a) && year(b)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_that_are_not_read_are_seen() {
        for cell in [
            "05-Nov-23",
            "Nov 5, 2023",
            "November 2023",
            "Jan-19",
            "05/11/23",
            "2009Q1",
            "2009-Q1",
            "Q1 2009",
            "2022-W01",
            "2019M01",
            "11/05/2023 12:00:00 AM",
            "2023-11-05 24:00",
            "2023-11-05 12:00 CET",
        ] {
            assert!(looks_like_date(cell), "{cell}");
        }
        for cell in ["", "north", "P1", "s12", "may", "10-12", "A-1-2", "12:30", "5.3", "1.2.3"] {
            assert!(!looks_like_date(cell), "{cell}");
        }
    }

    #[test]
    fn times_of_day_are_seen() {
        for cell in ["0:00", "07:30", "19:30:00", "7:30 PM", "12:00am"] {
            assert!(looks_like_clock(cell), "{cell}");
        }
        for cell in ["", "7", "7.30", "a:b", "1:2:3:4", "100:00"] {
            assert!(!looks_like_clock(cell), "{cell}");
        }
    }
}
