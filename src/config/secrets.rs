//! Secrets: read from files, variables or the configuration itself, and refused when they cannot be meant.

use super::{
    problem::{Fault, excerpt},
    raw::{self, Encoding, OnMissing},
    read::Reader,
    settings::Origin,
    spot::Spot,
    text::Span,
    value,
};
use crate::{event::Secret, provider};
use std::path::Path;

/// Larger than any key set; a pipe or device that never ends stops here.
const MAX_BYTES: u64 = 1 << 20;
/// Below, anybody guesses it.
const SHORTEST: usize = 8;
/// Below, a determined one does.
const SHORT: usize = 16;

/// A secret as it was read.
pub(super) struct Held {
    pub secret: Secret,
    pub encoding: provider::Encoding,
    pub allow_short: bool,
    pub id: Option<String>,
    pub not_after: Option<i64>,
    pub origin: Origin,
}

/// What became of one.
pub(super) enum Fetched {
    Held(Box<Held>),
    /// It cannot be read now, at a reload: this is what it was before. Why, for operators.
    Kept(Box<Held>, String),
    /// It cannot be read now, and `on_missing_secret: unavailable` allows for that. Why, to be reported as a warning there.
    Missing(Fault, Span),
    /// A problem was reported.
    Refused,
}

impl Reader<'_> {
    /// Reads one secret. `whose` names it in messages ("source `stripe`").
    pub fn secret(&self, raw: Option<&raw::Secret>, spot: Spot<'_>, whose: &str, missing: OnMissing) -> Fetched {
        self.secret_or_held(raw, spot, whose, missing, |_| None)
    }

    /// The same; `held` gives what was read before from a place that cannot be read now.
    pub fn secret_or_held(
        &self,
        raw: Option<&raw::Secret>,
        spot: Spot<'_>,
        whose: &str,
        missing: OnMissing,
        held: impl Fn(&Origin) -> Option<Secret>,
    ) -> Fetched {
        let Some(raw) = raw else { return Fetched::Refused };
        let not_after = self.parsed(raw.not_after.as_deref(), spot.at("not_after"), value::time);
        let id = raw
            .id
            .as_deref()
            .filter(|id| self.is_label(id, spot.at("id")))
            .map(str::to_owned);
        let written = ["file", "env", "value"].iter().filter(|key| spot.has(key)).count();
        if written != 1 {
            let found = if written == 0 { "none" } else { "several" };
            self.problems.error(
                spot.label(),
                Fault::new(format!(
                    "a secret is exactly one of `file`, `env` and `value`, found {found} of them"
                ))
                .hint("write `{file: PATH}` or `{env: NAME}`"),
            );
            return Fetched::Refused;
        }
        let (read, at, origin) = if let Some(file) = &raw.file {
            let read = self.secret_file(file, spot.at("file"), whose);
            (read, spot.at("file"), Origin::File(file.to_string()))
        } else if let Some(name) = &raw.env {
            let read = self.secret_variable(name);
            (read, spot.at("env"), Origin::Variable(name.to_string()))
        } else if let Some(text) = &raw.value {
            self.problems.warn(
                spot.at("value").label(),
                Fault::new(format!("a secret of {whose} is written into this file"))
                    .hint("fine for a trial; use `file` or `env` in production"),
            );
            (Ok(text.as_bytes().to_vec()), spot.at("value"), Origin::Inline)
        } else {
            return Fetched::Refused;
        };
        let allow_short = raw.allow_short.unwrap_or(false);
        let (secret, reason) = match (read, held(&origin)) {
            (Ok(bytes), _) if self.is_meant(&bytes, raw.encoding, allow_short, whose, at) => (Secret::new(bytes), None),
            (Ok(_), _) => return Fetched::Refused,
            (Err(fault), Some(secret)) => (secret, Some(fault.message)),
            (Err(fault), None) if missing == OnMissing::Unavailable => return Fetched::Missing(fault, at.value()),
            (Err(fault), None) => {
                self.problems.unreadable(at.value(), fault);
                return Fetched::Refused;
            }
        };
        let encoding = match raw.encoding {
            None => provider::Encoding::Preset,
            Some(Encoding::Utf8) => provider::Encoding::Utf8,
            Some(Encoding::Base64) => provider::Encoding::Base64,
            Some(Encoding::Hex) => provider::Encoding::Hex,
        };
        let held = Box::new(Held {
            secret,
            encoding,
            allow_short,
            id,
            not_after,
            origin,
        });
        match reason {
            None => Fetched::Held(held),
            Some(reason) => Fetched::Kept(held, reason),
        }
    }

    /// A file that a rotation never reaches.
    pub fn warn_if_mounted_alone(&self, path: &Path, file: &str, spot: Spot<'_>) {
        if super::environment::is_mounted_alone(self.env, path) {
            self.problems.warn(
                spot.value(),
                Fault::new(format!(
                    "`{}` is mounted by itself (`subPath`): Kubernetes never updates it",
                    excerpt(file)
                ))
                .hint("mount the whole Secret as a directory, so that a rotation arrives"),
            );
        }
    }

    fn secret_file(&self, file: &str, spot: Spot<'_>, whose: &str) -> Result<Vec<u8>, Fault> {
        let path = self.base.join(file);
        self.files.borrow_mut().insert(path.clone());
        let mut bytes = self
            .env
            .read(&path, MAX_BYTES)
            .map_err(|error| unreadable(&path, &error))?;
        self.warn_if_mounted_alone(&path, file, spot);
        let newline = if bytes.ends_with(b"\r\n") {
            2
        } else {
            usize::from(bytes.ends_with(b"\n"))
        };
        if newline > 0 {
            bytes.truncate(bytes.len() - newline);
            self.problems.note(
                spot.value(),
                Fault::new(format!(
                    "`{}` ends with a newline, which is not taken for a part of the secret of {whose}",
                    excerpt(file)
                )),
            );
        }
        Ok(bytes)
    }

    fn secret_variable(&self, name: &str) -> Result<Vec<u8>, Fault> {
        let text = self.env.variable(name).ok_or_else(|| {
            Fault::new(format!("the environment variable `{}` is not set", excerpt(name)))
                .hint("set it, or name a `file`")
        })?;
        text.into_string()
            .map(String::into_bytes)
            .map_err(|_| Fault::new(format!("the environment variable `{}` is not UTF-8", excerpt(name))))
    }

    /// Reports what nobody means as a secret.
    fn is_meant(
        &self,
        bytes: &[u8],
        encoding: Option<Encoding>,
        allow_short: bool,
        whose: &str,
        spot: Spot<'_>,
    ) -> bool {
        let refuse = |fault: Fault| {
            self.problems.error(spot.value(), fault);
            false
        };
        if bytes.is_empty() {
            return refuse(Fault::new(format!("a secret of {whose} is empty")));
        }
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return refuse(Fault::new(format!("a secret of {whose} is blank")));
        }
        if is_unexpanded(bytes) {
            return refuse(
                Fault::new(format!("a secret of {whose} is a variable that was not expanded"))
                    .hint("whatever writes it must replace `${…}`; hookward itself reads a variable by `{env: NAME}`"),
            );
        }
        let strength = match encoding {
            Some(Encoding::Hex) => bytes.len() / 2,
            Some(Encoding::Base64) => bytes.iter().filter(|byte| **byte != b'=').count() * 3 / 4,
            Some(Encoding::Utf8) | None => bytes.len(),
        };
        if strength < SHORTEST && !allow_short {
            return refuse(
                Fault::new(format!("a secret of {whose} is shorter than {SHORTEST} bytes"))
                    .hint("take a longer one, or add `allow_short: true` if the sender allows no other"),
            );
        }
        if strength < SHORT {
            self.problems.warn(
                spot.value(),
                Fault::new(format!("a secret of {whose} is shorter than {SHORT} bytes"))
                    .hint("take a longer one where the sender allows it"),
            );
        }
        if let Some((what, hint)) = doubt(bytes) {
            self.problems.warn(
                spot.value(),
                Fault::new(format!("a secret of {whose} {what}")).hint(hint),
            );
        }
        true
    }

    /// A label of a metric: short and printable.
    pub fn is_label(&self, text: &str, spot: Spot<'_>) -> bool {
        let fits = (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
        if !fits {
            self.problems.error(
                spot.value(),
                Fault::new(format!(
                    "`{}` must be 1 to 64 printable ASCII characters without spaces",
                    excerpt(text)
                )),
            );
        }
        fits
    }
}

fn unreadable(path: &Path, error: &std::io::Error) -> Fault {
    let path = path.display();
    match error.kind() {
        std::io::ErrorKind::NotFound => {
            Fault::new(format!("the secret file `{path}` does not exist")).hint("is the Secret mounted there?")
        }
        std::io::ErrorKind::PermissionDenied => Fault::new(format!("the secret file `{path}` may not be read"))
            .hint("in Kubernetes: `defaultMode: 0440` with an `fsGroup`"),
        _ => Fault::new(format!("the secret file `{path}` cannot be read: {error}")),
    }
}

/// What a secret holds that probably does not belong to it, and what to do about that.
fn doubt(bytes: &[u8]) -> Option<(&'static str, &'static str)> {
    let is_quoted = |mark: u8| matches!(bytes, [first, .., last] if *first == mark && *last == mark);
    if bytes.starts_with(b"\xef\xbb\xbf") {
        Some((
            "begins with a byte order mark, which is taken for a part of it",
            "save the file as UTF-8 without a byte order mark",
        ))
    } else if is_quoted(b'"') || is_quoted(b'\'') {
        Some((
            "stands in quotes, which are taken for a part of it",
            "take the quotes out, unless the sender has them in its key too",
        ))
    } else if is_assignment(bytes) {
        Some((
            "has the form `NAME=value`, all of which is taken for the secret",
            "leave only the value in the file, unless the sender has the name in its key too",
        ))
    } else {
        None
    }
}

/// `NAME=value` or `export NAME=value`; the padding of base64 is not a value.
fn is_assignment(bytes: &[u8]) -> bool {
    let line = bytes.strip_prefix(b"export ").unwrap_or(bytes);
    let Some(equals) = line.iter().position(|byte| *byte == b'=') else {
        return false;
    };
    let (name, value) = (&line[..equals], &line[equals + 1..]);
    let is_name = name.len() >= 3
        && !name[0].is_ascii_digit()
        && name.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
    is_name && value.iter().any(|byte| *byte != b'=')
}

/// `${NAME}` anywhere, or the whole text `$(NAME)`.
fn is_unexpanded(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return false;
    };
    let name = |text: &str| {
        let name = text.split([':', '-']).next().unwrap_or("");
        !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
    };
    let braces = text.match_indices("${").any(|(at, _)| {
        let rest = &text[at + 2..];
        rest.find('}').is_some_and(|end| name(&rest[..end]))
    });
    braces
        || text
            .trim()
            .strip_prefix("$(")
            .and_then(|rest| rest.strip_suffix(')'))
            .is_some_and(name)
}

#[cfg(test)]
mod tests {
    use super::{doubt, is_unexpanded};

    #[test]
    fn what_probably_does_not_belong_to_a_secret_is_seen() {
        for (text, part) in [
            ("\"quoted-secret\"", "quotes"),
            ("'quoted-secret'", "quotes"),
            ("\u{feff}secret-of-some-length", "byte order mark"),
            ("SECRET=of-some-length", "NAME=value"),
            ("export STRIPE_SECRET=whsec_abc", "NAME=value"),
            ("secret=\"of-some-length\"", "NAME=value"),
        ] {
            let (what, _) = doubt(text.as_bytes()).unwrap_or_else(|| panic!("{text}"));
            assert!(what.contains(part), "{text}: {what}");
        }
        for text in [
            "plain-secret",
            "\"half",
            "a\"b\"",
            "\"",
            "'\"",
            "YWJjZA==",
            "YWJjZGU=",
            "=value",
            "1ABC=value",
            "a-b=c",
            "with space=value",
        ] {
            assert!(doubt(text.as_bytes()).is_none(), "{text}");
        }
    }

    #[test]
    fn a_variable_that_nobody_expanded_is_seen() {
        for text in ["${SECRET}", "x${A_1}y", "${A:-b}", "$(SECRET)"] {
            assert!(is_unexpanded(text.as_bytes()), "{text}");
        }
        for text in ["$ecret", "${", "${}", "${a b}", "$(a", "p$(x)q"] {
            assert!(!is_unexpanded(text.as_bytes()), "{text}");
        }
    }
}
