//! Blocks of rows that tasks may write to, because no two tasks get the same row.
#![allow(unsafe_code, reason = "rows of one buffer are lent to several threads; see SAFETY in Team::blocks")]

use super::Team;
use std::marker::PhantomData;

/// A buffer `[slots, rows, width]`, cut into blocks of rows.
pub(crate) struct Rows<'a, T> {
    start: *mut T,
    slots: usize,
    rows: usize,
    width: usize,
    cut: Cut,
    lifetime: PhantomData<&'a mut [T]>,
}

#[derive(Clone, Copy)]
enum Cut {
    /// Blocks of so many rows; the last may have fewer.
    Size(usize),
    /// So many blocks, of equal size but for one row.
    Number(usize),
}

impl Cut {
    fn blocks(self, rows: usize) -> usize {
        match self {
            Self::Size(size) => rows.div_ceil(size),
            Self::Number(number) => number,
        }
    }

    /// First row of block `i`; for the number of blocks, the end.
    fn first(self, rows: usize, i: usize) -> usize {
        match self {
            Self::Size(size) => rows.min(i * size),
            Self::Number(number) => share(rows, number, i),
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
        Self::cut(data, [slots, rows, width], Cut::Number(blocks))
    }

    fn cut(data: &'a mut [T], [slots, rows, width]: [usize; 3], cut: Cut) -> Self {
        let (Cut::Size(parts) | Cut::Number(parts)) = cut;
        assert!(parts > 0 && data.len() >= slots * rows * width, "rows reach past their buffer");
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

impl<T> Block<'_, T> {
    /// Its rows in slot `slot`, `[rows, width]`.
    pub(crate) fn at_mut(&mut self, slot: usize) -> &mut [T] {
        assert!(slot < self.slots);
        // SAFETY: the slot exists, so its rows lie inside the buffer; the block owns them, and is borrowed for
        // as long as the slice lives.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(slot * self.stride), self.len) }
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

impl Team {
    /// Calls `task` once for every block with the block's number and that block of each buffer.
    pub(crate) fn blocks<T: Send, const N: usize>(
        &self,
        buffers: [Rows<'_, T>; N],
        task: impl Fn(usize, [Block<'_, T>; N]) + Sync,
    ) {
        let blocks = buffers.first().map_or(0, Rows::blocks);
        assert!(buffers.iter().all(|b| b.blocks() == blocks), "buffers are cut into unlike blocks");
        self.run(blocks, &|i| {
            let parts = std::array::from_fn(|n| {
                let Rows { start, slots, rows, width, cut, .. } = buffers[n];
                let first = cut.first(rows, i);
                let len = (cut.first(rows, i + 1) - first) * width;
                // SAFETY: `first` is a row or the end, so the pointer stays inside the buffer (`Rows::new` checked
                // its length). Blocks share no row, and every number comes once, so this task alone can
                // reach these rows until it ends; `buffers` borrows the memory for as long.
                let start = unsafe { start.add(first * width) };
                Block { start, slots, stride: rows * width, len, lifetime: PhantomData }
            });
            task(i, parts);
        });
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
