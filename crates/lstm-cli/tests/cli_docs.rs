//! docs/cli.md says what the program says.

mod common;

use common::Place;

#[test]
fn the_page_is_up_to_date() {
    let page = Place::new().lstm("markdown-help").fine().out;
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/cli.md");
    let committed = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        page == committed,
        "docs/cli.md is out of date: cargo run -p lstm-cli -- markdown-help > docs/cli.md"
    );
}
