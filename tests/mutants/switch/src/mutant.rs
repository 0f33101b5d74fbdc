//! A mutant, as `cargo mutants --list --json` names it.

use serde::Deserialize;
use std::{error::Error, fs, path::Path};

/// One bug that could be planted.
#[derive(Clone, Debug, Deserialize)]
pub struct Mutant {
    /// The file, relative to the crate.
    pub file: String,
    /// What kind of change it is.
    pub genre: String,
    /// File, line, column and change: unique, and what survivors.md quotes.
    pub name: String,
    /// What stands there instead.
    pub replacement: String,
    /// The function in which it is.
    pub function: Option<Function>,
    span: Span,
}

/// Of a function only this is of interest.
#[derive(Clone, Debug, Deserialize)]
pub struct Function {
    /// `-> …`, or nothing.
    pub return_type: String,
}

#[derive(Clone, Debug, Deserialize)]
struct Span {
    start: Place,
}

/// Line and column, both from 1.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
pub struct Place {
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
}

impl Mutant {
    /// Where it begins.
    pub fn place(&self) -> Place {
        self.span.start
    }

    /// Does its function promise no more than a trait? Another value has another type then, and only a build of its own
    /// tells whether it fits.
    pub fn is_of_hidden_type(&self) -> bool {
        self.function
            .as_ref()
            .is_some_and(|function| function.return_type.contains("impl "))
    }
}

/// Reads the list.
pub fn read(path: &Path) -> Result<Vec<Mutant>, Box<dyn Error>> {
    Ok(serde_json::from_str(&fs::read_to_string(path)?)?)
}
