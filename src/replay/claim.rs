//! A granted claim: the right, until its deadline, to forward one delivery, and the duty to say how that ended.

use super::{
    Ask, Delivered, Grant, Ledger, Marks, Renewal, Renewed, Settled, Settlement, Succeeded, Unavailable,
    front::Worker,
    redis::{Orphan, Owed, RedisLedger},
};
use crate::event::{DeliveryKey, DestinationName, Monotonic};
use std::{sync::Arc, time::Duration};

/// A forward ends this long before its lease does.
pub(super) const MARGIN: Duration = Duration::from_secs(1);

/// Held by the attempt that forwards. Dropped without a word it blocks the delivery until its lease is over.
#[must_use = "a claim is settled or released; otherwise the delivery is blocked for a lease"]
pub struct Claim {
    witness: Witness,
    asked: Monotonic,
    /// Redis was asked first and its answer was lost: it may hold this delivery for us. Left so while we forward, because
    /// it keeps other replicas from doing the same, and freed when this attempt ends without having delivered.
    orphan: Option<Orphan>,
}

/// Tells the ledger of a destination that has had the delivery, even after the attempt itself was settled: an optional
/// destination may take longer than the answer.
#[derive(Clone)]
pub struct Witness {
    worker: Arc<Worker>,
    ask: Ask,
    grant: Grant,
    home: Home,
    /// Before the question was sent.
    asked: Monotonic,
}

/// Who granted it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Home {
    /// Redis.
    Redis,
    /// The in-process ledger, because there is no other.
    InProcess,
    /// The in-process ledger, because Redis is out.
    Local,
    /// Nobody: `on_outage: allow`.
    Nobody,
}

impl Claim {
    /// `asked`: before the question was sent.
    pub(super) fn new(
        worker: Arc<Worker>,
        ask: Ask,
        grant: Grant,
        home: Home,
        asked: Monotonic,
        orphan: Option<Orphan>,
    ) -> Self {
        let witness = Witness {
            worker,
            ask,
            grant,
            home,
            asked,
        };
        Self { witness, asked, orphan }
    }

    /// Which delivery.
    pub fn key(&self) -> &DeliveryKey {
        &self.witness.ask.key
    }

    /// The source that the delivery belongs to.
    pub fn source(&self) -> &super::SourceTag {
        &self.witness.ask.source
    }

    /// Claims granted for this delivery so far, this one included: `Hookward-Attempt`.
    pub fn attempt(&self) -> u32 {
        self.witness.grant.attempt
    }

    /// Destinations that had it in an earlier attempt: they are not asked again.
    pub fn delivered(&self) -> &[DestinationName] {
        &self.witness.grant.delivered
    }

    /// It was delivered before, and an operator lets it through once more: `Hookward-Redelivery: true`.
    pub fn is_redelivery(&self) -> bool {
        self.witness.grant.redelivery
    }

    /// It was let through in an outage of Redis: `Hookward-Ledger: local`.
    pub fn is_local(&self) -> bool {
        matches!(self.witness.home, Home::Local | Home::Nobody)
    }

    /// No forward starts or goes on past this point of the monotonic clock: the lease, counted from before the claim was
    /// sent, less a second of margin (a quarter of a lease shorter than four).
    pub fn deadline(&self) -> Monotonic {
        let lease = self.witness.ask.lease;
        self.asked.plus(lease.saturating_sub(MARGIN.min(lease / 4)))
    }

    /// A handle that outlives the claim, for what is still under way when it is settled.
    pub fn witness(&self) -> Witness {
        self.witness.clone()
    }

    /// The attempt is over. `required` are the destinations that must have had the delivery before it counts as
    /// delivered (at least one; with none it never does), `delivered` those that answered 2xx in this attempt.
    ///
    /// Succeeds whatever Redis does: what it cannot be told now, it is told later.
    pub async fn settle(
        mut self,
        required: impl Into<Vec<DestinationName>>,
        delivered: impl Into<Vec<DestinationName>>,
    ) -> Settled {
        let settlement = self.witness.settlement(required.into(), delivered.into(), true);
        let settled = self.witness.report(settlement).await;
        if settled == Settled::Done
            && self.witness.home == Home::Local
            && let Some(orphan) = self.orphan.take()
        {
            // Redis has been told, or will be: D takes the claim with it.
            orphan.disown();
        }
        settled
    }

    /// Nothing was forwarded: the next attempt is let through at once and bears the same number.
    pub async fn release(self) {
        let Ask { key, owner, .. } = self.witness.ask;
        match self.witness.home {
            Home::Redis => {
                let (redis, source) = (self.witness.redis(), &self.witness.ask.source);
                if redis.release(source, &key, &owner).await.is_err() {
                    redis.owe(Owed::Release {
                        source: source.clone(),
                        key,
                        owner,
                        line: None,
                    });
                }
            }
            Home::InProcess | Home::Local => self.witness.worker.local().release_now(&key, &owner),
            Home::Nobody => {}
        }
    }

    /// Holds the delivery for another lease from now on, which moves [`Self::deadline`].
    pub async fn renew(&mut self) -> Result<Renewed, Unavailable> {
        let asked = self.witness.worker.now();
        let renewal = Renewal {
            key: self.witness.ask.key,
            source: self.witness.ask.source.clone(),
            fence: self.witness.grant.fence,
            lease: self.witness.ask.lease,
            open: self.witness.ask.open,
        };
        let renewed = match self.witness.home {
            Home::Redis => self.witness.redis().renew(&renewal).await?,
            Home::InProcess | Home::Local => self.witness.worker.local().renew_now(&renewal),
            Home::Nobody => Renewed::Held,
        };
        if renewed == Renewed::Held {
            self.asked = asked;
        }
        Ok(renewed)
    }
}

impl Witness {
    /// A destination has had it while others are still at it. Never makes the delivery count as done by itself.
    pub async fn note(&self, destination: &DestinationName) {
        let settlement = self.settlement(Vec::new(), vec![destination.clone()], false);
        self.report(settlement).await;
    }

    async fn report(&self, settlement: Settlement) -> Settled {
        match self.home {
            Home::Redis => {
                let asked = self.worker.now();
                match self.redis().report(&settlement).await {
                    Ok((settled, made)) => {
                        if let Some(marks) = made {
                            self.worker.learn(&self.ask, &self.delivered(marks), asked);
                        }
                        settled
                    }
                    Err(_) => self.remember(settlement),
                }
            }
            Home::InProcess => self.keep(&settlement),
            Home::Local => {
                let settled = self.keep(&settlement);
                // Redis may be back by now. If not, the recovery tells it.
                if settlement.last {
                    let _later_otherwise = self.worker.hand_over(&settlement.key).await;
                }
                settled
            }
            Home::Nobody => self.judge(&settlement),
        }
    }

    /// Redis cannot be told: a success is kept here, where it stops replays meanwhile, and written back; the end of an
    /// attempt that did not deliver frees its lease, later.
    fn remember(&self, mut settlement: Settlement) -> Settled {
        for name in &self.grant.delivered {
            if !settlement.delivered.contains(name) {
                settlement.delivered.push(name.clone());
            }
        }
        let known = if settlement.delivered.is_empty() {
            Settled::Open
        } else {
            self.keep(&settlement)
        };
        if settlement.last && known != Settled::Done {
            self.redis().owe(Owed::Settle(Box::new(settlement)));
        }
        known
    }

    fn keep(&self, settlement: &Settlement) -> Settled {
        let kept = self.worker.local().settle_now(settlement);
        kept.unwrap_or_else(|_| self.judge(settlement))
    }

    /// What Redis has on this delivery once it has called it delivered for this attempt.
    fn delivered(&self, marks: Marks) -> Delivered {
        Delivered {
            values: self.ask.values,
            marks,
            mac: self.ask.mac,
            attempts: self.grant.attempt,
            left: self.ask.keep,
        }
    }

    /// What the settlement comes to where no ledger can keep it.
    fn judge(&self, settlement: &Settlement) -> Settled {
        let had = |name| settlement.delivered.contains(name) || self.grant.delivered.contains(name);
        if !settlement.required.is_empty() && settlement.required.iter().all(had) {
            Settled::Done
        } else {
            Settled::Open
        }
    }

    fn settlement(&self, required: Vec<DestinationName>, delivered: Vec<DestinationName>, last: bool) -> Settlement {
        Settlement {
            key: self.ask.key,
            source: self.ask.source.clone(),
            fence: self.grant.fence,
            attempt: self.grant.attempt,
            keep: self.ask.keep,
            open: self.ask.open,
            required,
            delivered,
            last,
            succeeded: Succeeded::AfterClaim(self.worker.now().since(self.asked)),
            event: self.ask.event.clone(),
            values: self.ask.values,
            mac: self.ask.mac,
        }
    }

    fn redis(&self) -> &RedisLedger {
        let redis = self.worker.redis();
        redis.expect("only Redis grants a claim whose home it is")
    }
}
