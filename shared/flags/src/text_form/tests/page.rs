//! The page that people read says what is so.

use std::path::Path;

use crate::text_form::{parse, print};

#[test]
fn every_example_of_the_page_is_canonical() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/conditions.md");
    let page = std::fs::read_to_string(page).unwrap();
    let blocks = page.split("```cel\n").skip(1).filter_map(|rest| rest.split("```").next());
    let examples: Vec<&str> = blocks.flat_map(str::lines).collect();
    assert!(examples.len() >= 10, "only {} examples", examples.len());
    for example in examples {
        let parsed = parse(example).map_err(|error| error.to_string()).unwrap();
        assert_eq!(print(&parsed), example);
    }
}

#[test]
fn every_first_text_of_the_tables_of_the_page_is_understood() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/conditions.md");
    let page = std::fs::read_to_string(page).unwrap();
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    let tests: Vec<&str> = rows.filter(|text| !text.starts_with('.')).collect();
    assert!(tests.len() >= 25, "only {} rows", tests.len());
    for text in tests {
        assert!(parse(text).is_ok(), "{text}");
    }
    let error = parse("user.age >= )").unwrap_err().to_string();
    assert!(page.contains(&error), "{error}");
}
