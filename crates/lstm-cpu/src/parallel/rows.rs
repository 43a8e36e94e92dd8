//! Blocks of rows that tasks may write to, because no two tasks get the same row.
#![allow(unsafe_code, reason = "rows of one buffer are lent to several threads; see SAFETY in Team::deal")]

use super::Team;
use std::marker::PhantomData;

/// A buffer `[slots, rows, width]`, cut into blocks of rows.
pub(crate) struct Rows<'a, T> {
    start: *mut T,
    slots: usize,
    rows: usize,
    width: usize,
    cut: Cut<'a>,
    lifetime: PhantomData<&'a mut [T]>,
}

/// Where a buffer is cut. It is small, since each thread fetches it from the one that cuts.
#[derive(Clone, Copy)]
enum Cut<'a> {
    /// Blocks of so many rows; the last may have fewer.
    Size(usize),
    /// So many blocks, of equal size but for one row; task `i` gets block `i + turn`, or what that is beyond the
    /// last one, counted from the first. `turn` is at most `number`.
    Number { number: usize, turn: usize },
    /// Blocks that start at these rows.
    At(&'a [usize]),
}

impl Cut<'_> {
    fn blocks(self, rows: usize) -> usize {
        match self {
            Self::Size(size) => rows.div_ceil(size),
            Self::Number { number, .. } => number,
            Self::At(places) => places.len(),
        }
    }

    /// First row of task `i`'s block and of what follows it. Blocks of two tasks share no row.
    fn bounds(self, rows: usize, i: usize) -> [usize; 2] {
        match self {
            Self::Size(size) => [i, i + 1].map(|i| rows.min(i * size)),
            Self::Number { number, turn } => {
                let i = if i + turn < number { i + turn } else { i + turn - number };
                [i, i + 1].map(|i| share(rows, number, i))
            }
            Self::At(places) => [places[i], places.get(i + 1).copied().unwrap_or(rows)],
        }
    }
}

/// First row of part `i` of `parts` of equal size but for one row.
pub(crate) fn share(rows: usize, parts: usize, i: usize) -> usize {
    rows * i / parts
}

// SAFETY: it is a `&mut [T]` whose parts are handed to threads one by one.
unsafe impl<T: Send> Sync for Rows<'_, T> {}

impl<'a, T> Rows<'a, T> {
    /// `data` as `slots` times `rows` rows, cut into blocks of `block` rows.
    pub(crate) fn new(data: &'a mut [T], slots: usize, rows: usize, width: usize, block: usize) -> Self {
        Self::cut(data, [slots, rows, width], Cut::Size(block))
    }

    /// The same, cut into `blocks` blocks of equal size but for one row, which start where [`share`] says.
    pub(crate) fn shared(data: &'a mut [T], slots: usize, rows: usize, width: usize, blocks: usize) -> Self {
        Self::cut(data, [slots, rows, width], Cut::Number { number: blocks, turn: 0 })
    }

    /// A flat buffer in `number` equal pieces, as far as it can be divided; task `i` gets piece `i + turn`, or what
    /// that is beyond the last one, counted from the first.
    pub(crate) fn each(data: &'a mut [T], number: usize, turn: usize) -> Self {
        assert!(turn <= number, "a turn of more than once around");
        let width = data.len() / number;
        Self::cut(data, [1, number, width], Cut::Number { number, turn })
    }

    /// A flat buffer, cut at these places, in rising order; the last piece ends with the buffer.
    pub(crate) fn pieces(data: &'a mut [T], at: &'a [usize]) -> Self {
        let rows = data.len();
        assert!(at.is_sorted() && at.last().is_none_or(|&last| last <= rows), "pieces overlap");
        Self::cut(data, [1, rows, 1], Cut::At(at))
    }

    fn cut(data: &'a mut [T], [slots, rows, width]: [usize; 3], cut: Cut<'a>) -> Self {
        let parts = match cut {
            Cut::Size(parts) | Cut::Number { number: parts, .. } => parts,
            Cut::At(places) => places.len(),
        };
        assert!(parts > 0, "cut into nothing");
        assert!(slots > 0 && data.len() >= size([slots, rows, width]), "rows reach past their buffer");
        Self { start: data.as_mut_ptr(), slots, rows, width, cut, lifetime: PhantomData }
    }

    /// A flat buffer, cut into pieces of `block` elements. An absent one gives empty pieces.
    pub(crate) fn flat(data: Option<&'a mut [T]>, len: usize, block: usize) -> Self {
        match data {
            Some(data) => Self::new(data, 1, len, 1, block),
            None => Self::new(&mut [], 1, len, 0, block),
        }
    }

    fn blocks(&self) -> usize {
        self.cut.blocks(self.rows)
    }
}

/// Elements of a buffer of these sizes; more than there can be where they are too many to be counted.
fn size(sizes: [usize; 3]) -> usize {
    sizes.into_iter().fold(1, usize::saturating_mul)
}

/// The rows of one block, in every slot.
pub(crate) struct Block<'a, T> {
    /// First row of the first slot.
    start: *mut T,
    slots: usize,
    /// Elements from one slot to the next.
    stride: usize,
    /// Elements of the block in one slot.
    len: usize,
    lifetime: PhantomData<&'a mut [T]>,
}

impl<'a, T> Block<'a, T> {
    /// Its rows where there is one slot alone.
    pub(crate) fn only(self) -> &'a mut [T] {
        assert!(self.slots == 1);
        // SAFETY: as in `at_mut`; the block is given up for the slice.
        unsafe { std::slice::from_raw_parts_mut(self.start, self.len) }
    }

    /// A piece of a flat buffer as rows `[slots, rows, width]`.
    pub(crate) fn shaped(self, [slots, rows, width]: [usize; 3]) -> Self {
        let fits = slots > 0 && size([slots, rows, width]) <= self.len;
        assert!(self.slots == 1 && fits, "rows reach past their piece");
        let stride = rows * width;
        Self { slots, stride, len: stride, ..self }
    }

    /// Its rows in slot `slot`, `[rows, width]`.
    pub(crate) fn at_mut(&mut self, slot: usize) -> &mut [T] {
        assert!(slot < self.slots);
        // SAFETY: the slot exists, so its rows lie inside the buffer; the block owns them, and is borrowed for
        // as long as the slice lives.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(slot * self.stride), self.len) }
    }

    /// Its rows in slot `slot`, for reading.
    pub(crate) fn at(&self, slot: usize) -> &[T] {
        assert!(slot < self.slots);
        // SAFETY: as in `at_mut`; nobody writes while the block is borrowed.
        unsafe { std::slice::from_raw_parts(self.start.add(slot * self.stride), self.len) }
    }

    /// Its rows in `count` slots from `first` on, one after the other, for reading; all rows must be of this block.
    pub(crate) fn slots(&self, first: usize, count: usize) -> &[T] {
        assert!(first + count <= self.slots && self.len == self.stride);
        // SAFETY: as in `slots_mut` and `at`.
        unsafe { std::slice::from_raw_parts(self.start.add(first * self.stride), count * self.stride) }
    }

    /// Its rows in `count` slots from `first` on, one after the other; all rows must be of this block.
    pub(crate) fn slots_mut(&mut self, first: usize, count: usize) -> &mut [T] {
        assert!(first + count <= self.slots && self.len == self.stride);
        // SAFETY: as in `at_mut`; between the rows of one slot and those of the next is nothing.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(first * self.stride), count * self.stride) }
    }

    /// Its rows in slot `read`, and those in slot `write` for writing.
    pub(crate) fn pair(&mut self, read: usize, write: usize) -> (&[T], &mut [T]) {
        assert!(read < self.slots && write < self.slots && read != write);
        // SAFETY: as in `at_mut`; the two slots share no element.
        unsafe {
            (
                std::slice::from_raw_parts(self.start.add(read * self.stride), self.len),
                std::slice::from_raw_parts_mut(self.start.add(write * self.stride), self.len),
            )
        }
    }
}

/// Where a layer lies in a buffer: its first element, and the elements of one of its rows.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Field {
    pub(crate) start: usize,
    pub(crate) width: usize,
}

/// A buffer of fields `[slots, rows, width]`, each cut into as many blocks of rows, of equal size but for one row.
pub(crate) struct Fields<'a, T> {
    start: *mut T,
    len: usize,
    slots: usize,
    rows: usize,
    /// The only fields that may be asked for where there are several blocks.
    known: &'a [Field],
    lifetime: PhantomData<&'a mut [T]>,
}

// SAFETY: as of `Rows`.
unsafe impl<T: Send> Sync for Fields<'_, T> {}

impl<'a, T> Fields<'a, T> {
    /// `known` are its fields, one after the other; nobody has to know them where there is one block alone.
    pub(crate) fn new(data: &'a mut [T], [slots, rows]: [usize; 2], known: &'a [Field]) -> Self {
        assert!(slots > 0, "fields without a slot");
        Self { start: data.as_mut_ptr(), len: data.len(), slots, rows, known, lifetime: PhantomData }
    }

    /// Whether no two fields share an element, and none reaches past the buffer.
    fn are_apart(&self) -> bool {
        let end = self.known.iter().try_fold(0, |end, field| (field.start >= end).then(|| self.end(*field)));
        end.is_some_and(|end| end <= self.len)
    }

    fn end(&self, field: Field) -> usize {
        field.start.saturating_add(size([self.slots, self.rows, field.width]))
    }
}

/// A task's rows of all fields.
pub(crate) struct Own<'a, T> {
    fields: &'a Fields<'a, T>,
    first: usize,
    rows: usize,
    /// Whether it is the only task.
    alone: bool,
}

impl<T> Own<'_, T> {
    /// Its rows of field `l`.
    pub(crate) fn field(&mut self, l: usize, field: Field) -> Block<'_, T> {
        // SAFETY: it borrows the rows from `self`.
        unsafe { self.lend(l, field) }
    }

    /// Its rows of fields `l - 1` and `l`, which share nothing.
    pub(crate) fn pair(&mut self, l: usize, fields: [Field; 2]) -> [Block<'_, T>; 2] {
        let [below, above] = fields;
        assert!(l > 0 && self.fields.end(below) <= above.start, "fields overlap");
        // SAFETY: they borrow different rows from `self`.
        unsafe { [self.lend(l - 1, below), self.lend(l, above)] }
    }

    /// # Safety
    /// The rows are borrowed from `self`, and not lent twice.
    unsafe fn lend<'s>(&self, l: usize, field: Field) -> Block<'s, T> {
        let Fields { start, len, slots, rows, known, .. } = *self.fields;
        assert!(self.alone || known.get(l) == Some(&field), "another field than was announced");
        assert!(self.fields.end(field) <= len, "a field reaches past its buffer");
        // SAFETY: the first row lies inside the buffer. `Team::fields` made sure that fields share nothing, or that
        // no other task runs; no other task has these rows.
        let start = unsafe { start.add(field.start + self.first * field.width) };
        let [stride, len] = [rows, self.rows].map(|rows| rows * field.width);
        Block { start, slots, stride, len, lifetime: PhantomData }
    }
}

/// Elements up to which moving them takes less time than waking a thread.
const FEW: usize = 1 << 15;

impl Team {
    /// Calls `task` once for every block with the block's number and that block of each buffer.
    pub(crate) fn blocks<T: Send, const N: usize>(
        &self,
        buffers: [Rows<'_, T>; N],
        task: impl Fn(usize, [Block<'_, T>; N]) + Sync,
    ) {
        self.deal(buffers.first().map_or(0, Rows::blocks), usize::MAX, buffers, task);
    }

    /// The same for tasks that do little more than move elements, `len` in all: on this thread where they are few.
    pub(crate) fn moves<T: Send, const N: usize>(
        &self,
        len: usize,
        buffers: [Rows<'_, T>; N],
        task: impl Fn(usize, [Block<'_, T>; N]) + Sync,
    ) {
        self.deal(buffers.first().map_or(0, Rows::blocks), len, buffers, task);
    }

    /// The same as [`Self::blocks`] with rows of `fields`, too, which are cut into `number` blocks each as [`share`]
    /// says; `buffers` must be cut into as many.
    pub(crate) fn fields<T: Send, const N: usize, const M: usize>(
        &self,
        number: usize,
        fields: [Fields<'_, T>; N],
        buffers: [Rows<'_, T>; M],
        task: impl Fn(usize, [Own<'_, T>; N], [Block<'_, T>; M]) + Sync,
    ) {
        assert!(number == 1 || fields.iter().all(Fields::are_apart), "fields overlap");
        self.deal(number, usize::MAX, buffers, |i, blocks| {
            let own = std::array::from_fn(|n| {
                let fields = &fields[n];
                let [first, end] = [i, i + 1].map(|i| share(fields.rows, number, i));
                Own { fields, first, rows: end - first, alone: number == 1 }
            });
            task(i, own, blocks);
        });
    }

    /// Deals `number` blocks of each buffer out to tasks that touch `len` elements.
    fn deal<T: Send, const N: usize>(
        &self,
        number: usize,
        len: usize,
        buffers: [Rows<'_, T>; N],
        task: impl Fn(usize, [Block<'_, T>; N]) + Sync,
    ) {
        assert!(buffers.iter().all(|b| b.blocks() == number), "buffers are cut into unlike blocks");
        let task = |i: usize| {
            let parts = std::array::from_fn(|n| {
                let Rows { start, slots, rows, width, cut, .. } = buffers[n];
                let [first, end] = cut.bounds(rows, i);
                let len = (end - first) * width;
                // SAFETY: `first` is a row or the end, so the pointer stays inside the buffer (`Rows::cut` checked
                // its length). Blocks share no row, and every number comes once, so this task alone can
                // reach these rows until it ends; `buffers` borrows the memory for as long.
                let start = unsafe { start.add(first * width) };
                Block { start, slots, stride: rows * width, len, lifetime: PhantomData }
            });
            task(i, parts);
        };
        match len {
            0..=FEW => (0..number).for_each(task),
            _ => self.run(number, &task),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_cover_every_row_once() {
        let team = Team::new(3).unwrap();
        let (slots, rows, width) = (3, 7, 2);
        let mut data = vec![0u32; slots * rows * width];
        let mut firsts = vec![0u32; 3];
        team.blocks(
            [Rows::new(&mut data, slots, rows, width, 3), Rows::new(&mut firsts, 1, 3, 1, 1)],
            |i, [mut block, mut first]| {
                for slot in 0..slots {
                    for x in block.at_mut(slot) {
                        *x += 1 + (10 * i + slot) as u32;
                    }
                }
                let (read, write) = block.pair(0, 1);
                write[0] += read[0];
                first.at_mut(0)[0] = i as u32;
            },
        );
        assert_eq!(firsts, [0, 1, 2]);
        assert_eq!(&data[..14], [1, 1, 1, 1, 1, 1, 11, 11, 11, 11, 11, 11, 21, 21]);
        assert_eq!(&data[14..22], [3, 2, 2, 2, 2, 2, 23, 12]);
    }

    #[test]
    fn equal_shares_cover_every_row_once() {
        let team = Team::new(2).unwrap();
        let mut data = vec![0usize; 97];
        team.blocks([Rows::shared(&mut data, 1, 97, 1, 8)], |i, [mut block]| {
            assert!(matches!(block.at_mut(0).len(), 12 | 13));
            block.at_mut(0).iter_mut().enumerate().for_each(|(r, x)| *x += share(97, 8, i) + r);
        });
        assert!(data.into_iter().enumerate().all(|(i, x)| x == i));
    }

    #[test]
    fn pieces_and_turned_blocks_cover_everything_once() {
        let team = Team::new(2).unwrap();
        let (mut data, mut turned) = (vec![0; 10], vec![0; 6]);
        for turn in 0..=3 {
            let rows = Rows::each(&mut turned, 3, turn);
            team.blocks([Rows::pieces(&mut data, &[0, 4, 4]), rows], |i, [mut piece, mut turned]| {
                assert_eq!(piece.at_mut(0).len(), [4, 0, 6][i]);
                piece.at_mut(0).iter_mut().for_each(|x| *x += 1);
                turned.at_mut(0).iter_mut().for_each(|x| *x = i);
            });
            let first = (3 - turn % 3) % 3;
            assert_eq!([turned[0], turned[1], turned[4]], [first, first, (first + 2) % 3]);
        }
        assert_eq!(data, [4; 10]);
    }

    #[test]
    fn fields_are_lent_row_by_row() {
        let team = Team::new(2).unwrap();
        let known = [(1, 2), (14, 1)].map(|(start, width)| Field { start, width });
        let (mut data, mut firsts) = (vec![0; 21], [0; 2]);
        let firsts = [Rows::each(&mut firsts, 2, 0)];
        team.fields(2, [Fields::new(&mut data, [2, 3], &known)], firsts, |i, [mut own], _| {
            for (l, field) in known.into_iter().enumerate() {
                for slot in 0..2 {
                    own.field(l, field).at_mut(slot).iter_mut().for_each(|x| *x += 1 + i + 10 * l);
                }
            }
        });
        assert_eq!(data, [0, 1, 1, 2, 2, 2, 2, 1, 1, 2, 2, 2, 2, 0, 11, 12, 12, 11, 12, 12, 0]);
    }

    #[test]
    #[should_panic(expected = "fields overlap")]
    fn fields_that_overlap_are_refused() {
        let team = Team::new(1).unwrap();
        let at = [(0, 2), (11, 1)].map(|(start, width)| Field { start, width });
        let (mut data, mut firsts) = (vec![0; 21], [0; 2]);
        let firsts = [Rows::each(&mut firsts, 2, 0)];
        team.fields(2, [Fields::new(&mut data, [2, 3], &at)], firsts, |_, _, _| {});
    }

    #[test]
    #[should_panic(expected = "pieces overlap")]
    fn pieces_that_overlap_are_refused() {
        let _ = Rows::pieces(&mut [0; 10], &[4, 2]);
    }

    #[test]
    fn an_absent_buffer_is_empty() {
        let team = Team::new(1).unwrap();
        let mut data = [0.0; 5];
        team.blocks([Rows::flat(Some(&mut data), 5, 2), Rows::flat(None, 5, 2)], |_, [mut a, mut b]| {
            assert!(b.at_mut(0).is_empty());
            a.at_mut(0).fill(1.0);
        });
        assert_eq!(data, [1.0; 5]);
    }
}
