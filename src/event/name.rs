//! Names as validated values: `[a-z0-9-]+` for what the configuration names, free text for what senders name.

use std::{fmt, sync::Arc};

/// Why a text is not a name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a name: use lower-case letters, digits and dashes, at most 63 of them")]
pub struct NameError(pub String);

fn parse(text: &str) -> Result<Arc<str>, NameError> {
    let fits = (1..=63).contains(&text.len()) && text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'));
    if fits {
        Ok(text.into())
    } else {
        Err(NameError(text.to_owned()))
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Parses `[a-z0-9-]+` of at most 63 characters.
            pub fn parse(text: &str) -> Result<Self, NameError> {
                parse(text).map(Self)
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name!(
    /// A sender of webhooks, as the configuration names it.
    SourceName
);
name!(
    /// An app that gets deliveries, as the configuration names it; the plain `upstream` is called `upstream`.
    DestinationName
);
name!(
    /// A preset, as its file is named.
    ProviderName
);

impl DestinationName {
    /// The plain `upstream` of the configuration.
    pub fn upstream() -> Self {
        Self("upstream".into())
    }
}

/// An event type as the sender names it (`invoice.paid`, `pull_request.opened`): printable ASCII, at most 256 bytes,
/// so that it may stand in a header and a log line.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventName(Arc<str>);

impl EventName {
    /// `None` if the text is empty, longer than 256 bytes or not printable ASCII.
    pub fn parse(text: &str) -> Option<Self> {
        let fits = (1..=256).contains(&text.len()) && text.bytes().all(|b| matches!(b, b' '..=b'~'));
        fits.then(|| Self(text.into()))
    }

    /// The kind of this event that `action` names: `pull_request` with `opened` is `pull_request.opened`.
    pub fn with(&self, action: &str) -> Option<Self> {
        let mut text = [0; 256];
        let (kind, length) = (self.0.len(), self.0.len() + 1 + action.len());
        let text = text.get_mut(..length)?;
        text[..kind].copy_from_slice(self.0.as_bytes());
        text[kind] = b'.';
        text[kind + 1..].copy_from_slice(action.as_bytes());
        Self::parse(std::str::from_utf8(text).ok()?)
    }

    /// The event as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for EventName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for EventName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_lower_case_letters_digits_and_dashes() {
        assert!(SourceName::parse("acme-2").is_ok());
        for bad in ["", "Acme", "a_b", "a b", "é", &"a".repeat(64)] {
            assert!(SourceName::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn an_event_is_bounded_printable_text() {
        let opened = EventName::parse("pull_request.opened").expect("an event");
        let kind = EventName::parse("pull_request").expect("an event");
        assert_eq!(kind.with("opened"), Some(opened));
        assert!(kind.with(&"e".repeat(256 - 13)).is_some());
        for bad in ["a\nb", &"e".repeat(257 - 13)] {
            assert_eq!(kind.with(bad), None, "{bad:?}");
        }
        for bad in ["", "a\nb", "\u{7f}", &"e".repeat(257)] {
            assert!(EventName::parse(bad).is_none(), "{bad:?}");
        }
    }
}
