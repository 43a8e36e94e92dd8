//! The second reader of CSV text, which tests and the fuzzer hold the first one against.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

/// CSV text by the letter of RFC 4180, character by character: rows of trimmed fields, rows that are blank left out.
pub(crate) fn second_reader(text: &str, delimiter: char) -> Vec<Vec<String>> {
    let mut rows = vec![vec![String::new()]];
    let (mut quoted, mut characters) = (false, text.chars().peekable());
    while let Some(c) = characters.next() {
        let row = rows.last_mut().unwrap();
        let field = row.last_mut().unwrap();
        match c {
            '"' if quoted && characters.peek() == Some(&'"') => {
                characters.next();
                field.push('"');
            }
            '"' => quoted = !quoted,
            _ if quoted => field.push(c),
            _ if c == delimiter => row.push(String::new()),
            '\r' | '\n' => {
                if c == '\r' && characters.peek() == Some(&'\n') {
                    characters.next();
                }
                rows.push(vec![String::new()]);
            }
            _ => field.push(c),
        }
    }
    rows.retain(|row| row.len() > 1 || row.iter().any(|field| !field.is_empty()));
    rows.iter_mut().flatten().for_each(|field| *field = field.trim().to_owned());
    rows
}
