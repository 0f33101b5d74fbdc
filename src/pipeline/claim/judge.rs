//! Judges an attempt whose delivery is done: an answer, or a repeat that is forwarded.

use super::{Case, REMEMBERED, limit, repeated_too_often};
use crate::{
    event::{UnsignedValues, Values},
    pipeline::{Worker, authenticate::Authentic},
    provider::{IdentityKind, NewEvent, NewId},
    replay::{Duplicates, Seen, Standing},
    source::{Ending, Outcome, Source, Trail},
};

/// Signed times that a record remembers as delivered. Source: `replay`, kind 3 of the identities.
const MAX_TIMES: usize = 16;
/// Unsigned values that a record remembers as delivered.
const MAX_VALUES: usize = 4;

/// The reason to forward what was delivered before.
pub(super) enum Judged {
    /// It is a repeat, with a record of its own beside the last `max` ones.
    Repeat { max: usize },
    /// `duplicates: forward`.
    Duplicate,
}

/// May a delivered attempt be followed by others with the same key that are forwarded?
pub(super) fn may_repeat(authentic: &Authentic) -> bool {
    let facts = authentic.source.provider.facts();
    authentic.evidence.kind == IdentityKind::BodyAndTime
        || authentic.evidence.repeatable
        || facts.new_event == NewEvent::Deliver && names_exactly(&authentic.source, authentic)
}

/// The meaning of a delivered record for this attempt. Answered repeats spend their budget here.
pub(super) fn judge(
    worker: &Worker,
    authentic: &Authentic,
    case: &Case,
    seen: &Seen,
    trail: &Trail,
) -> Result<Judged, Ending> {
    let repeats = &worker.shared.repeats;
    if case.may_repeat {
        repeats.learn(&case.ask.key, (), REMEMBERED, trail.arrived);
    }
    if let Some(max) = repeat(authentic, case, seen) {
        return Ok(Judged::Repeat { max });
    }
    if !case.known {
        let (key, source) = (case.budget_key(), &authentic.source);
        repeats.learn(key, (), REMEMBERED, trail.arrived);
        repeats
            .spend(key, &source.name, limit(source), trail.arrived)
            .map_err(|limited| repeated_too_often(&limited))?;
    }
    match case.policy.duplicates {
        Duplicates::Forward => return Ok(Judged::Duplicate),
        Duplicates::Reject => return Err(Ending::new(Outcome::Replayed, "delivered before; duplicates: reject")),
        Duplicates::Acknowledge => {}
    }
    let facts = authentic.source.provider.facts();
    if seen.same_mac && facts.resigns {
        let reason = "delivered before under this very signature, and this provider signs every attempt anew";
        return Err(Ending::new(Outcome::Replayed, reason));
    }
    if seen.standing == Standing::New
        && let (Values::Unsigned(had), Values::Unsigned(has)) = (&seen.values, &case.ask.values)
        && let Some(reason) = conflict(had, has, facts.new_id, facts.new_event)
    {
        return Err(Ending::new(Outcome::Conflict, reason));
    }
    Err(Ending::new(Outcome::Duplicate, "delivered before"))
}

/// How many repeats the record remembers, if this attempt is one that is forwarded.
fn repeat(authentic: &Authentic, case: &Case, seen: &Seen) -> Option<usize> {
    // Without a variant there is nothing to tell a repeat by: an attempt that lacks its unsigned values is not one.
    case.ask.values.variant()?;
    let by_time = authentic.evidence.kind == IdentityKind::BodyAndTime;
    let max = if by_time { MAX_TIMES } else { MAX_VALUES };
    let forwarded = match seen.standing {
        Standing::Same => false,
        // Its own record says whether it is a duplicate, or let through by an operator.
        Standing::Repeated | Standing::Pending => true,
        Standing::New => by_time || authentic.evidence.repeatable || is_new_topic(authentic, case, seen),
    };
    forwarded.then_some(max)
}

/// How many repeats the record remembers, if this attempt is forwarded as a repeat beside the one that is in flight: its
/// body may honestly repeat, and its provider never sends the event again.
pub(super) fn beside(authentic: &Authentic, case: &Case) -> Option<usize> {
    case.ask.values.variant()?;
    let by_time = authentic.evidence.kind == IdentityKind::BodyAndTime;
    let repeats = by_time || authentic.evidence.repeatable;
    let lost = !authentic.source.provider.facts().automatic_retries;
    (repeats && lost).then_some(if by_time { MAX_TIMES } else { MAX_VALUES })
}

/// One content under several topics: the event's name is new and listed exactly, and few were delivered so far. The tenant
/// does not decide: a forged copy may have been the delivered one, and the honest topic must not be lost by it.
fn is_new_topic(authentic: &Authentic, case: &Case, seen: &Seen) -> bool {
    let (Values::Unsigned(had), Values::Unsigned(has)) = (&seen.values, &case.ask.values) else {
        return false;
    };
    authentic.source.provider.facts().new_event == NewEvent::Deliver
        && had.event != has.event
        && seen.repeats < MAX_VALUES
        && names_exactly(&authentic.source, authentic)
}

/// Does the preset or the source list the event's name, without a wildcard?
fn names_exactly(source: &Source, authentic: &Authentic) -> bool {
    let Some(event) = authentic.evidence.events.first() else {
        return false;
    };
    let name = event.as_str();
    let routes = source.routes.iter().flat_map(|route| &route.events);
    let mut globs = source.events.iter().chain(routes).map(crate::event::Glob::as_str);
    source.provider.facts().known_events.iter().any(|known| known == name)
        || globs.any(|glob| glob == name && !glob.contains('*'))
}

/// The reason why delivered content under other unsigned values is a replay in disguise; `None`: it is a duplicate.
fn conflict(had: &UnsignedValues, has: &UnsignedValues, new_id: NewId, new_event: NewEvent) -> Option<&'static str> {
    if had.tenant != has.tenant {
        return Some("this content was delivered before for another tenant");
    }
    if had.event != has.event {
        return (new_event != NewEvent::Duplicate).then_some("this content was delivered before as another event");
    }
    (had.id != has.id && new_id == NewId::Conflict).then_some("this content was delivered before under another id")
}
