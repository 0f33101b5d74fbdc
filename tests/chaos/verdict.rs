//! Judges a run: what was lost, what came twice, and which fault explains it.

use crate::{
    account::{Account, Attempt, Event, Work},
    faults::{Deed, Target},
    injector::Struck,
    redis::Form,
    stage::APPS,
    wire::Micros,
};
use std::collections::BTreeMap;

/// What a run comes to.
#[derive(Default)]
pub struct Verdict {
    pub sent: usize,
    pub acked: usize,
    /// Events that every app had.
    pub delivered: usize,
    /// Acknowledged, and some app never had it, or only afterwards.
    pub lost: Vec<String>,
    /// Sent, and not acknowledged to the last.
    pub never_acked: usize,
    /// Work done again, by app.
    pub duplicates: [usize; 2],
    /// Of these, by what explains them.
    pub explained: BTreeMap<Cause, usize>,
    /// And what nothing explains.
    pub unexplained: Vec<String>,
    /// The story of each that is explained.
    pub stories: Vec<String>,
    /// Faults that happened, and attempts that each of them may have hurt.
    pub faults: BTreeMap<Cause, (usize, usize)>,
    /// Works that a sidecar let through by itself while no fault of Redis was on.
    pub local_without_fault: usize,
}

/// A kind of fault, as the report names it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cause {
    pub crash: bool,
    pub target: String,
    pub deed: Deed,
}

/// What an app's answer must outlive before the ledger knows of it: the time for an answer, and a little.
const SETTLING: Micros = 1_500_000;
/// A process that is thawed, a link that is held no more, work off what has queued.
const BACKLOG: Micros = 300_000;
/// A sidecar asks Redis again within a second of its answering, and tells it what it missed.
const RECOVERY: Micros = 1_500_000;
/// A connection is made anew at once, or at most with the next probe.
const RECONNECTION: Micros = 600_000;

impl Cause {
    pub fn of(target: Target, deed: Deed) -> Self {
        Self {
            crash: deed.is_crash(),
            target: target.to_string(),
            deed,
        }
    }
}

impl Verdict {
    pub fn of(account: &Account, form: Form, struck: &[Struck]) -> Self {
        let mut verdict = Self::default();
        for (number, event) in account
            .events
            .iter()
            .enumerate()
            .filter(|(_, event)| !event.attempts.is_empty())
        {
            verdict.sent += 1;
            verdict.judge(number, event, account, (form, struck));
        }
        let mut attempts: Vec<Attempt> = account.events.iter().flat_map(|event| event.attempts.clone()).collect();
        attempts.sort_by_key(|attempt| attempt.from);
        for struck in struck {
            let (count, hurt) = verdict.faults.entry(Cause::of(struck.target, struck.deed)).or_default();
            *count += 1;
            *hurt += in_flight(struck, &attempts);
        }
        let lose = Cause::of(Target::App(0), Deed::Lose);
        verdict
            .faults
            .insert(lose, (account.lost_answers.len(), account.lost_answers.len()));
        verdict
    }

    /// Faults of the crash kind, and attempts that were in flight while they happened.
    pub fn crashes(&self) -> (usize, usize) {
        let crashes = self.faults.iter().filter(|(cause, _)| cause.crash);
        crashes.fold((0, 0), |(faults, hurt), (_, (count, more))| {
            (faults + count, hurt + more)
        })
    }

    fn judge(&mut self, number: usize, event: &Event, account: &Account, (form, struck): (Form, &[Struck])) {
        let acked = event.acked > 0;
        self.acked += usize::from(acked);
        self.never_acked += usize::from(!acked);
        self.delivered += usize::from(event.work.iter().all(|work| !work.is_empty()));
        for (app, work) in event.work.iter().enumerate() {
            let mut work = work.clone();
            work.sort_by_key(|work| work.at);
            let first = work.first().map_or(Micros::MAX, |first| first.at);
            if acked && first > event.acked {
                let when = if work.is_empty() {
                    "never had it"
                } else {
                    "had it only afterwards"
                };
                self.lost.push(format!(
                    "event {number}: acknowledged, and {} {when}\n{event:?}",
                    APPS[app]
                ));
            }
            self.local_without_fault += work.iter().filter(|work| unprovoked(work, struck)).count();
            for pair in work.windows(2) {
                self.duplicates[app] += 1;
                match explain(number, app, event, (&pair[0], &pair[1]), account, (form, struck)) {
                    Some(cause) => {
                        self.stories.push(format!(
                            "{} {:?}, {} again: {event:?}",
                            cause.target, cause.deed, APPS[app]
                        ));
                        *self.explained.entry(cause).or_default() += 1;
                    }
                    None => self
                        .unexplained
                        .push(format!("event {number}: {} did it again\n{event:#?}", APPS[app])),
                }
            }
        }
    }
}

fn unprovoked(work: &Work, struck: &[Struck]) -> bool {
    let near = |struck: &Struck| overlaps(struck, RECOVERY, work.at - BACKLOG, work.at);
    let fits = |struck: &Struck| is_of_redis(struck.target) || matches!(struck.target, Target::Sidecar(_));
    work.local && !struck.iter().any(|struck| fits(struck) && near(struck))
}

/// The fault because of which `again` followed on `work`: the nearest to the app that fits.
fn explain(
    number: usize,
    app: usize,
    event: &Event,
    (work, again): (&Work, &Work),
    account: &Account,
    (form, struck): (Form, &[Struck]),
) -> Option<Cause> {
    let this = |(lost_by, _, lost): &&(usize, Micros, u32)| *lost_by == app && *lost as usize == number;
    if account
        .lost_answers
        .iter()
        .filter(this)
        .any(|(_, at, _)| (work.at..again.at).contains(at))
    {
        return Some(Cause::of(Target::App(app), Deed::Lose));
    }
    // The attempts that may have led to the first work, and all that came before the second.
    let before = |at: Micros| event.attempts.iter().filter(move |attempt| attempt.from <= at);
    let asked = before(work.at).map(|attempt| attempt.from).min()?;
    let used = |sidecar: usize| before(again.at).any(|attempt| usize::from(attempt.sidecar) == sidecar);
    let local = work.local || again.local;
    let fits = |struck: &&Struck| match (struck.target, struck.deed) {
        // No work was done, or it was late but in time: the ledger knows.
        (_, Deed::Errors | Deed::Hole | Deed::Slow | Deed::ForgetScripts) | (Target::AppLink(..), Deed::Delay) => false,
        // Something between the work and its entry in the ledger.
        (Target::App(befallen), _) => befallen == app && hit_the_answer(struck, work, again),
        (Target::AppLink(sidecar, befallen), _) => {
            befallen == app && used(sidecar) && hit_the_answer(struck, work, again)
        }
        // Thawed, it finds that Redis has not answered for too long.
        (Target::Sidecar(sidecar), Deed::Freeze) if local => {
            used(sidecar) && overlaps(struck, RECONNECTION, asked, again.at)
        }
        (Target::Sidecar(sidecar), _) => used(sidecar) && hit_the_answer(struck, work, again),
        // The entry itself, made or asked for.
        (Target::RedisLink(link), deed) => {
            let grace = if matches!(deed, Deed::Cut | Deed::Swallow) {
                RECONNECTION
            } else {
                RECOVERY
            };
            (form == Form::Sentinel || used(link)) && overlaps(struck, grace, asked, again.at)
        }
        (Target::Redis | Target::Replica(_) | Target::Sentinel(_), _) => overlaps(struck, RECOVERY, asked, again.at),
        (Target::Machine, _) => local && overlaps(struck, RECONNECTION, asked, again.at),
    };
    // A ledger that counts the second attempt as a first one did not know of the other: it is Redis that was ill. Else it
    // knew, and the answer to the other was lost on its way.
    let forgot = local || again.attempt <= work.attempt;
    let rank = |struck: &&Struck| {
        (
            is_of_redis(struck.target) == forgot,
            struck.deed.is_crash(),
            struck.from,
        )
    };
    let nearest = struck.iter().filter(fits).max_by_key(rank)?;
    Some(Cause::of(nearest.target, nearest.deed))
}

fn hit_the_answer(struck: &Struck, work: &Work, again: &Work) -> bool {
    overlaps(struck, BACKLOG, work.at, again.at.min(work.at + SETTLING))
}

fn overlaps(struck: &Struck, grace: Micros, from: Micros, to: Micros) -> bool {
    struck.from <= to && struck.to + grace >= from
}

fn is_of_redis(target: Target) -> bool {
    matches!(
        target,
        Target::Redis | Target::RedisLink(_) | Target::Replica(_) | Target::Sentinel(_)
    )
}

/// Attempts under way during a fault that go where it hits.
fn in_flight(struck: &Struck, attempts: &[Attempt]) -> usize {
    // No attempt takes longer than its sender's patience.
    let earliest = struck.from.saturating_sub(5_000_000);
    let first = attempts.partition_point(|attempt| attempt.from < earliest);
    let concerned = |attempt: &&Attempt| match struck.target {
        Target::Sidecar(sidecar) | Target::AppLink(sidecar, _) => usize::from(attempt.sidecar) == sidecar,
        _ => true,
    };
    let during = attempts[first..].iter().take_while(|attempt| attempt.from <= struck.to);
    during
        .filter(|attempt| attempt.to >= struck.from)
        .filter(concerned)
        .count()
}
