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

/// The curve of a neighbouring season. Over a hole of at most half a season it is shifted to meet the values on both sides,
/// so that the level is theirs and the shape is the season's; a longer one takes it as [`seasonal`] does, as the level at
/// its edges says little about its middle.
pub(crate) fn shaped(mut column: ArrayViewMut1<'_, f64>, season: usize) {
    let mut row = 0;
    while let Some(start) = (row..column.len()).find(|at| column[*at].is_nan()) {
        let end = (start..column.len()).find(|at| !column[*at].is_nan()).unwrap_or(column.len());
        row = end;
        if start == 0 || end == column.len() || 2 * (end - start) > season {
            continue;
        }
        let (before, after) = (start - 1, end);
        let whole = |from: usize| {
            column.iter().skip(from).take(after - before + 1).filter(|value| !value.is_nan()).count()
                == after - before + 1
        };
        let earlier = before.checked_sub(season).filter(|from| whole(*from));
        let Some(from) = earlier.or_else(|| Some(before + season).filter(|from| whole(*from))) else {
            continue;
        };
        let like = |row: usize| from + (row - before);
        let (left, right) = (column[before] - column[like(before)], column[after] - column[like(after)]);
        for at in start..end {
            let share = (at - before) as f64 / (after - before) as f64;
            column[at] = column[like(at)] + left * (1.0 - share) + right * share;
        }
    }
    seasonal(column, season);
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

    #[test]
    fn a_short_hole_takes_the_shape_of_a_season_and_the_level_of_its_edges() {
        let shape = [0.0, 5.0, 9.0, 5.0, 0.0, -5.0, -9.0, -5.0];
        let whole: ndarray::Array1<f64> = (0..32).map(|row| shape[row % 8] + row as f64).collect();
        let filled = |holes: &[(usize, usize)]| {
            let mut column = whole.clone();
            holes.iter().flat_map(|(from, to)| *from..*to).for_each(|row| column[row] = f64::NAN);
            shaped(column.view_mut(), 8);
            column
        };
        // Shape and trend come back exactly, in the first season as well, and where the next hole looks back on this one.
        let near = |got: &ndarray::Array1<f64>| got.iter().zip(&whole).all(|(a, b)| (a - b).abs() < 1e-12);
        assert!(
            near(&filled(&[(12, 16)])) && near(&filled(&[(2, 5)])) && near(&filled(&[(10, 13), (18, 22)]))
        );
        // A long hole takes the season as it is, and an end has no level beyond it.
        assert_eq!(filled(&[(12, 17)])[13], whole[5]);
        assert_eq!(filled(&[(30, 32)])[31], whole[23]);
    }
}
