//! Random worlds: whatever happens to the in-process ledger, it answers as a plain model of its rules does.

use super::*;
use proptest::prelude::*;
use std::collections::HashMap;

/// What may happen to a ledger.
#[derive(Clone, Debug)]
enum Event {
    Claim {
        delivery: u64,
        owner: u8,
    },
    Settle {
        delivery: u64,
        owner: u8,
        required: u8,
        delivered: u8,
        last: bool,
    },
    Renew {
        delivery: u64,
        owner: u8,
    },
    Release {
        delivery: u64,
        owner: u8,
    },
    Forget {
        delivery: u64,
        window: u64,
    },
    Pass {
        seconds: u64,
    },
    Sweep,
}

fn event() -> impl Strategy<Value = Event> {
    let (delivery, owner) = (0..3_u64, 0..4_u8);
    prop_oneof![
        4 => (delivery.clone(), owner.clone()).prop_map(|(delivery, owner)| Event::Claim { delivery, owner }),
        4 => (delivery.clone(), owner.clone(), 0..4_u8, 0..4_u8, any::<bool>()).prop_map(
            |(delivery, owner, required, delivered, last)| Event::Settle { delivery, owner, required, delivered, last }
        ),
        1 => (delivery.clone(), owner.clone()).prop_map(|(delivery, owner)| Event::Renew { delivery, owner }),
        1 => (delivery.clone(), owner).prop_map(|(delivery, owner)| Event::Release { delivery, owner }),
        1 => (delivery, 1..100_u64).prop_map(|(delivery, window)| Event::Forget { delivery, window }),
        2 => (1..50_u64).prop_map(|seconds| Event::Pass { seconds }),
        1 => Just(Event::Sweep),
    ]
}

/// The rules as plainly as they can be written: seconds, strings, one map, no bounds.
#[derive(Default)]
struct Plain {
    now: u64,
    records: HashMap<u64, Entry>,
}

#[derive(Clone, Default)]
struct Entry {
    state: char,
    fence: u64,
    attempts: u32,
    owner: u8,
    until: u64,
    expires: u64,
    again_until: u64,
    had: Vec<&'static str>,
}

const LEASE: u64 = 20;
const OPEN: u64 = 45;
const KEEP: u64 = 90;
const NAMES: [&str; 2] = ["a", "b"];

fn chosen(bits: u8) -> Vec<&'static str> {
    NAMES
        .into_iter()
        .enumerate()
        .filter(|(n, _)| bits & (1 << n) != 0)
        .map(|(_, name)| name)
        .collect()
}

impl Plain {
    fn find(&mut self, delivery: u64) -> Option<&mut Entry> {
        self.records.retain(|_, entry| entry.expires > self.now);
        self.records.get_mut(&delivery)
    }

    /// `fence` is what the real ledger chose: the model only demands that it grows.
    fn claim(&mut self, delivery: u64, owner: u8, fence: Option<u64>) -> String {
        let now = self.now;
        let Some(entry) = self.find(delivery) else {
            let entry = Entry {
                state: 'P',
                fence: fence.unwrap_or_default(),
                attempts: 1,
                owner,
                until: now + LEASE,
                expires: now + OPEN,
                ..Entry::default()
            };
            self.records.insert(delivery, entry);
            return "granted 1 []".into();
        };
        match entry.state {
            'D' if entry.again_until <= now => return format!("done {}", entry.attempts),
            'P' if entry.owner == owner => {}
            'P' if entry.until > now => return format!("busy {}", entry.until - now),
            _ => {
                if entry.state == 'D' {
                    entry.had.clear();
                    entry.expires = now;
                }
                assert!(fence.is_some_and(|fence| fence > entry.fence), "fences grow");
                entry.fence = fence.expect("asserted");
                entry.attempts += 1;
                (entry.state, entry.owner) = ('P', owner);
            }
        }
        assert!(fence == Some(entry.fence), "a grant bears the record's fence");
        entry.until = now + LEASE;
        entry.expires = entry.expires.max(now + OPEN);
        format!("granted {} {:?}", entry.attempts, entry.had)
    }

    fn settle(
        &mut self,
        delivery: u64,
        fence: u64,
        attempt: u32,
        required: &[&'static str],
        delivered: &[&'static str],
        last: bool,
    ) -> Settled {
        let now = self.now;
        if self.find(delivery).is_none() {
            if delivered.is_empty() {
                return Settled::Open;
            }
            let entry = Entry {
                state: 'F',
                fence,
                attempts: attempt,
                ..Entry::default()
            };
            self.records.insert(delivery, entry);
        }
        let entry = self.records.get_mut(&delivery).expect("found or inserted");
        if entry.state == 'D' {
            return Settled::Done;
        }
        for name in delivered {
            if !entry.had.contains(name) {
                entry.had.push(name);
            }
        }
        if !required.is_empty() && required.iter().all(|name| entry.had.contains(name)) {
            *entry = Entry {
                state: 'D',
                fence: entry.fence,
                attempts: entry.attempts.max(attempt),
                expires: now + KEEP,
                ..Entry::default()
            };
            return Settled::Done;
        }
        if !delivered.is_empty() {
            entry.expires = entry.expires.max(now + KEEP);
        }
        if entry.fence != fence {
            return Settled::Fenced;
        }
        if last {
            entry.state = 'F';
            entry.expires = entry.expires.max(now + OPEN);
        }
        Settled::Open
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn random_worlds_are_as_the_plain_model_says(events in prop::collection::vec(event(), 1..80)) {
        let world = World::new(1024);
        let mut plain = Plain::default();
        let mut grants: HashMap<(u64, u8), (u64, u32)> = HashMap::new();
        let timed = |delivery, owner| Ask {
            lease: Duration::from_secs(LEASE),
            open: Duration::from_secs(OPEN),
            keep: Duration::from_secs(KEEP),
            ..attempt("a", delivery, owner)
        };
        for event in events {
            // Claims take a microsecond for their fences, which no whole second of the model sees.
            match event {
                Event::Claim { delivery, owner } => {
                    let verdict = world.ledger.claim_now(&timed(delivery, owner)).expect("there is room");
                    let fence = match &verdict { Verdict::Claimed(grant) => Some(grant.fence), _ => None };
                    let expected = plain.claim(delivery, owner, fence);
                    let actual = match verdict {
                        Verdict::Claimed(grant) => {
                            grants.insert((delivery, owner), (grant.fence, grant.attempt));
                            let had: Vec<_> = grant.delivered.iter().map(DestinationName::as_str).collect();
                            format!("granted {} {had:?}", grant.attempt)
                        }
                        Verdict::Busy { left } => format!("busy {}", left.as_secs()),
                        Verdict::Done(Seen { attempts, .. }) => format!("done {attempts}"),
                    };
                    prop_assert_eq!(actual, expected);
                }
                Event::Settle { delivery, owner, required, delivered, last } => {
                    let Some(&(fence, attempt)) = grants.get(&(delivery, owner)) else { continue };
                    let (required, delivered) = (chosen(required), chosen(delivered));
                    let grant = Grant { fence, attempt, delivered: Vec::new(), redelivery: false };
                    let report = Settlement { last, ..settlement(&timed(delivery, owner), &grant, &required, &delivered) };
                    let expected = plain.settle(delivery, fence, attempt, &required, &delivered, last);
                    prop_assert_eq!(world.ledger.settle_now(&report).expect("there is room"), expected);
                }
                Event::Renew { delivery, owner } => {
                    let Some(&(fence, _)) = grants.get(&(delivery, owner)) else { continue };
                    let Ask { key, lease, open, .. } = timed(delivery, owner);
                    let now = plain.now;
                    let expected = match plain.find(delivery) {
                        Some(entry) if entry.state == 'P' && entry.fence == fence => {
                            entry.until = now + LEASE;
                            entry.expires = entry.expires.max(now + OPEN);
                            Renewed::Held
                        }
                        _ => Renewed::Fenced,
                    };
                    prop_assert_eq!(world.ledger.renew_now(&Renewal { key, source: attempt("a", 0, 0).source, fence, lease, open }), expected);
                }
                Event::Release { delivery, owner } => {
                    world.ledger.release_now(&key(delivery), &Nonce::from_bytes([owner; 16]));
                    if let Some(entry) = plain.find(delivery) && entry.state == 'P' && entry.owner == owner {
                        (entry.state, entry.attempts) = ('F', entry.attempts - 1);
                        if entry.attempts == 0 && entry.had.is_empty() {
                            plain.records.remove(&delivery);
                        }
                    }
                }
                Event::Forget { delivery, window } => {
                    let now = plain.now;
                    let expected = match plain.find(delivery) {
                        None => Forgotten::Unknown,
                        Some(entry) if entry.state == 'D' => {
                            entry.again_until = now + window;
                            Forgotten::Deliverable
                        }
                        Some(entry) if entry.state == 'P' && entry.until > now => {
                            Forgotten::InFlight { left: Duration::from_secs(entry.until - now) }
                        }
                        Some(_) => Forgotten::NotDelivered,
                    };
                    prop_assert_eq!(world.ledger.forget_now(&key(delivery), Duration::from_secs(window)), expected);
                }
                Event::Pass { seconds } => {
                    plain.now += seconds;
                    world.clock.advance(Duration::from_secs(seconds));
                }
                Event::Sweep => world.ledger.sweep(),
            }
            plain.find(0);
            prop_assert!(world.ledger.entries() >= plain.records.len());
        }
        world.ledger.sweep();
        prop_assert_eq!(world.ledger.entries(), plain.records.len());
    }
}
