//! Requests in flight: a bound for all of them, and under pressure a share of it for each source.
//!
//! Up to half of the bound whoever comes first has a place. While more than half is in use, one source has at most half of
//! the bound. A source that verifies nothing has an eighth, and all such sources together have half. The handshakes of one
//! source that nothing proves have an eighth, beside what its events have. So a slow app, or a flood that nobody has to
//! sign, keeps no other source out. A lone source has nobody to share with; only its handshakes have a bound.

use super::{Budget, Share};
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

/// All requests in flight of the process.
pub struct InFlight {
    all: Budget,
    bound: u64,
    unverified: Arc<AtomicU64>,
}

/// Requests in flight of one source. Clones count together.
#[derive(Clone, Default)]
pub struct SourceInFlight(Arc<Counts>);

#[derive(Default)]
struct Counts {
    events: AtomicU64,
    handshakes: AtomicU64,
}

/// The kind of request that wants a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wants {
    /// An event of a source that verifies its sender.
    Verified,
    /// An event of a source that verifies nothing.
    Unverified,
    /// A handshake that nothing proves, whatever its source.
    Handshake,
}

/// One request of a source is counted, until this is dropped.
#[must_use = "the request is no longer counted when it is dropped"]
pub struct Counted {
    source: SourceInFlight,
    wants: Wants,
    unverified: Option<Arc<AtomicU64>>,
}

/// A request's place in flight, given back when dropped.
#[must_use = "a place is given back when it is dropped"]
pub struct Permit {
    share: Share,
    _counted: Counted,
}

/// Why a request gets no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoPlace {
    /// All are taken.
    #[error("limits.in_flight is exhausted")]
    All,
    /// This source has its share.
    #[error("over half of limits.in_flight is in use, and this source has its share of it")]
    Source,
    /// Handshakes that nothing proves have theirs.
    #[error("over half of limits.in_flight is in use, and this source's handshakes have their share of it")]
    Handshakes,
    /// All sources that verify nothing have theirs together.
    #[error("over half of limits.in_flight is in use, and sources that verify nothing have their half of it")]
    UnverifiedSources,
}

impl InFlight {
    /// At most `bound` at once.
    pub fn new(bound: u64) -> Self {
        Self {
            all: Budget::new(bound),
            bound,
            unverified: Arc::default(),
        }
    }

    /// How many there are.
    pub fn used(&self) -> u64 {
        self.all.used()
    }

    /// More than half of the bound is in use.
    pub fn under_pressure(&self) -> bool {
        self.all.under_pressure()
    }

    /// Counts one more request of a source, if the source may have one more now. `alone`: it is the only source.
    pub fn count(&self, source: &SourceInFlight, wants: Wants, alone: bool) -> Result<Counted, NoPlace> {
        self.count_beside(self.used(), source, wants, alone)
    }

    /// The same for a request that has a place already, but was not counted while it waited for its body.
    pub fn count_again(
        &self,
        share: Share,
        source: &SourceInFlight,
        wants: Wants,
        alone: bool,
    ) -> Result<Permit, NoPlace> {
        // As when it came: its own place is no pressure on itself.
        let others = self.used().saturating_sub(1);
        let counted = self.count_beside(others, source, wants, alone)?;
        Ok(Permit::of(share, counted))
    }

    fn count_beside(
        &self,
        others: u64,
        source: &SourceInFlight,
        wants: Wants,
        alone: bool,
    ) -> Result<Counted, NoPlace> {
        let unverified = match wants {
            Wants::Unverified if !alone => Some(self.unverified.clone()),
            Wants::Verified | Wants::Unverified | Wants::Handshake => None,
        };
        let counted = Counted {
            source: source.clone(),
            wants,
            unverified,
        };
        // Counted first, and given back where that was one too many: two that come at once are never both one too many.
        let before = counted.source.0.of(wants).fetch_add(1, Relaxed);
        let unverified = counted.unverified.as_ref().map(|all| all.fetch_add(1, Relaxed));
        if others <= self.bound / 2 {
            return Ok(counted);
        }
        let (share, full) = match wants {
            Wants::Verified | Wants::Unverified if alone => return Ok(counted),
            Wants::Verified => (self.bound / 2, NoPlace::Source),
            Wants::Unverified => (self.bound / 8, NoPlace::Source),
            Wants::Handshake => (self.bound / 8, NoPlace::Handshakes),
        };
        if before >= share.max(1) {
            return Err(full);
        }
        if unverified.is_some_and(|before| before >= (self.bound / 2).max(1)) {
            return Err(NoPlace::UnverifiedSources);
        }
        Ok(counted)
    }

    /// A place for a request that is counted. Where all are taken, `elsewhere` may know of one.
    pub fn place(&self, counted: Counted, elsewhere: impl FnOnce() -> Option<Share>) -> Result<Permit, NoPlace> {
        let share = self.all.take(1).or_else(elsewhere).ok_or(NoPlace::All)?;
        Ok(Permit::of(share, counted))
    }
}

impl Permit {
    fn of(share: Share, counted: Counted) -> Self {
        Self {
            share,
            _counted: counted,
        }
    }

    /// The place alone: its request counts no longer for its source.
    pub fn uncounted(self) -> Share {
        self.share
    }
}

impl Counts {
    fn of(&self, wants: Wants) -> &AtomicU64 {
        match wants {
            Wants::Verified | Wants::Unverified => &self.events,
            Wants::Handshake => &self.handshakes,
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.source.0.of(self.wants).fetch_sub(1, Relaxed);
        if let Some(unverified) = &self.unverified {
            unverified.fetch_sub(1, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct House {
        all: InFlight,
        alone: bool,
    }

    impl House {
        fn ask(&self, source: &SourceInFlight, wants: Wants) -> Result<Permit, NoPlace> {
            self.all.place(self.all.count(source, wants, self.alone)?, || None)
        }

        /// As many as are granted, up to `most`, and why no more are.
        fn ask_on(&self, source: &SourceInFlight, wants: Wants, most: usize) -> (Vec<Permit>, Option<NoPlace>) {
            let mut held = Vec::new();
            while held.len() < most {
                match self.ask(source, wants) {
                    Ok(permit) => held.push(permit),
                    Err(why) => return (held, Some(why)),
                }
            }
            (held, None)
        }
    }

    fn house(alone: bool) -> (House, [SourceInFlight; 3]) {
        let all = InFlight::new(64);
        (House { all, alone }, Default::default())
    }

    #[test]
    fn one_source_leaves_half_and_one_that_verifies_nothing_leaves_more() {
        let (house, [signed, other, none]) = house(false);
        let (anonymous, why) = house.ask_on(&none, Wants::Unverified, 100);
        assert_eq!(
            (anonymous.len(), why),
            (33, Some(NoPlace::Source)),
            "half, and the one that makes it more"
        );
        let (events, why) = house.ask_on(&signed, Wants::Verified, 100);
        assert_eq!((events.len(), why), (31, Some(NoPlace::All)));
        drop(anonymous);
        let (more, why) = house.ask_on(&signed, Wants::Verified, 100);
        assert_eq!((more.len(), why), (2, Some(NoPlace::Source)), "33 are in use");
        let (anonymous, why) = house.ask_on(&none, Wants::Unverified, 100);
        assert_eq!((anonymous.len(), why), (8, Some(NoPlace::Source)), "an eighth");
        let (rest, why) = house.ask_on(&other, Wants::Verified, 100);
        assert_eq!((rest.len(), why), (23, Some(NoPlace::All)));
        drop((events, more, anonymous, rest));
        assert_eq!((house.all.used(), house.all.unverified.load(Relaxed)), (0, 0));
        assert_eq!(signed.0.events.load(Relaxed) + none.0.events.load(Relaxed), 0);
    }

    #[test]
    fn handshakes_have_an_eighth_and_take_nothing_of_their_sources_events() {
        for alone in [false, true] {
            let (house, [source, other, _]) = house(alone);
            let (_held, _) = house.ask_on(&other, Wants::Verified, 33);
            let (handshakes, why) = house.ask_on(&source, Wants::Handshake, 100);
            assert_eq!((handshakes.len(), why), (8, Some(NoPlace::Handshakes)));
            let (events, why) = house.ask_on(&source, Wants::Verified, 100);
            assert_eq!((events.len(), why), (23, Some(NoPlace::All)));
        }
    }

    #[test]
    fn all_sources_that_verify_nothing_have_half() {
        let (house, sources) = house(false);
        let (_held, _) = house.ask_on(&sources[0], Wants::Verified, 33);
        let many: Vec<SourceInFlight> = (0..8).map(|_| SourceInFlight::default()).collect();
        let held: Vec<_> = many
            .iter()
            .map(|source| house.ask_on(source, Wants::Unverified, 100).0)
            .collect();
        let granted: usize = held.iter().map(Vec::len).sum();
        assert_eq!(granted, 31, "all are taken");
        let (house, _) = self::house(false);
        let (_half, why) = house.ask_on(&many[0], Wants::Unverified, 32);
        assert_eq!(why, None);
        let fresh = SourceInFlight::default();
        let (one, why) = house.ask_on(&fresh, Wants::Unverified, 100);
        assert_eq!((one.len(), why), (1, Some(NoPlace::UnverifiedSources)));
    }

    #[test]
    fn a_request_that_waited_for_its_body_is_counted_as_when_it_came() {
        let (house, [source, ..]) = house(false);
        let (mut held, _) = house.ask_on(&source, Wants::Verified, 33);
        // All came at one moment, and all bodies were late: the last one to return is one too many for nobody.
        let last = held.pop().expect("33 are held").uncounted();
        held.push(
            house
                .all
                .count_again(last, &source, Wants::Verified, false)
                .unwrap_or_else(|why| panic!("{why}")),
        );
        let share = held.pop().expect("33 are held").uncounted();
        let (_others, _) = house.ask_on(&SourceInFlight::default(), Wants::Verified, 1);
        let late = house.all.count_again(share, &source, Wants::Verified, false);
        assert_eq!(late.err(), Some(NoPlace::Source), "33 others are in flight");
        assert_eq!(house.all.used(), 33, "its place was given back");
    }

    #[test]
    fn a_lone_source_may_have_all() {
        for wants in [Wants::Verified, Wants::Unverified] {
            let (house, [source, ..]) = house(true);
            let (held, why) = house.ask_on(&source, wants, 100);
            assert_eq!((held.len(), why), (64, Some(NoPlace::All)));
        }
    }

    #[test]
    fn the_smallest_bound_has_a_place_for_everybody() {
        for wants in [Wants::Verified, Wants::Unverified, Wants::Handshake] {
            let house = House {
                all: InFlight::new(1),
                alone: false,
            };
            let source = SourceInFlight::default();
            assert!(house.ask(&source, wants).is_ok());
            let held = house.ask(&source, wants);
            assert!(held.is_ok(), "it was given back");
            assert!(house.ask(&source, wants).is_err());
        }
    }
}
