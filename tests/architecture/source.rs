//! Rust sources as the house rules see them: code without comments, texts and tests.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

/// One file below `src`.
pub struct Source {
    /// Relative to `src`.
    pub path: String,
    /// As it stands.
    pub text: String,
    /// With comments and texts blanked and tests cut out; lines that are not in tests keep their order.
    pub code: String,
    test_lines: usize,
}

/// The repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

/// Every file below `dir`, relative to the repository; what git ignores or keeps for itself apart.
pub fn files(dir: &str) -> Vec<String> {
    fn walk(dir: &Path, out: &mut Vec<String>) {
        let Ok(entries) = std::fs::read_dir(dir) else { return };
        for entry in entries {
            let path = entry.expect("an entry").path();
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            if matches!(&*name, ".git" | "target" | "node_modules" | "__pycache__") {
                continue;
            }
            if path.is_dir() {
                walk(&path, out);
            } else {
                let relative = path.strip_prefix(root()).expect("below the repository");
                out.push(relative.to_str().expect("a plain name").to_owned());
            }
        }
    }
    let mut out = Vec::new();
    let dir = if dir == "." { root() } else { root().join(dir) };
    walk(&dir, &mut out);
    out.sort();
    out
}

impl Source {
    /// `path` is relative to the repository.
    pub fn read(path: &str) -> Self {
        let text = std::fs::read_to_string(root().join(path)).expect("a source file");
        Self::parse(path.strip_prefix("src/").expect("below src"), &text)
    }

    /// `path` is relative to `src`.
    pub fn parse(path: &str, text: &str) -> Self {
        let blanked = blank(text);
        let is_test = path.ends_with("/tests.rs") || path.contains("/tests/");
        let (code, test_lines) = if is_test {
            (String::new(), text.lines().count())
        } else {
            cut_tests(&blanked)
        };
        Self {
            path: path.to_owned(),
            text: text.to_owned(),
            code,
            test_lines,
        }
    }

    /// The top-level module that this file belongs to.
    pub fn module(&self) -> String {
        self.path.split(['/', '.']).next().unwrap_or("").to_owned()
    }

    /// How long it is, comments counted and tests not.
    pub fn lines_without_tests(&self) -> usize {
        self.text.lines().count() - self.test_lines
    }

    /// The top-level modules that its code names by `crate::`, by as many `super::` as lead to the root, or (the binary)
    /// by the crate's own name.
    pub fn imports(&self) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        let depth = self.path.trim_end_matches(".rs").split('/').count();
        let to_the_root = "super::".repeat(depth);
        for prefix in ["crate::", "hookward::", &to_the_root] {
            for (at, _) in self.code.match_indices(prefix) {
                let before = self.code[..at].chars().next_back();
                let inside_a_word = before.is_some_and(|c| c.is_alphanumeric() || c == '_');
                // A longer chain of `super` is seen at its end.
                let longer = prefix == to_the_root && self.code[at + prefix.len()..].starts_with("super::");
                if !inside_a_word && !longer {
                    found.extend(first_segments(&self.code[at + prefix.len()..]));
                }
            }
        }
        let mut words = self.code.split_whitespace();
        while let Some(word) = words.next() {
            if word == "crate" && words.clone().next() == Some("as") {
                found.insert("crate itself".to_owned());
            }
        }
        found
    }
}

/// The first segments of a use tree: `a::b` -> a; `{a::b, c, d::{e}}` -> a, c, d.
fn first_segments(tree: &str) -> Vec<String> {
    let segment = |text: &str| -> String {
        let text = text.trim();
        if text.starts_with('*') {
            return "*".to_owned();
        }
        text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
    };
    let Some(group) = tree.strip_prefix('{') else {
        return vec![segment(tree)];
    };
    let (mut depth, mut top) = (0, String::new());
    for c in group.chars() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            c if depth == 0 => top.push(c),
            _ => {}
        }
    }
    top.split(',').map(segment).filter(|name| !name.is_empty()).collect()
}

/// Blanks comments and the insides of texts, so that what remains is code. Line ends stay.
fn blank(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let previous_is_word = out.chars().next_back().is_some_and(|c| c.is_alphanumeric() || c == '_');
        let taken = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |at| at + 2)
        } else if !previous_is_word && let Some(taken) = raw_text(rest) {
            taken
        } else if c == '"' {
            quoted(rest)
        } else if c == '\''
            && let Some(taken) = character(rest)
        {
            taken
        } else {
            out.push(c);
            rest = &rest[c.len_utf8()..];
            continue;
        };
        // A text leaves its quotes, so that `expect()` without words can be told from `expect("words")`.
        let is_text = !rest.starts_with('/');
        let filled = rest[..taken].chars().map(|c| if c == '\n' { '\n' } else { ' ' });
        if is_text {
            out.push('"');
            out.extend(filled.skip(2));
            out.push('"');
        } else {
            out.extend(filled);
        }
        rest = &rest[taken..];
    }
    out
}

/// Length of the raw text (`r"…"`, `br#"…"#`) that begins here.
fn raw_text(rest: &str) -> Option<usize> {
    let body = rest.strip_prefix('b').unwrap_or(rest).strip_prefix('r')?;
    let hashes = body.chars().take_while(|c| *c == '#').count();
    let inside = body[hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    let at = inside.find(&end).unwrap_or(inside.len() - end.len().min(inside.len()));
    Some(rest.len() - inside.len() + at + end.len())
}

/// Length of the text that begins here with its quote.
fn quoted(rest: &str) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

/// Length of the character that begins here with its quote; `None` for a lifetime.
fn character(rest: &str) -> Option<usize> {
    let inside = &rest[1..];
    if let Some(escape) = inside.strip_prefix('\\') {
        let after = escape.chars().next()?.len_utf8();
        return escape[after..].find('\'').map(|at| 1 + 1 + after + at + 1);
    }
    let c = inside.chars().next()?;
    inside[c.len_utf8()..].starts_with('\'').then_some(1 + c.len_utf8() + 1)
}

/// Cuts every item behind `#[cfg(test)]`: to its closing brace, or to a semicolon that comes first. Gives what is left and
/// the number of lines that were cut.
fn cut_tests(code: &str) -> (String, usize) {
    const MARK: &str = "#[cfg(test)]";
    let (mut out, mut cut, mut rest) = (String::new(), 0, code);
    while let Some(at) = rest.find(MARK) {
        out.push_str(&rest[..at]);
        let item = &rest[at..];
        let mut depth = 0;
        let end = item.char_indices().find(|(_, c)| {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                _ => {}
            }
            depth == 0 && matches!(c, '}' | ';')
        });
        let end = end.map_or(item.len(), |(at, c)| at + c.len_utf8());
        cut += item[..end].lines().count();
        rest = &item[end..];
    }
    out.push_str(rest);
    (out, cut)
}
