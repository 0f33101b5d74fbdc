//! Patterns of the configuration: globs over event names, and the paths of a source.

/// A glob over event names: `*` matches any text, dots too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glob(String);

impl Glob {
    /// Takes the pattern as written; every text is a pattern.
    pub fn new(pattern: impl Into<String>) -> Self {
        Self(pattern.into())
    }

    /// The pattern as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Does the whole text match? Linear in `text` times the number of stars, without recursion.
    pub fn matches(&self, text: &str) -> bool {
        let mut parts = self.0.split('*');
        let first = parts.next().unwrap_or("");
        let Some(mut rest) = text.strip_prefix(first) else {
            return false;
        };
        let Some(last) = parts.next_back() else {
            return rest.is_empty();
        };
        for part in parts {
            let Some(at) = rest.find(part) else { return false };
            rest = &rest[at + part.len()..];
        }
        rest.ends_with(last)
    }
}

/// A path of a source.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum PathRule {
    /// This path and no other.
    Exact(String),
    /// `/hooks/*`: everything below this prefix, which ends in `/`.
    Below(String),
}

impl PathRule {
    /// What enters the ledger key: the exact path; nothing for a prefix.
    pub fn key_path(&self) -> &str {
        match self {
            Self::Exact(path) => path,
            Self::Below(_) => "",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Glob;

    #[test]
    fn a_star_matches_any_text_dots_too() {
        for (pattern, text, expected) in [
            ("invoice.*", "invoice.paid", true),
            ("invoice.*", "invoice.payment.failed", true),
            ("invoice.*", "invoice.", true),
            ("invoice.*", "invoice", false),
            ("*", "", true),
            ("*.paid", "invoice.paid", true),
            ("*.paid", "invoice.paid.later", false),
            ("a*b*c", "a.b.b.c", true),
            ("a*b*c", "acb", false),
            ("aa*aa", "aaa", false),
            ("push", "push", true),
            ("push", "push.x", false),
        ] {
            assert_eq!(Glob::new(pattern).matches(text), expected, "{pattern} on {text}");
        }
    }
}
