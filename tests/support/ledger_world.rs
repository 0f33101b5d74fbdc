//! The world of the ledger's model: replicas, one record, what may happen to them, and what must hold all the time.

use stateright::{Model, Property};

/// How a replica uses Redis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Design {
    /// Ours.
    Ledger,
    /// `SET NX`, then forward: six projects shipped it.
    SetThenForward,
    /// Forward, then `SET`.
    ForwardThenSet,
    /// A lease and a fence, and a success that counts only under the current fence.
    FencedSuccess,
    /// The fence counts on from the record alone, without a clock.
    CountedFence,
    /// Asking again after a lost answer under a new name.
    NewNameEachTime,
}

/// The record, in Redis and in its replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Record {
    None,
    Held { fence: u8, owner: u8 },
    Free { fence: u8 },
    Done,
}

/// One sidecar, at most one attempt at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Sidecar {
    Idle,
    /// Has an attempt and no answer of the ledger; `lost`: the fence that an answer that was lost granted.
    Asking {
        owner: u8,
        lost: Option<u8>,
    },
    Forwarding {
        fence: u8,
    },
    Succeeded {
        fence: u8,
    },
    Failed {
        fence: u8,
    },
    Settled,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Faults {
    pub crashes: u8,
    pub early_expiries: u8,
    pub failovers: u8,
    pub lost_answers: u8,
}

impl Faults {
    pub const fn all(count: u8) -> Self {
        Self {
            crashes: count,
            early_expiries: count,
            failovers: count,
            lost_answers: count,
        }
    }

    const fn sum(self) -> u8 {
        self.crashes + self.early_expiries + self.failovers + self.lost_answers
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct World {
    redis: Record,
    replica: Record,
    /// The lease of a held record has not run out.
    leased: bool,
    sidecars: Vec<Sidecar>,
    sends: u8,
    /// The sender was told 2xx.
    acked: bool,
    /// 2xx of the app.
    effects: u8,
    faults: Faults,
    highest_fence: u8,
    was_done: bool,
    broken: Broken,
}

/// What can only be seen while it happens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Broken {
    fence_not_growing: bool,
    forward_after_done: bool,
    second_answer_differs: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    Send(usize),
    Claim(usize),
    ClaimAnswerLost(usize),
    GiveUp(usize),
    AppSucceeds(usize),
    AppFails(usize),
    AppAnswerLost(usize),
    Settle(usize),
    SettleAnswerLost(usize),
    Ack(usize),
    AckLost(usize),
    Crash(usize),
    LeaseOver,
    Replicate,
    Failover,
}

pub struct Check {
    pub design: Design,
    pub sidecars: usize,
    pub sends: u8,
    pub faults: Faults,
}

/// What a claim is answered.
enum Answer {
    Granted(u8),
    Busy,
    Done,
}

impl Check {
    fn claim(&self, world: &mut World, owner: u8) -> Answer {
        // Redis's clock goes on between two claims, whatever becomes of the record.
        let now = world.highest_fence + 1;
        let granted = |world: &mut World, previous: Option<u8>| {
            let fence = match self.design {
                Design::CountedFence => previous.map_or(1, |previous| previous + 1),
                _ => now.max(previous.map_or(0, |previous| previous + 1)),
            };
            world.redis = Record::Held { fence, owner };
            world.leased = true;
            Answer::Granted(fence)
        };
        match (self.design, world.redis) {
            (_, Record::Done) => Answer::Done,
            (Design::ForwardThenSet, _) => Answer::Granted(now),
            (Design::SetThenForward, Record::None) => granted(world, None),
            (Design::SetThenForward, _) => Answer::Busy,
            (_, Record::Held { fence, owner: holder }) if holder == owner => {
                world.leased = true;
                Answer::Granted(fence)
            }
            (_, Record::Held { .. }) if world.leased => Answer::Busy,
            (_, Record::Held { fence, .. } | Record::Free { fence }) => granted(world, Some(fence)),
            (_, Record::None) => granted(world, None),
        }
    }

    fn settle(&self, world: &mut World, fence: u8, success: bool) {
        let own = matches!(world.redis, Record::Held { fence: current, .. } if current == fence);
        match self.design {
            // The key is the claim and the success at once, and nothing takes it back.
            Design::SetThenForward => {}
            Design::ForwardThenSet if !success => {}
            Design::FencedSuccess if !own => {}
            _ if success => {
                world.redis = Record::Done;
                world.leased = false;
                world.was_done = true;
            }
            _ if own => {
                world.redis = Record::Free { fence };
                world.leased = false;
            }
            _ => {}
        }
    }

    /// Settles an attempt; what its sidecar does next.
    fn report(&self, world: &mut World, place: usize) -> Option<Sidecar> {
        match world.sidecars[place] {
            Sidecar::Succeeded { fence } => {
                self.settle(world, fence, true);
                Some(Sidecar::Settled)
            }
            Sidecar::Failed { fence } => {
                self.settle(world, fence, false);
                Some(Sidecar::Idle)
            }
            _ => None,
        }
    }

    /// Would the next attempt be forwarded once all time is over?
    fn is_open(&self, world: &World) -> bool {
        let mut later = World {
            leased: false,
            ..world.clone()
        };
        matches!(self.claim(&mut later, u8::MAX), Answer::Granted(_))
    }
}

impl World {
    fn is_quiet(&self) -> bool {
        self.sidecars.iter().all(|sidecar| *sidecar == Sidecar::Idle)
    }

    fn is_held(&self) -> bool {
        let Record::Held { fence: current, .. } = self.redis else {
            return false;
        };
        self.sidecars.iter().any(|sidecar| match *sidecar {
            Sidecar::Forwarding { fence } | Sidecar::Succeeded { fence } | Sidecar::Failed { fence } => {
                fence == current
            }
            _ => false,
        })
    }

    fn answered(&mut self, place: usize, lost: Option<u8>, answer: &Answer) {
        self.sidecars[place] = match *answer {
            Answer::Granted(fence) => {
                if lost.is_none() || lost != Some(fence) {
                    self.broken.fence_not_growing |= fence <= self.highest_fence;
                    self.broken.forward_after_done |= self.was_done && self.faults.failovers == 0;
                    self.highest_fence = self.highest_fence.max(fence);
                }
                Sidecar::Forwarding { fence }
            }
            // 503, Retry-After.
            Answer::Busy => Sidecar::Idle,
            Answer::Done => {
                self.acked = true;
                Sidecar::Idle
            }
        };
    }
}

impl Model for Check {
    type State = World;
    type Action = Event;

    fn init_states(&self) -> Vec<World> {
        vec![World {
            redis: Record::None,
            replica: Record::None,
            leased: false,
            sidecars: vec![Sidecar::Idle; self.sidecars],
            sends: 0,
            acked: false,
            effects: 0,
            faults: Faults::default(),
            highest_fence: 0,
            was_done: false,
            broken: Broken::default(),
        }]
    }

    fn actions(&self, world: &World, events: &mut Vec<Event>) {
        let may_lose = world.faults.lost_answers < self.faults.lost_answers;
        for (place, sidecar) in world.sidecars.iter().enumerate() {
            match sidecar {
                Sidecar::Idle if world.sends < self.sends && !world.acked => events.push(Event::Send(place)),
                Sidecar::Idle => {}
                Sidecar::Asking { lost, .. } => {
                    events.push(Event::Claim(place));
                    if lost.is_some() {
                        events.push(Event::GiveUp(place));
                    } else if may_lose {
                        events.push(Event::ClaimAnswerLost(place));
                    }
                }
                Sidecar::Forwarding { .. } => {
                    events.extend([Event::AppSucceeds(place), Event::AppFails(place)]);
                    if may_lose {
                        events.push(Event::AppAnswerLost(place));
                    }
                }
                Sidecar::Succeeded { .. } | Sidecar::Failed { .. } => {
                    events.push(Event::Settle(place));
                    if may_lose {
                        events.push(Event::SettleAnswerLost(place));
                    }
                }
                Sidecar::Settled => {
                    events.push(Event::Ack(place));
                    if may_lose {
                        events.push(Event::AckLost(place));
                    }
                }
            }
            if *sidecar != Sidecar::Idle && world.faults.crashes < self.faults.crashes {
                events.push(Event::Crash(place));
            }
        }
        // Free once its holder is gone, a fault (a pause, a clock) while it is still at work.
        let may_expire = !world.is_held() || world.faults.early_expiries < self.faults.early_expiries;
        if world.leased && may_expire {
            events.push(Event::LeaseOver);
        }
        if self.faults.failovers > 0 && world.replica != world.redis {
            events.push(Event::Replicate);
        }
        if world.faults.failovers < self.faults.failovers {
            events.push(Event::Failover);
        }
    }

    fn next_state(&self, before: &World, event: Event) -> Option<World> {
        let mut world = before.clone();
        match event {
            Event::Send(place) => {
                world.sends += 1;
                let owner = world.sends;
                world.sidecars[place] = Sidecar::Asking { owner, lost: None };
            }
            Event::Claim(place) => {
                let Sidecar::Asking { owner, lost } = world.sidecars[place] else {
                    return None;
                };
                let renamed = self.design == Design::NewNameEachTime && lost.is_some();
                let name = if renamed { owner + 100 } else { owner };
                let unchanged = matches!(world.redis, Record::Held { owner: holder, .. } if holder == owner);
                let answer = self.claim(&mut world, name);
                world.broken.second_answer_differs |=
                    lost.is_some() && unchanged && !matches!(answer, Answer::Granted(fence) if lost == Some(fence));
                world.answered(place, lost, &answer);
            }
            Event::ClaimAnswerLost(place) => {
                let Sidecar::Asking { owner, .. } = world.sidecars[place] else {
                    return None;
                };
                let Answer::Granted(fence) = self.claim(&mut world, owner) else {
                    return None;
                };
                world.faults.lost_answers += 1;
                world.broken.fence_not_growing |= fence <= world.highest_fence;
                world.highest_fence = world.highest_fence.max(fence);
                world.sidecars[place] = Sidecar::Asking {
                    owner,
                    lost: Some(fence),
                };
            }
            Event::GiveUp(place) => world.sidecars[place] = Sidecar::Idle,
            Event::AppSucceeds(place) => {
                let Sidecar::Forwarding { fence } = world.sidecars[place] else {
                    return None;
                };
                world.effects += 1;
                world.sidecars[place] = Sidecar::Succeeded { fence };
            }
            Event::AppFails(place) => {
                let Sidecar::Forwarding { fence } = world.sidecars[place] else {
                    return None;
                };
                world.sidecars[place] = Sidecar::Failed { fence };
            }
            Event::AppAnswerLost(place) => {
                let Sidecar::Forwarding { fence } = world.sidecars[place] else {
                    return None;
                };
                world.effects += 1;
                world.faults.lost_answers += 1;
                world.sidecars[place] = Sidecar::Failed { fence };
            }
            Event::Settle(place) => world.sidecars[place] = self.report(&mut world, place)?,
            // Done, and nobody knows: it is told once more.
            Event::SettleAnswerLost(place) => {
                world.faults.lost_answers += 1;
                self.report(&mut world, place)?;
            }
            Event::Ack(place) => {
                world.acked = true;
                world.sidecars[place] = Sidecar::Idle;
            }
            Event::AckLost(place) => {
                world.faults.lost_answers += 1;
                world.sidecars[place] = Sidecar::Idle;
            }
            Event::Crash(place) => {
                world.faults.crashes += 1;
                world.sidecars[place] = Sidecar::Idle;
            }
            Event::LeaseOver => {
                world.faults.early_expiries += u8::from(world.is_held());
                world.leased = false;
            }
            Event::Replicate => world.replica = world.redis,
            Event::Failover => {
                world.faults.failovers += 1;
                world.redis = world.replica;
                world.leased = matches!(world.redis, Record::Held { .. });
            }
        }
        Some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("I1 an ack or D needs a success of the app", |_, world: &World| {
                world.effects > 0 || (!world.acked && world.redis != Record::Done)
            }),
            Property::always("I2 no dead claim", |check: &Check, world: &World| {
                !world.is_quiet() || world.effects > 0 || check.is_open(world)
            }),
            Property::always("I3 every effect but one is paid for by a fault", |_, world: &World| {
                world.effects <= 1 + world.faults.sum()
            }),
            Property::always("I4 every holder but one is paid for by a fault", |_, world: &World| {
                let at_work =
                    |sidecar: &&Sidecar| matches!(sidecar, Sidecar::Forwarding { .. } | Sidecar::Succeeded { .. });
                let holders = world.sidecars.iter().filter(at_work).count();
                holders <= usize::from(1 + world.faults.early_expiries + world.faults.failovers)
            }),
            Property::always("I5 once D no forward starts", |_, world: &World| {
                !world.broken.forward_after_done
            }),
            Property::always("I6 acked and quiet is D", |_, world: &World| {
                let settled = world.acked && world.is_quiet() && world.faults.failovers == 0;
                !settled || world.redis == Record::Done
            }),
            Property::always("I7 fences grow", |_, world: &World| !world.broken.fence_not_growing),
            Property::always("I12 asking again is the same question", |_, world: &World| {
                !world.broken.second_answer_differs
            }),
            Property::sometimes("a sender is told", |_, world: &World| world.acked),
            Property::sometimes("a second attempt delivers", |_, world: &World| {
                world.was_done && world.sends > 1 && world.effects == 1
            }),
        ]
    }
}
