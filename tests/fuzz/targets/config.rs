//! The YAML loader: any file is a configuration or a list of problems that can be printed; it never panics.
#![no_main]

use hookward::config::{Fixed, load};
use libfuzzer_sys::fuzz_target;
use std::path::{Path, PathBuf};

fuzz_target!(|data: &[u8]| {
    let mut env = Fixed::default();
    env.files.insert(PathBuf::from("hookward.yaml"), data.to_vec());
    env.files.insert(PathBuf::from("secret"), b"phrase of a test\n".to_vec());
    env.variables.insert("SECRET".to_owned(), "phrase of a test".into());
    if let Err(errors) = load(Path::new("hookward.yaml"), &env) {
        assert!(!errors.to_string().is_empty());
    }
});
