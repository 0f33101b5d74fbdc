//! The world of the ledger's model: replicas, their Redis, what may happen to them, and what must hold all the time.

use stateright::{Model, Property};

/// How a replica uses its ledger. All but the first are wrong, each in a way of its own.
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
    /// A claim is given back without looking whose it is by now.
    ReleaseOfAnybody,
    /// A failed attempt frees the delivery, and with it who has had it.
    FailureForgetsSuccesses,
    /// With no destination required, all that are required have had it.
    NothingRequiredIsDone,
    /// What a replica did alone in an outage of Redis stays with it.
    NothingWrittenBack,
    /// What it writes back of half a fan-out also says that the attempt is over, which may be at work still.
    WriteBackEndsTheAttempt,
}

/// Destinations as bits.
type Set = u8;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum State {
    #[default]
    None,
    Held {
        owner: u8,
    },
    Free,
    Done {
        /// An operator lets it through once more.
        again: bool,
    },
}

/// What is kept of the delivery: in Redis, in Redis's replica, in a sidecar.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Record {
    state: State,
    fence: u8,
    had: Set,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Book {
    record: Record,
    /// The lease of a held record has not run out.
    leased: bool,
    /// Its clock: it goes on between two claims, whatever becomes of the record.
    fence: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Home {
    Redis,
    /// The sidecar's own, because Redis could not be asked.
    Local,
}

/// A claimed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Work {
    owner: u8,
    fence: u8,
    home: Home,
    /// Redis may hold a claim of this attempt although another ledger granted it.
    orphan: bool,
    /// As the grant said.
    had: Set,
    todo: Set,
    succeeded: Set,
    noted: Set,
}

/// One sidecar, at most one attempt at a time (the others join it: `src/replay/flight.rs`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Sidecar {
    Idle,
    /// Has an attempt and no answer of the ledger; `lost`: the fence that an answer that was lost granted.
    Asking {
        owner: u8,
        lost: Option<u8>,
    },
    Working(Work),
    /// Knows that all have had it, and has not told the sender yet.
    Settled,
}

/// How often each may happen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Faults {
    pub crashes: u8,
    pub early_expiries: u8,
    pub failovers: u8,
    pub lost_answers: u8,
    pub outages: u8,
}

impl Faults {
    pub const fn all(count: u8) -> Self {
        Self {
            crashes: count,
            early_expiries: count,
            failovers: count,
            lost_answers: count,
            outages: count,
        }
    }

    const fn sum(self) -> u8 {
        self.crashes + self.early_expiries + self.failovers + self.lost_answers + self.outages
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct World {
    redis: Book,
    replica: Record,
    down: bool,
    sidecars: Vec<Sidecar>,
    /// What each sidecar decides by while it cannot ask Redis.
    locals: Vec<Book>,
    /// Claims that Redis is to be told to release, as bits by owner.
    orphans: u8,
    sends: u8,
    /// The sender was told 2xx.
    acked: bool,
    /// 2xx of each app.
    effects: [u8; 2],
    faults: Faults,
    /// Grants of replicas that could not ask Redis: each may be one that Redis would have refused.
    alone: u8,
    forgotten: u8,
    releases: u8,
    /// A crash took a success that only its sidecar knew.
    knowledge_lost: bool,
    /// What Redis has been told and has had no reason to forget.
    told: Set,
    told_done: bool,
    broken: Broken,
}

/// What can only be seen while it happens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Broken {
    fence_not_growing: bool,
    forward_after_done: bool,
    stranger_released: bool,
    sent_again: bool,
    second_answer_differs: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    Send(usize),
    Claim(usize),
    ClaimAnswerLost(usize),
    GiveUp(usize),
    GoAlone(usize),
    Succeeds(usize, Set),
    Fails(usize, Set),
    AppAnswerLost(usize, Set),
    Note(usize),
    Release(usize),
    Renew(usize),
    Settle(usize),
    SettleAnswerLost(usize),
    Ack(usize),
    AckLost(usize),
    WriteBack(usize),
    Crash(usize),
    ReleaseOrphan(u8),
    Forget,
    WindowOver,
    LeaseOver,
    Replicate,
    Failover,
    Outage,
    Recovery,
}

#[derive(Clone, Copy, Debug)]
pub struct Check {
    pub design: Design,
    pub sidecars: usize,
    /// Required ones: one or two.
    pub destinations: usize,
    pub sends: u8,
    /// How often an operator asks for it once more.
    pub forgets: u8,
    /// How often a granted attempt is refused by a limit and given back.
    pub releases: u8,
    pub faults: Faults,
}

/// What a claim is answered.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Answer {
    Granted(u8),
    Busy,
    Done,
}

impl Book {
    /// No fence of a sidecar's clock is one of Redis's.
    const LOCAL: Self = Self {
        record: Record {
            state: State::None,
            fence: 0,
            had: 0,
        },
        leased: false,
        fence: 100,
    };

    fn holder(&self) -> Option<u8> {
        match self.record.state {
            State::Held { owner } => Some(owner),
            _ => None,
        }
    }

    fn is_done(&self) -> bool {
        matches!(self.record.state, State::Done { .. })
    }

    /// It knows of a success that nobody else may know of.
    fn knows(&self) -> bool {
        self.is_done() || (self.record.state == State::Free && self.record.had != 0)
    }
}

impl Check {
    const fn required(&self) -> Set {
        (1 << self.destinations) - 1
    }

    fn claim(&self, book: &mut Book, owner: u8) -> Answer {
        let now = book.fence + 1;
        let record = book.record;
        let had = match record.state {
            State::Done { again: false } => return Answer::Done,
            // The only one that asks before it knows; nothing is held.
            _ if self.design == Design::ForwardThenSet => return Answer::Granted(now),
            State::Held { .. } if self.design == Design::SetThenForward => return Answer::Busy,
            State::Held { owner: holder } if holder == owner => {
                book.leased = true;
                return Answer::Granted(record.fence);
            }
            State::Held { .. } if book.leased => return Answer::Busy,
            // An operator's wish: every destination gets it again.
            State::Done { again: true } => 0,
            State::None | State::Held { .. } | State::Free => record.had,
        };
        let fence = match self.design {
            Design::CountedFence => record.fence + 1,
            _ => now.max(record.fence + 1),
        };
        let state = State::Held { owner };
        book.record = Record { state, fence, had };
        book.leased = true;
        Answer::Granted(fence)
    }

    /// True: all that are required have had it.
    fn settle(&self, book: &mut Book, fence: u8, required: Set, succeeded: Set, last: bool) -> bool {
        let record = &mut book.record;
        let own = matches!(record.state, State::Held { .. }) && record.fence == fence;
        let knows = record.had | succeeded;
        let all = required & !knows == 0 && (required != 0 || self.design == Design::NothingRequiredIsDone);
        match (self.design, record.state) {
            // The key is the claim and the success at once, and nothing takes it back.
            (Design::SetThenForward, _) => return all,
            (_, State::Done { .. }) => return true,
            (Design::ForwardThenSet, _) if !all => return false,
            (Design::FencedSuccess, _) if !own => return false,
            _ => {}
        }
        if all {
            (record.state, record.had, book.leased) = (State::Done { again: false }, 0, false);
            return true;
        }
        if record.state == State::None {
            if succeeded != 0 {
                let had = succeeded;
                *record = Record {
                    state: State::Free,
                    fence,
                    had,
                };
            }
            return false;
        }
        record.had = knows;
        if own && last {
            record.state = State::Free;
            book.leased = false;
            if self.design == Design::FailureForgetsSuccesses {
                record.had = 0;
            }
        }
        false
    }

    fn release(&self, world: &mut World, book: impl Fn(&mut World) -> &mut Book, owner: u8) {
        let record = &mut book(world).record;
        let State::Held { owner: holder } = record.state else {
            return;
        };
        if holder == owner || self.design == Design::ReleaseOfAnybody {
            record.state = State::Free;
            world.broken.stranger_released |= holder != owner;
        }
    }

    /// Redis is told of an attempt, or of what a sidecar did alone.
    fn tell_redis(&self, world: &mut World, fence: u8, required: Set, succeeded: Set, last: bool) -> bool {
        let done = self.settle(&mut world.redis, fence, required, succeeded, last);
        world.told |= succeeded;
        world.told_done |= world.redis.is_done();
        done
    }

    /// An attempt is over; what its sidecar knows now.
    fn report(&self, world: &mut World, place: usize, work: Work) -> Sidecar {
        let required = self.required();
        let done = if work.home == Home::Redis && !world.down {
            self.tell_redis(world, work.fence, required, work.succeeded, true)
        } else {
            // Redis cannot be told: a success is kept here, a failure only frees the lease, later.
            let knows = work.had | work.succeeded;
            let here = work.home == Home::Local;
            let done = (here || knows != 0) && self.settle(&mut world.locals[place], work.fence, required, knows, true);
            if !done && (work.orphan || !here) {
                world.orphans |= 1 << work.owner;
            }
            done
        };
        if done { Sidecar::Settled } else { Sidecar::Idle }
    }

    /// The next authentic attempt at one sidecar, once all time is over: is it forwarded to all who lack it?
    fn is_open(&self, world: &World, place: usize) -> bool {
        let mut later = world.clone();
        let mut book = if world.down {
            later.locals[place]
        } else {
            if world.locals[place].knows() {
                self.write_back(&mut later, place);
            }
            later.redis
        };
        book.leased = false;
        match self.claim(&mut book, u8::MAX) {
            Answer::Granted(_) => {
                (0..self.destinations).all(|d| world.effects[d] > 0 || book.record.had & (1 << d) == 0)
            }
            Answer::Done => true,
            Answer::Busy => false,
        }
    }

    fn write_back(&self, world: &mut World, place: usize) {
        let Record { fence, had, .. } = world.locals[place].record;
        let required = self.required();
        if self.design == Design::NothingWrittenBack {
        } else if world.locals[place].is_done() {
            // Who had it matters no more at D.
            self.tell_redis(world, fence, required, required, true);
        } else {
            let last = self.design == Design::WriteBackEndsTheAttempt;
            self.tell_redis(world, fence, 0, had, last);
        }
        world.locals[place].record = Record::default();
    }

    fn granted(&self, world: &mut World, place: usize, owner: u8, fence: u8, home: Home, orphan: bool) {
        let record = match home {
            Home::Redis => world.redis.record,
            Home::Local => world.locals[place].record,
        };
        let todo = self.required() & !record.had;
        world.sidecars[place] = Sidecar::Working(Work {
            owner,
            fence,
            home,
            orphan,
            had: record.had,
            todo,
            succeeded: 0,
            noted: 0,
        });
    }

    /// What a claim at Redis changes beside the record.
    fn ask_redis(&self, world: &mut World, owner: u8) -> Answer {
        let again = world.redis.record.state == State::Done { again: true };
        let before = world.redis;
        let answer = self.claim(&mut world.redis, owner);
        if let Answer::Granted(fence) = answer
            && before.holder() != Some(owner)
        {
            world.broken.fence_not_growing |= fence <= before.fence;
            if again {
                (world.told, world.told_done) = (0, false);
            }
            world.broken.forward_after_done |= world.told_done;
            world.broken.sent_again |= self.required() & !world.redis.record.had & world.told != 0;
            world.redis.fence = before.fence.max(fence);
        }
        answer
    }
}

impl World {
    fn is_quiet(&self) -> bool {
        self.sidecars.iter().all(|sidecar| *sidecar == Sidecar::Idle)
    }

    /// Somebody is at work under Redis's current claim.
    fn is_held(&self) -> bool {
        let Some(holder) = self.redis.holder() else {
            return false;
        };
        let holds =
            |sidecar: &Sidecar| matches!(sidecar, Sidecar::Working(work) if work.owner == holder && !work.idle());
        self.sidecars.iter().any(holds)
    }

    fn at_work(&self, home: Home) -> u8 {
        let works =
            |sidecar: &&Sidecar| matches!(sidecar, Sidecar::Working(work) if work.home == home && work.todo != 0);
        u8::try_from(self.sidecars.iter().filter(works).count()).expect("a few")
    }

    fn working(&mut self, place: usize) -> Option<&mut Work> {
        match &mut self.sidecars[place] {
            Sidecar::Working(work) => Some(work),
            _ => None,
        }
    }
}

impl Work {
    /// Granted by another ledger than the one that may hold a claim for it.
    const fn idle(&self) -> bool {
        matches!(self.home, Home::Local) && !self.orphan
    }

    /// Nothing was forwarded yet.
    const fn is_fresh(&self, required: Set) -> bool {
        self.succeeded == 0 && self.todo == required & !self.had
    }
}

impl Model for Check {
    type State = World;
    type Action = Event;

    fn init_states(&self) -> Vec<World> {
        vec![World {
            redis: Book::default(),
            replica: Record::default(),
            down: false,
            sidecars: vec![Sidecar::Idle; self.sidecars],
            locals: vec![Book::LOCAL; self.sidecars],
            orphans: 0,
            sends: 0,
            acked: false,
            effects: [0; 2],
            faults: Faults::default(),
            alone: 0,
            forgotten: 0,
            releases: 0,
            knowledge_lost: false,
            told: 0,
            told_done: false,
            broken: Broken::default(),
        }]
    }

    fn actions(&self, world: &World, events: &mut Vec<Event>) {
        for (place, sidecar) in world.sidecars.iter().enumerate() {
            self.next_of(world, place, *sidecar, events);
            let busy = *sidecar != Sidecar::Idle || world.locals[place] != Book::LOCAL;
            if busy && world.faults.crashes < self.faults.crashes {
                events.push(Event::Crash(place));
            }
            if !world.down && world.locals[place].knows() {
                events.push(Event::WriteBack(place));
            }
        }
        if !world.down {
            events.extend(
                (1..=self.sends)
                    .filter(|owner| world.orphans & (1 << owner) != 0)
                    .map(Event::ReleaseOrphan),
            );
            match world.redis.record.state {
                State::Done { again: true } => events.push(Event::WindowOver),
                State::Done { again: false } if world.forgotten < self.forgets => events.push(Event::Forget),
                _ => {}
            }
        }
        // Free once its holder is gone, a fault (a pause, a clock) while it is still at work.
        let may_expire = !world.is_held() || world.faults.early_expiries < self.faults.early_expiries;
        if world.redis.leased && may_expire {
            events.push(Event::LeaseOver);
        }
        if self.faults.failovers > 0 && world.replica != world.redis.record {
            events.push(Event::Replicate);
        }
        if world.faults.failovers < self.faults.failovers {
            events.push(Event::Failover);
        }
        if world.down {
            events.push(Event::Recovery);
        } else if world.faults.outages < self.faults.outages {
            events.push(Event::Outage);
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
                let unchanged = world.redis.holder() == Some(owner);
                let answer = self.ask_redis(&mut world, if renamed { owner + 100 } else { owner });
                world.broken.second_answer_differs |=
                    lost.is_some() && unchanged && answer != Answer::Granted(lost.expect("it is some"));
                self.answered(&mut world, place, owner, answer, Home::Redis, false);
            }
            Event::ClaimAnswerLost(place) => {
                let Sidecar::Asking { owner, .. } = world.sidecars[place] else {
                    return None;
                };
                let Answer::Granted(fence) = self.ask_redis(&mut world, owner) else {
                    return None;
                };
                world.faults.lost_answers += 1;
                let lost = Some(fence);
                world.sidecars[place] = Sidecar::Asking { owner, lost };
            }
            Event::GiveUp(place) => {
                let Sidecar::Asking { owner, lost } = world.sidecars[place] else {
                    return None;
                };
                world.orphans |= u8::from(lost.is_some()) << owner;
                world.sidecars[place] = Sidecar::Idle;
            }
            Event::GoAlone(place) => {
                let Sidecar::Asking { owner, lost } = world.sidecars[place] else {
                    return None;
                };
                let known = world.down && world.locals[place].record != Record::default();
                let answer = self.claim(&mut world.locals[place], owner);
                if let Answer::Granted(fence) = answer {
                    world.alone += u8::from(!known);
                    world.locals[place].fence = world.locals[place].fence.max(fence);
                }
                self.answered(&mut world, place, owner, answer, Home::Local, lost.is_some());
            }
            Event::Succeeds(place, one) | Event::AppAnswerLost(place, one) => {
                world.effects[one.trailing_zeros() as usize] += 1;
                let lost = matches!(event, Event::AppAnswerLost(..));
                world.faults.lost_answers += u8::from(lost);
                let work = world.working(place)?;
                work.todo &= !one;
                work.succeeded |= if lost { 0 } else { one };
            }
            Event::Fails(place, one) => world.working(place)?.todo &= !one,
            Event::Note(place) => {
                let work = world.working(place)?;
                work.noted = work.succeeded;
                let Work {
                    fence,
                    succeeded,
                    home,
                    had,
                    ..
                } = *work;
                match home {
                    Home::Redis if !world.down => self.tell_redis(&mut world, fence, 0, succeeded, false),
                    _ => self.settle(&mut world.locals[place], fence, 0, had | succeeded, false),
                };
            }
            Event::Release(place) => {
                world.releases += 1;
                let Work {
                    owner, home, orphan, ..
                } = *world.working(place)?;
                match home {
                    Home::Redis if world.down => world.orphans |= 1 << owner,
                    Home::Redis => self.release(&mut world, |world| &mut world.redis, owner),
                    Home::Local => self.release(&mut world, |world| &mut world.locals[place], owner),
                }
                world.orphans |= u8::from(orphan) << owner;
                world.sidecars[place] = Sidecar::Idle;
            }
            Event::Renew(place) => {
                let fence = world.working(place)?.fence;
                if world.redis.holder().is_some() && world.redis.record.fence == fence {
                    world.redis.leased = true;
                } else {
                    // No forward starts any more.
                    world.working(place)?.todo = 0;
                }
            }
            Event::Settle(place) => {
                let work = *world.working(place)?;
                world.sidecars[place] = self.report(&mut world, place, work);
            }
            // Done, and nobody knows: it is told once more.
            Event::SettleAnswerLost(place) => {
                world.faults.lost_answers += 1;
                let work = *world.working(place)?;
                self.report(&mut world, place, work);
            }
            Event::Ack(place) => {
                world.acked = true;
                world.sidecars[place] = Sidecar::Idle;
            }
            Event::AckLost(place) => {
                world.faults.lost_answers += 1;
                world.sidecars[place] = Sidecar::Idle;
            }
            Event::WriteBack(place) => self.write_back(&mut world, place),
            Event::Crash(place) => {
                world.faults.crashes += 1;
                world.knowledge_lost |= world.locals[place].knows();
                world.sidecars[place] = Sidecar::Idle;
                world.locals[place] = Book::LOCAL;
            }
            Event::ReleaseOrphan(owner) => {
                world.orphans &= !(1 << owner);
                self.release(&mut world, |world| &mut world.redis, owner);
            }
            Event::Forget => {
                world.forgotten += 1;
                world.redis.record.state = State::Done { again: true };
            }
            Event::WindowOver => world.redis.record.state = State::Done { again: false },
            Event::LeaseOver => {
                world.faults.early_expiries += u8::from(world.is_held());
                world.redis.leased = false;
            }
            Event::Replicate => world.replica = world.redis.record,
            Event::Failover => {
                world.faults.failovers += 1;
                world.redis.record = world.replica;
                world.redis.leased = world.redis.holder().is_some();
                (world.told, world.told_done) = (0, false);
            }
            Event::Outage => {
                world.faults.outages += 1;
                world.down = true;
            }
            Event::Recovery => world.down = false,
        }
        Some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(
                "I1 an ack or D needs a success of every app",
                |check: &Self, world: &World| {
                    let known = world.acked || world.redis.is_done() || world.locals.iter().any(Book::is_done);
                    !known || (0..check.destinations).all(|d| world.effects[d] > 0)
                },
            ),
            Property::always("I2 no dead claim", |check: &Self, world: &World| {
                !world.is_quiet() || (0..check.sidecars).all(|place| check.is_open(world, place))
            }),
            Property::always("I3 every effect but one is paid for", |_, world: &World| {
                let paid = 1 + world.faults.sum() + world.alone + world.forgotten;
                world.effects.iter().all(|&effects| effects <= paid)
            }),
            Property::always("I4 every holder but one is paid for", |_, world: &World| {
                let Faults {
                    early_expiries,
                    failovers,
                    outages,
                    ..
                } = world.faults;
                let by_redis = world.at_work(Home::Redis);
                // D by a success that was written back, and an operator who wants it once more, while the holder works.
                let overtaken = outages.min(world.forgotten);
                by_redis <= 1 + early_expiries + failovers + overtaken
                    && by_redis + world.at_work(Home::Local) <= 1 + early_expiries + failovers + outages + world.alone
            }),
            Property::always("I5 once D no forward starts", |_, world: &World| {
                !world.broken.forward_after_done
            }),
            Property::always("I6 acked and quiet is D", |_, world: &World| {
                let excused = world.faults.failovers > 0 || world.knowledge_lost || world.forgotten > 0;
                let known = world.redis.is_done() || world.locals.iter().any(Book::is_done);
                !world.acked || !world.is_quiet() || excused || known
            }),
            Property::always("I7 fences grow", |_, world: &World| !world.broken.fence_not_growing),
            Property::always("I8 only the holder releases", |_, world: &World| {
                !world.broken.stranger_released
            }),
            Property::always("I9 who has had it does not get it again", |_, world: &World| {
                !world.broken.sent_again
            }),
            Property::always("I12 asking again is the same question", |_, world: &World| {
                !world.broken.second_answer_differs
            }),
            Property::sometimes("a sender is told", |_, world: &World| world.acked),
            Property::sometimes("a second attempt delivers", |check: &Self, world: &World| {
                let once = (0..check.destinations).all(|d| world.effects[d] == 1);
                world.told_done && world.sends > 1 && once
            }),
        ]
    }
}

impl Check {
    /// What one sidecar may do next.
    fn next_of(&self, world: &World, place: usize, sidecar: Sidecar, events: &mut Vec<Event>) {
        let may_lose = world.faults.lost_answers < self.faults.lost_answers;
        match sidecar {
            Sidecar::Idle => {
                let again = world.redis.record.state == State::Done { again: true };
                if world.sends < self.sends && (!world.acked || again) {
                    events.push(Event::Send(place));
                }
            }
            Sidecar::Asking { lost, .. } => {
                // What this process knows alone is told first.
                if !world.down && !world.locals[place].knows() {
                    events.push(Event::Claim(place));
                    if may_lose && lost.is_none() {
                        events.push(Event::ClaimAnswerLost(place));
                    }
                }
                if world.down || lost.is_some() {
                    events.extend([Event::GiveUp(place), Event::GoAlone(place)]);
                }
            }
            Sidecar::Working(work) if work.todo != 0 => {
                for one in (0..self.destinations)
                    .map(|d| 1 << d)
                    .filter(|one| work.todo & one != 0)
                {
                    events.extend([Event::Succeeds(place, one), Event::Fails(place, one)]);
                    if may_lose {
                        events.push(Event::AppAnswerLost(place, one));
                    }
                }
                if work.succeeded != work.noted {
                    events.push(Event::Note(place));
                }
                if world.releases < self.releases && work.is_fresh(self.required()) {
                    events.push(Event::Release(place));
                }
                if work.home == Home::Redis && !world.down && !world.redis.leased {
                    events.push(Event::Renew(place));
                }
            }
            Sidecar::Working(work) => {
                events.push(Event::Settle(place));
                if may_lose && work.home == Home::Redis && !world.down {
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
    }

    fn answered(&self, world: &mut World, place: usize, owner: u8, answer: Answer, home: Home, orphan: bool) {
        match answer {
            Answer::Granted(fence) => self.granted(world, place, owner, fence, home, orphan),
            // 503, Retry-After.
            Answer::Busy => world.sidecars[place] = Sidecar::Idle,
            Answer::Done => {
                world.acked = true;
                world.sidecars[place] = Sidecar::Idle;
            }
        }
    }
}
