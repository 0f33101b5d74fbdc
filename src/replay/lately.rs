//! All that a source delivered lately, and maybe of one event only: what `hookward forget --since` lets through again.

use crate::event::{EventName, Glob};
use std::time::Duration;

/// Which delivered records become deliverable once more.
#[derive(Clone, Debug)]
pub struct Lately {
    /// Delivered so long ago at most.
    pub within: Duration,
    /// Only of this event; `None`: all. A record whose event could not be read is then left alone.
    pub event: Option<Glob>,
    /// How long they wait for their redelivery.
    pub window: Duration,
}

/// What became of the wish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recalled {
    /// So many are deliverable once more.
    pub deliverable: u64,
    /// All records were looked at; false where that would have taken too long.
    pub complete: bool,
}

impl Lately {
    /// Is an event meant? A glob as `events` of the configuration has it; where a sender refines its events after a dot
    /// (`pull_request.opened`) the first part alone means all of them.
    pub(super) fn means(&self, event: Option<&str>) -> bool {
        let Some(glob) = &self.event else { return true };
        let refined = |event: &str| {
            event
                .strip_prefix(glob.as_str())
                .is_some_and(|rest| rest.starts_with('.'))
        };
        event.is_some_and(|event| glob.matches(event) || refined(event))
    }

    /// Is the event of a record to be known at all?
    pub(super) fn asks_for_events(&self) -> bool {
        self.event.is_some()
    }
}

/// What was let through so shortly before the wish counts as let through by it: a walk over Redis may meet a record
/// twice.
pub(super) const SLACK: Duration = Duration::from_millis(200);

/// The longest event name that a record keeps, bytes: a sender chooses it, and a record costs memory for as long as it
/// lives. A record without is not found by event.
pub(super) const LONGEST_EVENT: usize = 64;

/// The name as a record keeps it.
pub(super) fn kept(event: Option<&EventName>) -> Option<&EventName> {
    event.filter(|event| event.as_str().len() <= LONGEST_EVENT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_meant_by_name_glob_or_first_part() {
        for (wanted, event, expected) in [
            (None, None, true),
            (None, Some("push"), true),
            (Some("push"), None, false),
            (Some("push"), Some("push"), true),
            (Some("pull_request"), Some("pull_request.opened"), true),
            (Some("pull_request"), Some("pull_request_review.opened"), false),
            (Some("invoice.*"), Some("invoice.paid"), true),
            (Some("invoice.paid"), Some("invoice"), false),
        ] {
            let lately = Lately {
                within: Duration::from_mins(1),
                event: wanted.map(Glob::new),
                window: Duration::from_mins(1),
            };
            assert_eq!(lately.asks_for_events(), wanted.is_some());
            assert_eq!(lately.means(event), expected, "{wanted:?} of {event:?}");
        }
    }
}
