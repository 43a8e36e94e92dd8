//! Command lines, a word on each line: what is taken is taken the same way again, and holds no number that is none.

use lstm_cli::doors::CommandLine;
use std::cell::RefCell;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

thread_local! {
    static LINE: RefCell<CommandLine> = RefCell::default();
}

/// Reads a command line, without doing what it asks for.
pub fn check(bytes: &[u8]) -> bool {
    let mut words = vec![OsString::from("lstm")];
    words.extend(bytes.split(|byte| *byte == b'\n').map(|word| OsString::from_vec(word.to_vec())));
    let read = || LINE.with_borrow_mut(|line| line.read(&words));
    match read() {
        Ok(command) => {
            assert_eq!(read().as_ref(), Ok(&command), "the same words mean something else the second time");
            for number in ["Number(NaN", "Number(inf", "Number(-inf"] {
                assert!(!command.contains(number), "{command}");
            }
            true
        }
        Err(told) => {
            assert!(!told.trim().is_empty(), "it is refused without a word");
            false
        }
    }
}
