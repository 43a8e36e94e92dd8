//! Values for NaN: each function leaves none behind where the column has one number at least.

use ndarray::ArrayViewMut1;

/// A straight line between the neighbours, the nearest value at either end.
pub(crate) fn linear(mut column: ArrayViewMut1<'_, f64>) {
    let rows = column.len();
    let mut before: Option<usize> = None;
    let mut row = 0;
    while row < rows {
        if !column[row].is_nan() {
            before = Some(row);
            row += 1;
            continue;
        }
        let after = (row..rows).find(|at| !column[*at].is_nan());
        let end = after.unwrap_or(rows);
        for at in row..end {
            column[at] = match (before, after) {
                (Some(a), Some(b)) => {
                    let share = (at - a) as f64 / (b - a) as f64;
                    column[a] * (1.0 - share) + column[b] * share
                }
                (Some(known), None) | (None, Some(known)) => column[known],
                (None, None) => return,
            };
        }
        row = end;
    }
}

/// The value before, at the start the value after.
pub(crate) fn previous(mut column: ArrayViewMut1<'_, f64>) {
    let mut last = column.iter().copied().find(|value| !value.is_nan()).unwrap_or(f64::NAN);
    for value in &mut column {
        if value.is_nan() {
            *value = last;
        }
        last = *value;
    }
}

/// The value one season before, else one or more seasons after, else the straight line.
pub(crate) fn seasonal(mut column: ArrayViewMut1<'_, f64>, season: usize) {
    let rows = column.len();
    for row in 0..rows {
        if column[row].is_nan() {
            let before = row.checked_sub(season).map(|at| column[at]).filter(|value| !value.is_nan());
            let mut after = (row..rows).step_by(season).map(|at| column[at]);
            if let Some(value) = before.or_else(|| after.find(|value| !value.is_nan())) {
                column[row] = value;
            }
        }
    }
    linear(column);
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    #[test]
    fn each_fill_does_what_it_says() {
        let nan = f64::NAN;
        let start = array![nan, 1.0, nan, nan, 4.0, nan];
        let run = |fill: &dyn Fn(ArrayViewMut1<'_, f64>)| {
            let mut column = start.clone();
            fill(column.view_mut());
            column.to_vec()
        };
        assert_eq!(run(&|c| linear(c)), [1.0, 1.0, 2.0, 3.0, 4.0, 4.0]);
        assert_eq!(run(&|c| previous(c)), [1.0, 1.0, 1.0, 1.0, 4.0, 4.0]);
        assert_eq!(run(&|c| seasonal(c, 2)), [4.0, 1.0, 4.0, 1.0, 4.0, 1.0]);
    }
}
