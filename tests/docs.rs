//! Pages that state facts of the code are generated from it, or held against it.
#![allow(clippy::disallowed_methods, missing_docs, reason = "a test reads its files")]

#[path = "docs/security_model.rs"]
mod security_model;

use std::{fs, path::Path};

/// Holds a page against what is generated; `HOOKWARD_BLESS=1` rewrites the page.
fn hold(page: &str, generated: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(page);
    if std::env::var_os("HOOKWARD_BLESS").is_some() {
        fs::write(&path, generated).expect("the page can be written");
    }
    let written = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == generated,
        "{page} is stale: run HOOKWARD_BLESS=1 cargo test --test docs"
    );
}

#[test]
fn the_security_model_states_what_the_presets_state() {
    hold("docs/security-model.md", &security_model::page());
}

#[test]
fn every_preset_has_a_row_and_no_cell_breaks_it() {
    let page = security_model::page();
    let rows: Vec<&str> = page.lines().filter(|line| line.starts_with("| `")).collect();
    let presets = hookward::provider::names().filter(|name| hookward::provider::alias_of(name).is_none());
    let names: Vec<&str> = presets.collect();
    let of_presets: Vec<&&str> = rows.iter().filter(|row| row.matches('|').count() == 7).collect();
    assert_eq!(of_presets.len(), names.len());
    for (row, name) in of_presets.iter().zip(names) {
        assert!(row.starts_with(&format!("| `{name}` |")), "{row}");
        assert!(!row.contains("|  |"), "{row}");
    }
}
