//! Destination names as small numbers, so that a half delivered record costs bytes and not strings.

use crate::{
    event::DestinationName,
    replay::sync::{PoisonError, RwLock},
};

/// Every destination that this ledger has met; as many as the configuration names, and never more.
#[derive(Default)]
pub(super) struct Names(RwLock<Vec<DestinationName>>);

/// A set of destinations; without a heap allocation while it is empty, which nearly every one is.
#[derive(Default)]
pub(super) struct Noted(Option<Box<[u32]>>);

impl Noted {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_none()
    }
}

impl Names {
    pub(super) fn holds(&self, noted: &Noted, name: &DestinationName) -> bool {
        let Some(numbers) = &noted.0 else { return false };
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        numbers.iter().any(|&number| known.get(number as usize) == Some(name))
    }

    pub(super) fn add(&self, noted: &mut Noted, names: &[DestinationName]) {
        let mut numbers = noted.0.take().map(Vec::from).unwrap_or_default();
        for name in names {
            let number = self.number(name);
            if !numbers.contains(&number) {
                numbers.push(number);
            }
        }
        noted.0 = (!numbers.is_empty()).then(|| numbers.into_boxed_slice());
    }

    pub(super) fn list(&self, noted: &Noted) -> Vec<DestinationName> {
        let Some(numbers) = &noted.0 else { return Vec::new() };
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        numbers
            .iter()
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
