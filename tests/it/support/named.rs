//! The tests of the house by their names: whoever refers to one sees to it that it exists.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// The name of every test there is.
pub fn tests() -> BTreeSet<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut tests = BTreeSet::new();
    for folder in ["src", "tests"] {
        collect(&root.join(folder), &mut tests);
    }
    assert!(tests.len() > 200, "only {} tests found", tests.len());
    tests
}

/// The names of all functions under a folder that bear a test attribute.
fn collect(folder: &Path, tests: &mut BTreeSet<String>) {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    for entry in entries {
        let path: PathBuf = entry.expect("a folder can be listed").path();
        if path.is_dir() {
            collect(&path, tests);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).expect("a source is text");
            let mut is_test = false;
            for line in text.lines().map(str::trim) {
                let name = line.strip_prefix("async ").unwrap_or(line).strip_prefix("fn ");
                match name.and_then(|rest| rest.split_once('(')) {
                    Some((name, _)) if is_test => {
                        tests.insert(name.to_owned());
                        is_test = false;
                    }
                    Some(_) => is_test = false,
                    None => is_test |= line.starts_with("#[test]") || line.starts_with("#[tokio::test"),
                }
            }
        }
    }
}
