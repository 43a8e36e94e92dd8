//! One cell of text: missing, a number, a boolean, or something else.

/// What a single cell says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Cell {
    /// Nothing, or one of the usual words for nothing.
    Missing,
    /// A finite number.
    Number(f64),
    /// TRUE or FALSE, as 1 or 0.
    Boolean(f64),
    /// Infinity, or a number beyond the range of a double.
    NonFinite,
    /// Anything else.
    Text,
}

/// Reads a trimmed cell.
pub(crate) fn read(cell: &str) -> Cell {
    if is_missing(cell) {
        return Cell::Missing;
    }
    // The words that Rust's parser knows (inf, infinity, nan with a sign) and overflowing literals are not finite.
    match cell.parse::<f64>() {
        Ok(value) if value.is_finite() => Cell::Number(value),
        Ok(_) => Cell::NonFinite,
        Err(_) if cell.eq_ignore_ascii_case("true") => Cell::Boolean(1.0),
        Err(_) if cell.eq_ignore_ascii_case("false") => Cell::Boolean(0.0),
        Err(_) => Cell::Text,
    }
}

/// Whether a cell stands for a value that is not there.
pub(crate) fn is_missing(cell: &str) -> bool {
    const WORDS: [&str; 15] = [
        "-", "--", ".", "?", "na", "n/a", "#n/a", "<na>", "nan", "-nan", "+nan", "nil", "null", "none",
        "missing",
    ];
    cell.is_empty() || (cell.len() <= 7 && WORDS.iter().any(|word| cell.eq_ignore_ascii_case(word)))
}

/// A trimmed number with a decimal comma, and perhaps points between its thousands, as a number with a decimal point; none for
/// all else, and for whole numbers without points, which are the same in both.
pub(crate) fn with_point(cell: &str) -> Option<String> {
    let unsigned = cell.strip_prefix(['-', '+']).unwrap_or(cell);
    let (mantissa, exponent) = unsigned.split_at(unsigned.find(['e', 'E']).unwrap_or(unsigned.len()));
    let (whole, fraction) = mantissa.split_once(',').unwrap_or((mantissa, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let mut groups = whole.split('.');
    let first = groups.next().filter(|first| digits(first))?;
    let parted = whole.len() > first.len();
    let grouped = first.len() <= 3 && !first.starts_with('0') && groups.all(|g| g.len() == 3 && digits(g));
    let changed = mantissa.len() > first.len() && (!parted || grouped) && digits(fraction);
    let sign = &cell[..cell.len() - unsigned.len()];
    changed.then(|| format!("{sign}{}.{fraction}{exponent}", whole.replace('.', "")))
}

/// What to do about a cell that looks like nothing in particular.
pub(crate) const CORRECT: &str = "correct the cell or remove the row";

/// What to do about a cell that is not a number, guessed from how it looks.
pub(crate) fn remedy(cell: &str) -> &'static str {
    if cell.len() > 40 || !cell.chars().any(char::is_numeric) {
        return CORRECT;
    }
    let number = |text: &str| text.parse::<f64>().is_ok();
    let plain: String =
        cell.chars().filter(|c| c.is_ascii_digit() || matches!(c, '.' | '-' | '+' | 'e')).collect();
    let letters = cell.chars().filter(|c| c.is_alphabetic()).count();
    let comma_last = cell.rfind(',') > cell.rfind('.');
    if (comma_last || cell.matches('.').count() > 1) && number(&cell.replace('.', "").replace(',', ".")) {
        "pass --decimal comma, or write decimals with a point and no thousands separator"
    } else if number(&cell.replace(',', "")) {
        "write numbers without thousands separators"
    } else if cell.starts_with('(') && cell.ends_with(')') {
        "write a negative number with a minus sign"
    } else if letters <= 3 && (number(&plain) || !cell.is_ascii()) {
        "write plain digits without signs, units or separators"
    } else {
        CORRECT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_read() {
        for word in ["", "NaN", "nan", "+nan", "NA", "n/a", "NULL", "-", "None", "#N/A"] {
            assert_eq!(read(word), Cell::Missing, "{word}");
        }
        for word in ["inf", "-inf", "Infinity", "1e400"] {
            assert_eq!(read(word), Cell::NonFinite, "{word}");
        }
        for word in ["abc", "1,5", "0x1f", "1 2", "12a", "$5", "1_000"] {
            assert_eq!(read(word), Cell::Text, "{word}");
        }
        assert_eq!(read("-1.5e3"), Cell::Number(-1500.0));
        assert_eq!(read("TRUE"), Cell::Boolean(1.0));
        assert_eq!(read("False"), Cell::Boolean(0.0));
    }

    #[test]
    fn decimal_commas_become_points() {
        let same =
            [("1,5", "1.5"), ("-0,25e-3", "-0.25e-3"), ("1.234,5", "1234.5"), ("+12.345.678", "+12345678.0")];
        for (cell, number) in same {
            assert_eq!(with_point(cell).as_deref(), Some(number));
            assert!(matches!(read(number), Cell::Number(_)));
        }
        for other in
            ["15", "1.5", "0.125", "1234.567", "1.23,5", ",5", "1,", "1,5,5", "2020-01", "31.12.2020", ""]
        {
            assert_eq!(with_point(other), None, "{other}");
        }
    }

    #[test]
    fn remedies_follow_the_look_of_the_cell() {
        assert!(remedy("1,5").contains("point"));
        assert!(remedy("1.234,5").contains("point"));
        for cell in ["$5", "5 %", "5 000", "5_000", "50 kW", "\u{2212}3"] {
            assert!(remedy(cell).contains("plain digits"), "{cell}");
        }
        assert!(remedy("1,234.5").contains("thousands"));
        assert!(remedy("(12)").contains("minus sign"));
        assert!(remedy("abc").contains("correct"));
    }
}
