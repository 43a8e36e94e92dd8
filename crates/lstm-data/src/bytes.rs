//! From a path or a reader to bytes and text in memory, refusing early what cannot be CSV.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::error::{Error, Place, Result};

/// How much is looked at before the rest is read, so that an endless binary stream ends at once.
const FIRST: u64 = 64 * 1024;

/// Opens a file.
pub(crate) fn open(path: &Path, name: &str) -> Result<File> {
    if path.is_dir() {
        return Err(Error::Folder { at: Place::file(name) });
    }
    File::open(path).map_err(|reason| Error::Io { at: Place::file(name), reason })
}

/// Reads a whole stream that may hold a table.
pub(crate) fn read(mut reader: impl Read, name: &str, limit: u64) -> Result<Vec<u8>> {
    let io = |reason| Error::Io { at: Place::file(name), reason };
    let mut bytes = Vec::new();
    reader.by_ref().take(FIRST).read_to_end(&mut bytes).map_err(io)?;
    refuse_foreign(&bytes, name)?;
    reader.take((limit + 1).saturating_sub(bytes.len() as u64)).read_to_end(&mut bytes).map_err(io)?;
    if bytes.len() as u64 > limit {
        return Err(Error::TooLarge { at: Place::file(name), limit });
    }
    Ok(bytes)
}

/// UTF-8 text without a byte order mark.
pub(crate) fn text(mut bytes: Vec<u8>, name: &str) -> Result<String> {
    if bytes.starts_with(b"\xef\xbb\xbf") {
        bytes.drain(..3);
    }
    if let Some(at) = bytes.iter().position(|b| *b == 0) {
        return Err(Error::Nul { at: Place::file(name).line(line_at(&bytes, at)) });
    }
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let bytes = error.as_bytes();
        Error::NotUtf8 { at: Place::file(name).line(line_at(bytes, at)), byte: bytes[at] }
    })
}

/// The line, from 1, on which the byte at `at` stands.
fn line_at(bytes: &[u8], at: usize) -> u64 {
    1 + line_ends(&bytes[..at])
}

/// Line ends in `bytes`, whichever convention they follow.
pub(crate) fn line_ends(bytes: &[u8]) -> u64 {
    let mut count = 0;
    let mut previous = 0;
    for byte in bytes {
        count += u64::from(*byte == b'\r' || (*byte == b'\n' && previous != b'\r'));
        previous = *byte;
    }
    count
}

/// Recognises what people pass by mistake, from its first bytes.
fn refuse_foreign(first: &[u8], name: &str) -> Result<()> {
    #[cfg(feature = "parquet")]
    if first.starts_with(crate::parquet::MAGIC) {
        return Ok(());
    }
    const UNPACK: &str = "unpack it first";
    const EXPORT: &str = "export it as CSV first";
    const UTF8: &str = "save it as UTF-8";
    const FEATURE: &str = "install lstm with --features parquet, or export it as CSV first";
    let known: [(&[u8], &str, &str); 9] = [
        (b"\x1f\x8b", "gzip data", UNPACK),
        (b"\x28\xb5\x2f\xfd", "zstd data", UNPACK),
        (b"\xfd7zXZ\0", "xz data", UNPACK),
        (b"BZh", "bzip2 data", UNPACK),
        (b"PK\x03\x04", "a ZIP archive or a spreadsheet", EXPORT),
        (b"\xd0\xcf\x11\xe0", "an old spreadsheet or document", EXPORT),
        (b"PAR1", "Parquet data", FEATURE),
        (b"\xff\xfe", "UTF-16 text", UTF8),
        (b"\xfe\xff", "UTF-16 text", UTF8),
    ];
    for (magic, format, remedy) in known {
        if first.starts_with(magic) {
            return Err(Error::NotCsv { at: Place::file(name), format, remedy });
        }
    }
    let text = first.strip_prefix(b"\xef\xbb\xbf").unwrap_or(first).trim_ascii_start();
    let markup: [(&[u8], &str); 6] = [
        (b"<!", "a web page"),
        (b"<html", "a web page"),
        (b"<?xml", "XML"),
        (b"<table", "a web page"),
        (b"{\"", "JSON"),
        (b"%PDF", "a PDF document"),
    ];
    let json = text.starts_with(b"[") && text[1..].trim_ascii_start().starts_with(b"{");
    let found = markup.iter().find(|(start, _)| text.starts_with(start)).map(|(_, format)| *format);
    if let Some(format) = found.or(json.then_some("JSON")) {
        return Err(Error::NotCsv { at: Place::file(name), format, remedy: EXPORT });
    }
    match first.iter().position(|b| *b == 0) {
        Some(at) => Err(Error::Nul { at: Place::file(name).line(line_at(first, at)) }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(bytes: &[u8]) -> String {
        read(bytes, "a.csv", 1000).and_then(|bytes| text(bytes, "a.csv")).unwrap_err().to_string()
    }

    #[test]
    fn foreign_bytes_are_named() {
        assert!(message(b"\x1f\x8b\x08\0").contains("gzip"));
        assert!(message(b"\xff\xfea\0").contains("UTF-16"));
        assert!(message(b"PK\x03\x04").contains("spreadsheet"));
        assert!(message(b"\xef\xbb\xbf\n<!DOCTYPE html>").contains("holds a web page, not CSV text"));
        assert!(message(b"{\"a\": 1}\n").contains("JSON"));
        assert!(message(b"[\n {\"a\": 1}]").contains("JSON"));
        assert!(read(&b"[a],[b]"[..], "a", 100).is_ok());
        assert_eq!(
            message(b"a,b\n1,\0\n"),
            "a.csv, line 2: a NUL byte, so this is not CSV text; export the file again as UTF-8 text"
        );
        assert!(message(b"a\r\nb\r\nc\xe9").starts_with("a.csv, line 3: byte 0xe9 is not UTF-8"));
    }

    #[test]
    fn an_endless_binary_stream_ends_at_once_and_long_text_at_the_limit() {
        assert!(matches!(read(std::io::repeat(0), "z", u64::MAX - 1), Err(Error::Nul { .. })));
        assert!(matches!(
            read(std::io::repeat(b'a'), "z", 100_000),
            Err(Error::TooLarge { limit: 100_000, .. })
        ));
    }

    #[test]
    fn the_byte_order_mark_goes() {
        assert_eq!(text(b"\xef\xbb\xbfa,b".to_vec(), "a").unwrap(), "a,b");
    }
}
