//! Names of destinations and events as small numbers, so that a record costs bytes and not strings.

use crate::{
    event::{DestinationName, EventName},
    replay::sync::{PoisonError, RwLock},
};
use std::collections::HashMap;

/// Every destination that this ledger has met; as many as the configuration names, and never more.
#[derive(Default)]
pub(super) struct Names(RwLock<Vec<DestinationName>>);

/// A set of destinations; without a heap allocation while it is empty, which nearly every one is.
#[derive(Default)]
pub(super) struct Noted(Option<Box<Numbers>>);

/// Behind a thin pointer: there are 65,536 records.
struct Numbers(Vec<u32>);

impl Noted {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_none()
    }
}

impl Names {
    pub(super) fn holds(&self, noted: &Noted, name: &DestinationName) -> bool {
        let Some(numbers) = &noted.0 else { return false };
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        numbers.0.iter().any(|&number| known.get(number as usize) == Some(name))
    }

    pub(super) fn add(&self, noted: &mut Noted, names: &[DestinationName]) {
        if names.is_empty() {
            return;
        }
        let numbers = &mut noted.0.get_or_insert_with(|| Box::new(Numbers(Vec::new()))).0;
        for name in names {
            let number = self.number(name);
            if !numbers.contains(&number) {
                numbers.push(number);
            }
        }
    }

    pub(super) fn list(&self, noted: &Noted) -> Vec<DestinationName> {
        let Some(numbers) = &noted.0 else { return Vec::new() };
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let numbers = numbers.0.iter();
        numbers
            .filter_map(|&number| known.get(number as usize).cloned())
            .collect()
    }

    fn number(&self, name: &DestinationName) -> u32 {
        let position = |known: &[DestinationName]| known.iter().position(|other| other == name);
        let found = position(&self.0.read().unwrap_or_else(PoisonError::into_inner));
        let place = found.unwrap_or_else(|| {
            let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
            position(&known).unwrap_or_else(|| {
                known.push(name.clone());
                known.len() - 1
            })
        });
        u32::try_from(place).expect("a configuration names fewer than 2^32 destinations")
    }
}

/// So many events are told apart by a process; senders name them, so there must be a bound.
const EVENTS: usize = 4096;

/// Events that this ledger has met.
#[derive(Default)]
pub(super) struct Events(RwLock<Known>);

#[derive(Default)]
struct Known {
    numbers: HashMap<EventName, u32>,
    names: Vec<EventName>,
}

/// An event, or none.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Event(u32);

impl Event {
    const NONE: Self = Self(u32::MAX);
}

impl Events {
    /// None where there is none, and where there are too many already.
    pub(super) fn event(&self, name: Option<&EventName>) -> Event {
        let Some(name) = name else { return Event::NONE };
        let found = {
            let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
            let full = known.names.len() >= EVENTS;
            known.numbers.get(name).copied().or(full.then_some(u32::MAX))
        };
        Event(found.unwrap_or_else(|| {
            let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
            let next = u32::try_from(known.names.len()).expect("fewer than 4096 and one for each thread");
            let number = *known.numbers.entry(name.clone()).or_insert(next);
            if number == next {
                known.names.push(name.clone());
            }
            number
        }))
    }

    pub(super) fn name(&self, event: Event) -> Option<EventName> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        known.names.get(event.0 as usize).cloned()
    }
}
