//! What may mean two things: refused with both named, because a wrong guess would pass unseen.

/// Why a file cannot be taken at its word, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Doubt {
    /// A blank line stands between rows without times.
    #[error(
        "the line is blank, so a value is missing there or another table begins; write NA for a missing value, else \
         remove the line"
    )]
    BlankLine,
    /// Rows with one text stand together, again and again.
    #[error(
        "the rows of '{first}' stand together, then those of '{second}', so there may be several series; name the column \
         with --id, or pass --time none to take all rows as one series"
    )]
    Blocks {
        /// Text of the first rows.
        first: String,
        /// Text of the rows behind them.
        second: String,
    },
    /// A column that tells the time by its name goes unevenly.
    #[error(
        "'{cell}' does not come one step after the row above, though the column seems to tell the time; sort the \
         rows and fill in the missing ones, or pass --time none to number the rows as they stand"
    )]
    Clock {
        /// The cell.
        cell: String,
    },
    /// Times in several columns go unevenly.
    #[error(
        "'{now}' does not come one step after '{before}' (columns {columns}); write times in one column, as \
         2024-01-31 12:00:00, or name the column that tells series apart with --id, or pass --time none to number the rows"
    )]
    Parts {
        /// The columns.
        columns: String,
        /// What stands in the row above.
        before: String,
        /// What stands in this row.
        now: String,
    },
    /// The time of day has a column of its own.
    #[error(
        "'{cell}' seems to be the time of day for the dates in '{date}'; write both in one column, as 2024-01-31 12:00:00"
    )]
    TimeOfDay {
        /// The first cell.
        cell: String,
        /// The column of dates.
        date: String,
    },
    /// Digits behind a decimal comma became a column.
    #[error(
        "'{cell}' begins with a zero, as digits behind a decimal comma do, and '{left}' stands before it; write decimals \
         with a point, or part the columns with semicolons"
    )]
    DecimalComma {
        /// A cell that begins with a zero.
        cell: String,
        /// The cell on its left.
        left: String,
    },
    /// A point may part thousands.
    #[error(
        "'{cell}' may be a fraction or, beside '{other}', a number with its thousands parted by points; write numbers \
         without separators of thousands, and fractions with as many digits as the others have"
    )]
    Thousands {
        /// A cell with a point.
        cell: String,
        /// A cell without.
        other: String,
    },
    /// The last row sums up the others.
    #[error("'{cell}' in the last row seems to sum up the rows above; remove the row")]
    Summary {
        /// The cell.
        cell: String,
    },
    /// One series lies in rows of months.
    #[error(
        "the columns '{first}' to '{last}' seem to be the months of one series; write one row for each month, or name \
         the columns with --target"
    )]
    Months {
        /// The first column.
        first: String,
        /// The last column.
        last: String,
    },
    /// Two tables stand side by side.
    #[error(
        "the column is empty and has no name, and there are times on both sides of it, in '{left}' and '{right}', so \
         these are two tables; put them into two files"
    )]
    SideBySide {
        /// A column of times before it.
        left: String,
        /// One behind it.
        right: String,
    },
    /// The calendar ends before a forecast could.
    #[error(
        "{time} is so near the end of the calendar, the year 9999, that no forecast can be dated; correct the times, or \
         pass --time none to number the rows"
    )]
    Calendar {
        /// The last time.
        time: String,
    },
}
