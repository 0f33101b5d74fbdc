//! `not_after`: a secret that is past it does not verify any more, whatever it signed.

use crate::{
    event::Timestamp,
    provider::{Cause, Finding, Refusal},
};

/// Takes back what a secret proved that does not verify at `now` any more. `not_after` stands in the order of the secrets.
pub fn unexpired(finding: Finding, not_after: &[Option<Timestamp>], now: Timestamp) -> Result<Finding, Refusal> {
    let expired = |index: usize| matches!(not_after.get(index), Some(Some(end)) if now >= *end);
    match &finding {
        Finding::Authentic(evidence) if evidence.secret.is_some_and(expired) => {
            Err(Refusal::Unverified(Cause::SecretExpired))
        }
        _ => Ok(finding),
    }
}
