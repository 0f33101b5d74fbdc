//! The replay ledger's word: new, in flight, done; and what done means for this provider.

mod wait;

use self::wait::put_patiently;
use super::{Worker, authenticate::Authentic, choose::Chosen};
use crate::{
    event::{DestinationName, Frames, Monotonic},
    limit::{LimitSpec, Limited, Repeat},
    provider::preset::NewId,
    replay::{Ask, Boarding, Claim, Decision, Duplicates, Leader, ReplayPolicy, Seen, Unavailable},
    source::{Ending, Outcome, Source, Trail},
    telemetry::{Entropy, LedgerOp, entropy},
    upstream::DestinationSpec,
};
use std::time::Duration;

/// A delivery that this attempt may forward.
pub(super) struct Claimed {
    pub chosen: Chosen,
    pub hold: Hold,
    /// Tells this process's other attempts of the delivery how it went.
    pub leader: Option<Leader<Landing>>,
}

/// By what right a request is forwarded.
pub(super) enum Hold {
    /// The ledger granted it.
    Claim(Box<Claim>),
    /// No ledger was asked, or it said `done` and the delivery is forwarded all the same.
    Unguarded {
        attempt: u32,
        /// The header that tells the app so.
        mark: Option<Mark>,
    },
}

/// Why a delivered event is forwarded again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    /// `duplicates: forward`.
    Duplicate,
    /// Its body proves that it may honestly repeat.
    Repeat,
}

/// What is put to the ledger, and what is known without it.
struct Case {
    ask: Ask,
    policy: ReplayPolicy,
    /// It was called delivered a moment ago, and has spent its budget of repetitions already.
    known: bool,
}

/// How long a delivery is known as one that is repeated, so that its budget is asked first. Whether it is still delivered
/// the ledger says, because another replica may have been told to forget it.
const REMEMBERED: Duration = Duration::from_mins(1);

/// How a single flight ends for those that wait for it.
#[derive(Clone)]
pub enum Landing {
    /// With this answer for all.
    Answer(Ending),
    /// It had been delivered before: each attempt is judged by its own signature.
    SeenBefore,
}

impl Hold {
    pub(super) fn attempt(&self) -> u32 {
        match self {
            Self::Claim(claim) => claim.attempt(),
            Self::Unguarded { attempt, .. } => *attempt,
        }
    }

    /// Destinations that had it in an earlier attempt.
    pub(super) fn delivered(&self) -> &[DestinationName] {
        match self {
            Self::Claim(claim) => claim.delivered(),
            Self::Unguarded { .. } => &[],
        }
    }

    /// The lease is over, or nearly: no forward may start.
    pub(super) fn is_overdue(&self, now: Monotonic) -> bool {
        matches!(self, Self::Claim(claim) if now >= claim.deadline())
    }
}

pub(super) async fn claim(worker: &Worker, mut chosen: Chosen, trail: &mut Trail) -> Result<Claimed, Ending> {
    let Some(policy) = chosen
        .authentic
        .source
        .replay
        .filter(|_| chosen.authentic.identity.stable)
    else {
        trail.attempt = Some(1);
        let hold = Hold::Unguarded { attempt: 1, mark: None };
        return Ok(Claimed {
            chosen,
            hold,
            leader: None,
        });
    };
    let case = Case {
        ask: ask(&chosen, policy, trail),
        policy,
        known: is_known(worker, &chosen.authentic, trail)?,
    };
    match worker.shared.flights.board(case.ask.key) {
        Boarding::Lead(leader) => lead(worker, chosen, case, leader, trail).await,
        Boarding::Join(joiner) => {
            // A joiner needs the answer only: its body goes at once.
            chosen.authentic.body = Frames::default();
            chosen.authentic.held.give_back_body();
            let patience = time_for_answer(&chosen, trail);
            let landing = tokio::time::timeout(patience, joiner.answer()).await;
            // It waited for destinations, not for us.
            trail.upstream = Some(trail.elapsed());
            match landing {
                Ok(Some(Landing::Answer(ending))) => Err(ending),
                Ok(Some(Landing::SeenBefore)) => Err(judge_joiner(worker, &chosen, case, trail).await),
                Ok(None) | Err(_) => Err(in_flight(Duration::from_secs(1))),
            }
        }
        Boarding::Full => Err(in_flight(Duration::from_secs(1))),
    }
}

async fn lead(
    worker: &Worker,
    chosen: Chosen,
    case: Case,
    leader: Leader<Landing>,
    trail: &mut Trail,
) -> Result<Claimed, Ending> {
    match put_patiently(worker, &case.ask, &chosen, trail).await {
        Ok(Decision::Claimed(claim)) => {
            trail.attempt = Some(claim.attempt());
            worker.shared.granted(&chosen.authentic, &claim, trail.arrived);
            let (hold, leader) = (Hold::Claim(Box::new(claim)), Some(leader));
            Ok(Claimed { chosen, hold, leader })
        }
        Ok(Decision::Busy { left }) => Err(landed(leader, in_flight(left))),
        Ok(Decision::Done(seen)) => {
            leader.land(&Landing::SeenBefore);
            let mark = Some(judge(worker, &chosen.authentic, &case, seen, trail)?);
            let attempt = seen.attempts.max(1);
            trail.attempt = Some(attempt);
            let hold = Hold::Unguarded { attempt, mark };
            Ok(Claimed {
                chosen,
                hold,
                leader: None,
            })
        }
        Err(unavailable) => Err(landed(leader, ledger_unavailable(&unavailable))),
    }
}

/// Who waits for this attempt gets the same answer.
fn landed(leader: Leader<Landing>, ending: Ending) -> Ending {
    leader.land_with(|| Landing::Answer(ending.clone()));
    ending
}

/// A joiner whose leader found the delivery done is judged by its own signature and id. Its body is gone: in the rare
/// case that it is to be forwarded, it is asked to come again.
async fn judge_joiner(worker: &Worker, chosen: &Chosen, case: Case, trail: &Trail) -> Ending {
    match put(worker, &case.ask, chosen).await {
        Ok(Decision::Done(seen)) => judge(worker, &chosen.authentic, &case, seen, trail)
            .map_or_else(|ending| ending, |_| in_flight(Duration::from_secs(1))),
        Ok(Decision::Claimed(claim)) => {
            claim.release().await;
            in_flight(Duration::from_secs(1))
        }
        Ok(Decision::Busy { left }) => in_flight(left),
        Err(unavailable) => ledger_unavailable(&unavailable),
    }
}

/// One question to the ledger, timed.
async fn put(worker: &Worker, ask: &Ask, chosen: &Chosen) -> Result<Decision, Unavailable> {
    let clock = &worker.shared.observers.clock;
    let asked = clock.monotonic();
    let decision = worker
        .replay
        .claim(ask.clone(), chosen.authentic.source.on_outage)
        .await;
    worker
        .shared
        .metrics
        .ledger(LedgerOp::Claim, clock.monotonic().since(asked));
    decision
}

/// Was this delivery called delivered a moment ago? Then its budget is asked before the ledger is: whoever captured one
/// request cannot make Redis work with it.
fn is_known(worker: &Worker, authentic: &Authentic, trail: &Trail) -> Result<bool, Ending> {
    let (key, source) = (&authentic.identity.key, &authentic.source);
    match worker
        .shared
        .repeats
        .ask(key, &source.name, limit(source), trail.arrived)
    {
        Repeat::Unknown => Ok(false),
        Repeat::Delivered(()) => Ok(true),
        Repeat::Limited(limited) => Err(repeated_too_often(&limited)),
    }
}

/// What a delivered record means for this attempt: an ending, or a reason to forward it all the same.
fn judge(worker: &Worker, authentic: &Authentic, case: &Case, seen: Seen, trail: &Trail) -> Result<Mark, Ending> {
    let source = &authentic.source;
    if !case.known {
        let (key, repeats) = (&authentic.identity.key, &worker.shared.repeats);
        repeats.learn(key, (), REMEMBERED, trail.arrived);
        repeats
            .spend(key, &source.name, limit(source), trail.arrived)
            .map_err(|limited| repeated_too_often(&limited))?;
    }
    let facts = source.provider.facts();
    if !seen.same_id && authentic.evidence.repeatable {
        return Ok(Mark::Repeat);
    }
    match case.policy.duplicates {
        Duplicates::Forward => return Ok(Mark::Duplicate),
        Duplicates::Reject => return Err(Ending::new(Outcome::Replayed, "delivered before; duplicates: reject")),
        Duplicates::Acknowledge => {}
    }
    if seen.same_mac && facts.resigns {
        let reason = "delivered before under this very signature, and this provider signs every attempt anew";
        return Err(Ending::new(Outcome::Replayed, reason));
    }
    if !seen.same_id && facts.new_id == NewId::Conflict {
        let reason = "this content was delivered before under another id";
        return Err(Ending::new(Outcome::Conflict, reason));
    }
    Err(Ending::new(Outcome::Duplicate, "delivered before"))
}

fn limit(source: &Source) -> Option<&LimitSpec> {
    source.limiter.as_ref().map(|limiter| limiter.spec())
}

fn repeated_too_often(limited: &Limited) -> Ending {
    let reason = "delivered before, and repeated too often";
    Ending::limited(Outcome::RateLimited, reason, limited)
}

fn ask(chosen: &Chosen, policy: ReplayPolicy, trail: &Trail) -> Ask {
    let Authentic {
        source,
        identity,
        evidence,
        ledger_timeout,
        ..
    } = &*chosen.authentic;
    Ask {
        key: identity.key,
        owner: entropy(Entropy::nonce),
        lease: Ask::lease_for(time_for_answer(chosen, trail), *ledger_timeout),
        open: policy.keep,
        keep: policy.keep,
        source: source.tag.clone(),
        event: evidence.events.last().cloned(),
        id: identity.unsigned_id,
        mac: evidence.mac,
    }
}

/// The longest that any destination of this delivery may take, within what the provider still waits.
fn time_for_answer(chosen: &Chosen, trail: &Trail) -> Duration {
    let targets = chosen.required.iter().chain(&chosen.optional);
    let longest = targets.map(|target| target.to.timeout).max().unwrap_or_default();
    longest.min(patience(&chosen.authentic, trail))
}

/// The time for an answer of one destination: the smaller of its `timeout` and the provider's deadline less a margin,
/// less the time that the request has already taken.
pub(super) fn time_for(authentic: &Authentic, to: &DestinationSpec, trail: &Trail) -> Duration {
    to.timeout.min(patience(authentic, trail))
}

fn patience(authentic: &Authentic, trail: &Trail) -> Duration {
    const LEAST: Duration = Duration::from_millis(100);
    let Some(deadline) = authentic.source.provider.facts().deadline else {
        return Duration::MAX;
    };
    // A tenth is for the way back and for settling: an answer that comes too late is a retry.
    let margin = (deadline / 10).clamp(LEAST, LEAST * 5);
    deadline
        .saturating_sub(margin)
        .saturating_sub(trail.elapsed())
        .max(LEAST)
}

fn in_flight(left: Duration) -> Ending {
    // Soonest is right after the lease; but a long lease is no reason for a long silence.
    let seconds = left
        .as_secs()
        .saturating_add(u64::from(left.subsec_nanos() > 0))
        .min(30);
    Ending::new(Outcome::InFlight, "another attempt is delivering it").with_retry_after(seconds)
}

fn ledger_unavailable(unavailable: &Unavailable) -> Ending {
    Ending::new(Outcome::LedgerUnavailable, unavailable.to_string()).with_retry_after(5)
}
