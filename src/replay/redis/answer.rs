//! What the scripts answer, read strictly: an answer that no version of them gives is an error, never a guess.

use super::RedisLedger;
use crate::{
    event::{DestinationName, IdDigest, MacDigest},
    replay::{Ask, Delivered, Grant, Unavailable, Verdict},
    store::Value,
};
use std::time::Duration;

/// What Redis says to a claim.
pub(in crate::replay) enum Answer {
    /// It is granted.
    Granted {
        grant: Grant,
        /// Milliseconds that Redis's clock is ahead of ours; negative: behind.
        skew: i64,
    },
    /// Another attempt holds it, for at most this long.
    Busy(Duration),
    /// It was delivered before.
    Done(Delivered),
}

impl Answer {
    pub(in crate::replay) fn verdict(self, ask: &Ask) -> Verdict {
        match self {
            Self::Granted { grant, .. } => Verdict::Claimed(grant),
            Self::Busy(left) => Verdict::Busy { left },
            Self::Done(delivered) => Verdict::Done(delivered.seen_by(ask)),
        }
    }
}

impl RedisLedger {
    pub(super) fn read_claim(&self, reply: &Value) -> Option<Answer> {
        let Value::Array(parts) = reply else { return None };
        let (kind, rest) = parts.split_first()?;
        Some(match (text(kind)?, rest) {
            ("C", [fence, attempt, now, delivered @ ..]) => {
                let delivered = delivered.iter().map(|name| DestinationName::parse(text(name)?).ok());
                Answer::Granted {
                    grant: Grant {
                        fence: number(fence)?,
                        attempt: number(attempt)?,
                        delivered: delivered.collect::<Option<Vec<_>>>()?,
                    },
                    skew: self.ahead(now)?,
                }
            }
            ("B", [left]) => Answer::Busy(Duration::from_millis(number(left)?)),
            ("D", [attempts, left, id, mac]) => Answer::Done(Delivered {
                id: digest(id)?.map(IdDigest::from_bytes),
                mac: digest(mac)?.map(MacDigest::from_bytes),
                attempts: number(attempts)?,
                // Negative: a record without an end, which is none of ours.
                left: Duration::from_millis(number::<i64>(left)?.try_into().unwrap_or_default()),
            }),
            _ => return None,
        })
    }
}

pub(super) fn text(value: &Value) -> Option<&str> {
    match value {
        Value::BulkString(bytes) => std::str::from_utf8(bytes).ok(),
        Value::SimpleString(text) => Some(text),
        _ => None,
    }
}

/// 16 bytes, or none.
#[expect(clippy::option_option, reason = "neither is a third thing")]
pub(super) fn digest(value: &Value) -> Option<Option<[u8; 16]>> {
    match value {
        Value::BulkString(bytes) if bytes.is_empty() => Some(None),
        Value::BulkString(bytes) => Some(Some(bytes.as_slice().try_into().ok()?)),
        _ => None,
    }
}

pub(super) fn number<T: TryFrom<i64>>(value: &Value) -> Option<T> {
    match value {
        Value::Int(number) => T::try_from(*number).ok(),
        _ => None,
    }
}

pub(super) fn strange(operation: &str) -> Unavailable {
    Unavailable {
        reason: format!("Redis gave an answer to {operation} that no version of hookward's script gives"),
    }
}
