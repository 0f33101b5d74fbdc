//! Which destinations want this event: the source's selection first, then each destination's own.

use super::authenticate::Authentic;
use crate::{
    source::{Ending, Outcome, selects},
    upstream::DestinationSpec,
};
use std::sync::Arc;

/// An authentic request that somebody wants.
pub(super) struct Chosen {
    // Boxed: from here on it moves through futures, and a future is as large as all that is moved through it.
    pub authentic: Box<Authentic>,
    /// Must have it before it counts as delivered; never empty.
    pub required: Vec<Target>,
    /// Get it too; their failure fails nothing.
    pub optional: Vec<Target>,
}

/// A destination that wants the event.
#[derive(Clone)]
pub(super) struct Target {
    pub to: Arc<DestinationSpec>,
    /// Its place in the source's list, by which it is counted.
    pub index: usize,
}

pub(super) fn choose(authentic: Authentic) -> Result<Chosen, Ending> {
    let names = &authentic.evidence.events;
    if !selects(&authentic.source.events, names) {
        return Err(filtered());
    }
    let (mut required, mut optional) = (Vec::with_capacity(1), Vec::new());
    for (index, route) in authentic.source.routes.iter().enumerate() {
        if selects(&route.events, names) {
            let target = Target {
                to: route.destination.clone(),
                index,
            };
            if route.required {
                required.push(target);
            } else {
                optional.push(target);
            }
        }
    }
    if required.is_empty() {
        // A 2xx means that a destination has it: with only optional ones selected, these are the required ones.
        required = std::mem::take(&mut optional);
    }
    if required.is_empty() {
        return Err(filtered());
    }
    Ok(Chosen {
        authentic: Box::new(authentic),
        required,
        optional,
    })
}

fn filtered() -> Ending {
    Ending::new(Outcome::Filtered, "the event is not selected")
}
