//! What the scripts answer, read strictly: an answer that no version of them gives is an error, never a guess.

use super::{RedisLedger, record};
use crate::{
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
    pub(super) fn read_claim(&self, reply: &Value, ask: &Ask) -> Option<Answer> {
        Some(match reply {
            Value::BulkString(record) => {
                let (grant, now) = record::granted(record, ask.lease)?;
                let skew = self.ahead(now);
                Answer::Granted { grant, skew }
            }
            Value::Int(left) => Answer::Busy(Duration::from_millis((*left).try_into().ok()?)),
            Value::Array(parts) => {
                let [Value::Int(left), Value::BulkString(record)] = parts.as_slice() else {
                    return None;
                };
                // Negative: a record without an end, which is none of ours.
                let left = Duration::from_millis((*left).try_into().unwrap_or_default());
                Answer::Done(record::delivered(record, left)?)
            }
            _ => return None,
        })
    }
}

pub(super) fn text(value: &Value) -> Option<&str> {
    let Value::BulkString(bytes) = value else { return None };
    std::str::from_utf8(bytes).ok()
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
