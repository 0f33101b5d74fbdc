//! The ways in which a signed request can be made wrong, where a source can tell them from right.

use super::letter::{FORM, Letter};
use crate::{
    config::settings::SourceSettings,
    event::Timestamp,
    provider::{Provider, preset::Covers},
    replay::Duplicates,
};
use std::time::Duration;

/// How much older than allowed `--bad timestamp` signs.
const MARGIN: Duration = Duration::from_mins(10);

/// What is wrong with it on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bad {
    /// One character of the signature or credential is another one.
    Signature,
    /// Signed too long ago.
    Timestamp,
    /// Sent twice.
    Replay,
    /// Changed after it was signed.
    Body,
}

impl Bad {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Signature, Self::Timestamp, Self::Replay, Self::Body];

    /// As `--bad` and the API spell it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Signature => "signature",
            Self::Timestamp => "timestamp",
            Self::Replay => "replay",
            Self::Body => "body",
        }
    }
}

/// The time to sign at, if the source can tell this wrong from right at all.
pub(super) fn possible(
    bad: Bad,
    source: &SourceSettings,
    provider: &Provider,
    now: Timestamp,
) -> Result<Timestamp, String> {
    let facts = provider.facts();
    match bad {
        Bad::Signature if !facts.takes_secrets => {
            Err("this source verifies nothing, so nothing can be wrong".to_owned())
        }
        Bad::Body if facts.covers != Covers::Body => {
            Err("this source's credential does not cover the body, so a changed one is not told".to_owned())
        }
        Bad::Timestamp => match facts.tolerance {
            None if facts.signs_time => Err("`tolerance` is off: an old timestamp is not refused".to_owned()),
            None => Err("this provider signs no time, so an old request is not told".to_owned()),
            Some(window) => Ok(earlier(now, window.past + MARGIN)),
        },
        Bad::Replay => match source.replay {
            None => Err("this source has no replay ledger, so a repetition is not told".to_owned()),
            Some(policy) if policy.duplicates == Duplicates::Forward => {
                Err("`duplicates: forward`: repetitions are let through, and marked".to_owned())
            }
            Some(_) => Ok(now),
        },
        Bad::Signature | Bad::Body => Ok(now),
    }
}

impl Letter {
    /// The same with another character in the signature or credential.
    pub(super) fn missigned(mut self, source: &SourceSettings) -> Self {
        let places = source.preset.listing().signature;
        let named = |name: &str| {
            let mut headers = places.iter().filter_map(|place| place.strip_prefix("header:"));
            headers.any(|header| header.eq_ignore_ascii_case(name))
        };
        let moved = source.options.settings.get("header");
        let mut changed = false;
        for (name, value) in &mut self.headers {
            if named(name) || moved.is_some_and(|moved| moved.eq_ignore_ascii_case(name)) {
                *value = miswritten(value);
                changed = true;
            }
        }
        if self.is_inside {
            // Any other text will do, of the same form.
            let body = String::from_utf8_lossy(&self.content.body).into_owned();
            let key = places.first().and_then(|place| place.rsplit('/').next()).unwrap_or("");
            let (open, close) = (format!("\"{key}\":\""), '"');
            if let Some(start) = body.rfind(&open).map(|at| at + open.len())
                && let Some(length) = body[start..].find(close)
            {
                let value = miswritten(&body[start..start + length]);
                self.content.body = format!("{}{value}{}", &body[..start], &body[start + length..]).into();
            }
        } else if !changed && let Some((path, query)) = self.target.split_once('?') {
            self.target = format!("{path}?{}", miswritten(query));
        }
        self
    }

    /// The same with a body that was changed on its way.
    pub(super) fn tampered(mut self) -> Self {
        let more: &[u8] = if self.content.kind == FORM { b"&changed=1" } else { b" " };
        self.content.body = [&self.content.body[..], more].concat().into();
        self
    }
}

fn earlier(now: Timestamp, by: Duration) -> Timestamp {
    let by = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
    Timestamp::from_millis(now.as_millis().saturating_sub(by))
}

/// Another value of the same form. The change stays away from the end, where base64 has bits that must be zero.
fn miswritten(value: &str) -> String {
    let at = value
        .char_indices()
        .rev()
        .skip(4)
        .find(|(_, c)| c.is_ascii_alphanumeric())
        .or_else(|| value.char_indices().next_back());
    let Some((at, old)) = at else {
        return "x".to_owned();
    };
    let new = match old {
        '0'..='8' | 'a'..='e' | 'g'..='y' | 'A'..='Y' => char::from(u8::try_from(old).unwrap_or(b'0') + 1),
        '9' => '0',
        'f' => 'a',
        'z' => 'g',
        'Z' => 'A',
        _ => 'x',
    };
    let mut changed = value.to_owned();
    changed.replace_range(at..at + old.len_utf8(), new.encode_utf8(&mut [0; 4]));
    changed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_miswritten_keeps_its_form() {
        for (right, wrong) in [
            ("sha256=00ff09af", "sha256=00fa09af"),
            ("t=1,v1=abcdef092345", "t=1,v1=abcdef002345"),
            ("v1,9o8p7azQWERTY=", "v1,9o8p7azQWFRTY="),
            ("Bearer abcdefZhijk", "Bearer abcdefAhijk"),
            ("Bearer abcdefzhijk", "Bearer abcdefghijk"),
            ("abc", "abd"),
            ("", "x"),
        ] {
            assert_eq!(miswritten(right), wrong);
        }
    }
}
