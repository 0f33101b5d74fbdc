//! Asks the replay ledger whether a verified request may be forwarded: new, in flight, or delivered before.

mod doorbell;
mod hold;
mod judge;
mod repeat;
mod wait;

pub(super) use self::hold::{Hold, Marks};
use self::{hold::Parent, judge::Judged, wait::put_patiently};
use super::{Worker, authenticate::Authentic, choose::Chosen};
use crate::{
    event::{DeliveryKey, Frames},
    limit::{LimitSpec, Limited, Repeat},
    replay::{Ask, Boarding, Decision, Joiner, Leader, ReplayPolicy, Standing, Unavailable},
    source::{Ending, Outcome, Source, Trail},
    telemetry::{Entropy, LedgerOp, entropy},
    upstream::DestinationSpec,
};
use std::time::Duration;

/// A delivery that this attempt may forward.
pub(super) struct Claimed {
    pub chosen: Chosen,
    pub hold: Hold,
    /// The headers by which the app learns why the delivery is repeated.
    pub marks: Marks,
    /// Passes the outcome to this process's other attempts of the delivery.
    pub leader: Option<Leader<Landing>>,
}

/// One question to the ledger, and the facts that are known without it.
struct Case {
    ask: Ask,
    policy: ReplayPolicy,
    /// Attempts with the same key and values; the key where nothing distinguishes attempts.
    flight: DeliveryKey,
    /// The attempt may be a repeat that is forwarded, so its values have an answered budget of their own.
    may_repeat: bool,
    /// The key was called delivered a moment ago, and the budget of answered repeats is spent.
    known: bool,
    /// The budget of forwarded repeats is spent.
    paid: bool,
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

pub(super) async fn claim(worker: &Worker, chosen: Chosen, trail: &mut Trail) -> Result<Claimed, Ending> {
    let authentic = &chosen.authentic;
    if let Some(content) = authentic.identity.doorbell {
        return doorbell::forward(worker, chosen, &content, trail).await;
    }
    let Some(policy) = authentic.source.replay.filter(|_| authentic.identity.tracked) else {
        trail.attempt = Some(1);
        return Ok(Claimed {
            chosen,
            hold: Hold::Unguarded { attempt: 1 },
            marks: Marks::default(),
            leader: None,
        });
    };
    let case = case(worker, &chosen, policy, trail).await?;
    match worker.shared.flights.board(case.flight) {
        Boarding::Lead(leader) => lead(worker, chosen, case, leader, trail).await,
        Boarding::Join(joiner) => Err(join(worker, chosen, case, joiner, trail).await),
        Boarding::Full => Err(in_flight(Duration::from_secs(1))),
    }
}

/// Spends the budgets that need no ledger: a stranger with a captured request cannot make Redis work with it.
async fn case(worker: &Worker, chosen: &Chosen, policy: ReplayPolicy, trail: &mut Trail) -> Result<Case, Ending> {
    let ask = ask(chosen, policy, trail);
    let variant = ask.values.variant();
    let may_repeat = judge::may_repeat(&chosen.authentic);
    let mut case = Case {
        flight: variant.map_or(ask.key, |variant| ask.key.of_repeat(&variant)),
        ask,
        policy,
        may_repeat,
        known: false,
        paid: false,
    };
    case.known = is_known(worker, &chosen.authentic.source, case.budget_key(), trail)?;
    if may_repeat && !case.known && worker.shared.repeats.knows(&case.ask.key, trail.arrived) {
        repeat::pay(worker, &chosen.authentic, &mut case, trail).await?;
    }
    Ok(case)
}

impl Case {
    /// The key whose budget answered repeats spend.
    fn budget_key(&self) -> &DeliveryKey {
        if self.may_repeat { &self.flight } else { &self.ask.key }
    }
}

async fn lead(
    worker: &Worker,
    chosen: Chosen,
    mut case: Case,
    leader: Leader<Landing>,
    trail: &mut Trail,
) -> Result<Claimed, Ending> {
    match put_patiently(worker, &case.ask, &chosen, trail).await {
        Ok(Decision::Claimed(claim)) => {
            trail.attempt = Some(claim.attempt());
            worker.shared.granted(&chosen.authentic, &claim, trail.arrived);
            let marks = Marks {
                redelivery: claim.is_redelivery(),
                ..Marks::default()
            };
            Ok(Claimed {
                chosen,
                hold: Hold::Claim(Box::new(claim)),
                marks,
                leader: Some(leader),
            })
        }
        Ok(Decision::Busy { left }) => match judge::beside(&chosen.authentic, &case) {
            Some(max) => repeat::claim(worker, chosen, &mut case, (Standing::Pending, max), leader, trail).await,
            None => Err(landed(leader, in_flight(left))),
        },
        Ok(Decision::Done(seen)) => match judge::judge(worker, &chosen.authentic, &case, &seen, trail) {
            Ok(Judged::Repeat { max }) => {
                repeat::claim(worker, chosen, &mut case, (seen.standing, max), leader, trail).await
            }
            judged => {
                leader.land(&Landing::SeenBefore);
                let Judged::Duplicate = judged? else {
                    unreachable!("a repeat is claimed above")
                };
                let attempt = seen.attempts.max(1);
                trail.attempt = Some(attempt);
                let marks = Marks {
                    duplicate: true,
                    ..Marks::default()
                };
                Ok(Claimed {
                    chosen,
                    hold: Hold::Unguarded { attempt },
                    marks,
                    leader: None,
                })
            }
        },
        Err(unavailable) => Err(landed(leader, ledger_unavailable(&unavailable))),
    }
}

/// Waits for the answer of the attempt that leads.
async fn join(worker: &Worker, mut chosen: Chosen, case: Case, joiner: Joiner<Landing>, trail: &mut Trail) -> Ending {
    // A joiner needs the answer only: its body goes at once.
    chosen.authentic.body = Frames::default();
    chosen.authentic.held.give_back_body();
    let patience = time_for_answer(&chosen, trail);
    let landing = tokio::time::timeout(patience, joiner.answer()).await;
    // It waited for destinations, not for us.
    trail.upstream = Some(trail.elapsed());
    match landing {
        Ok(Some(Landing::Answer(ending))) => ending,
        Ok(Some(Landing::SeenBefore)) => judge_joiner(worker, &chosen, case, trail).await,
        Ok(None) | Err(_) => in_flight(Duration::from_secs(1)),
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
        Ok(Decision::Done(seen)) => judge::judge(worker, &chosen.authentic, &case, &seen, trail)
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

/// Was this key called delivered a moment ago? Then its budget is spent here.
fn is_known(worker: &Worker, source: &Source, key: &DeliveryKey, trail: &Trail) -> Result<bool, Ending> {
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
        values: identity.values,
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

/// The time within which the provider still takes an answer; unbounded where its deadline is not known.
pub(super) fn patience(authentic: &Authentic, trail: &Trail) -> Duration {
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
