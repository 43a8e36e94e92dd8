//! The memory that damaged files take: no more than whole ones of their size could need, whatever they claim to hold.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "a test fails by panicking")]
#![allow(
    clippy::expect_used,
    unreachable_pub,
    reason = "the fuzzers' library offers these checks to its targets"
)]

#[path = "../../fuzz/src/checkpoint.rs"]
mod checkpoint;
#[path = "../../fuzz/src/model.rs"]
mod model;
#[path = "../../fuzz/src/sealed.rs"]
mod sealed;

use lstm_testkit::alloc::Counting;
use std::fs;
use std::path::Path;

#[global_allocator]
static ALLOCATOR: Counting = Counting::new();

/// Bytes that a file of at most 4 KiB may take.
const MOST: usize = 64 << 20;

/// The file cut short, with flipped bits, and with each number of its header replaced by large ones; readers see each under a
/// digest that is right.
fn damaged(whole: &[u8]) -> Vec<Vec<u8>> {
    let cut = (0..whole.len()).step_by(17).map(|len| whole[..len].to_vec());
    let flipped = (0..8 * whole.len()).step_by(101).map(|bit| {
        let mut bytes = whole.to_vec();
        bytes[bit / 8] ^= 1 << (bit % 8);
        bytes
    });
    let (length, rest) = whole.split_at(8);
    let length = usize::try_from(u64::from_le_bytes(length.try_into().unwrap())).unwrap();
    let (header, data) = rest.split_at(length);
    let begins = |at: &usize| header[*at].is_ascii_digit() && !header[at - 1].is_ascii_alphanumeric();
    let numbers = (1..header.len()).filter(begins);
    let claims = numbers.flat_map(|at| {
        let digits = header[at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        ["100000", "4294967296", "4611686018427387904"].map(|claim| {
            let header = [&header[..at], claim.as_bytes(), &header[at + digits..]].concat();
            [&(header.len() as u64).to_le_bytes()[..], &header, data].concat()
        })
    });
    cut.chain(flipped).chain(claims).collect()
}

#[test]
fn damaged_files_take_little_memory() {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/seeds");
    type Check = fn(&[u8]) -> bool;
    let readers: [(&str, Check); 2] = [("model", model::check), ("checkpoint", checkpoint::check)];
    for (kind, check) in readers {
        let (mut files, mut most) = (0, 0);
        for seed in fs::read_dir(seeds.join(kind)).unwrap() {
            let whole = fs::read(seed.unwrap().path()).unwrap();
            assert!(whole.len() <= 4096 && check(&whole));
            for bytes in damaged(&whole) {
                let (_, taken) = ALLOCATOR.most_during(|| check(&bytes));
                assert!(taken <= MOST, "{kind}: {taken} bytes for {:?}", String::from_utf8_lossy(&bytes));
                (files, most) = (files + 1, most.max(taken));
            }
        }
        assert!(most > 1000, "nothing was counted");
        println!("{kind}: {files} files, {most} bytes at most");
    }
}
