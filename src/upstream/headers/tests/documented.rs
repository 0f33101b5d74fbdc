//! `docs/headers.md` against the code: every header that is set stands there, and no other.

use super::*;
use std::collections::BTreeSet;

const PAGE: &str = include_str!("../../../../docs/headers.md");

/// The names in the first cells of the table under this heading, in lower case.
fn named(heading: &str) -> BTreeSet<String> {
    let (_, section) = PAGE.split_once(heading).expect("the heading");
    let section = section.split_once("\n## ").map_or(section, |(section, _)| section);
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    let cells = rows.filter_map(|row| row.split('|').nth(1));
    let names = cells.flat_map(|cell| cell.split('`').skip(1).step_by(2));
    names.map(str::to_ascii_lowercase).collect()
}

fn signing() -> DestinationSpec {
    DestinationSpec {
        sign: Some(Secret::new(b"a secret of the destination".to_vec())),
        ..other()
    }
}

/// Everything that can be said of a delivery is said of this one.
fn full(passage: &mut Passage<'_>) {
    (passage.local_ledger, passage.redelivery, passage.duplicate) = (true, true, true);
    passage.repeat = Some("true");
}

#[test]
fn every_header_that_is_set_stands_in_the_table_and_no_other() {
    let head = request("POST", "/hooks", &[]);
    let sent = composed(&head, "body", &signing(), full);
    let stated: BTreeSet<String> = sent.headers.keys().map(|name| name.as_str().to_owned()).collect();
    assert_eq!(stated, named("## Set by hookward"));
}

#[test]
fn a_sender_cannot_bring_a_header_that_hookward_sets() {
    for name in named("## Set by hookward") {
        if matches!(name.as_str(), "host" | "content-length") {
            continue;
        }
        let line = format!("{name}: made up");
        let head = request("POST", "/hooks", &[&line]);
        let sent = composed(&head, "body", &signing(), full);
        let found = values(&sent, &name);
        assert!(found.len() == 1 && found[0] != b"made up", "{name}: {found:?}");
        // And where hookward has nothing to say, nothing stands.
        let sent = composed(&head, "body", &signing(), |_| ());
        assert!(!values(&sent, &name).contains(&&b"made up"[..]), "{name}");
    }
}

#[test]
fn every_header_that_the_page_calls_removed_is_removed() {
    let removed = named("## Removed");
    assert!(removed.len() > 12, "{removed:?}");
    for name in removed {
        let line = format!("{name}: made up");
        let head = request("POST", "/hooks", &[&line]);
        let sent = composed(&head, "body", &other(), |_| ());
        assert!(values(&sent, &name).is_empty(), "{name}");
    }
}
