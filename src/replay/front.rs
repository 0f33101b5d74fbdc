//! One worker's door to the ledger: Redis if there is one and it answers, else what the source's `on_outage` says.

use super::{
    Ask, Claim, Delivered, Forgotten, Grant, Lately, Ledger, MemoryLedger, OnOutage, Recalled, RedisLedger, Replays,
    Seen, Settlement, SourceTag, Succeeded, Unavailable, Verdict,
    claim::Home,
    memory::Glance,
    outage::write_back,
    redis::{Answer, Orphan, Owed},
};
use crate::event::{DeliveryKey, DestinationName, Monotonic, Variant};
use std::{sync::Arc, time::Duration};

/// How long a word of Redis that a delivery is done is believed without asking again. `forget` answers after this time,
/// so that by then every replica asks.
pub const BELIEVED: Duration = Duration::from_secs(1);

/// Cheap to clone; every worker has its own, made by [`Replays::worker`].
#[derive(Clone)]
pub struct Replay(Arc<Worker>);

/// The ledger's answer to an attempt.
#[must_use]
#[expect(
    clippy::large_enum_variant,
    reason = "nearly every decision is a claim; a box would cost each an allocation"
)]
pub enum Decision {
    /// Forward it.
    Claimed(Claim),
    /// Another attempt holds it, for at most this long.
    Busy {
        /// Rest of its lease.
        left: Duration,
    },
    /// It was delivered before.
    Done(Seen),
}

pub(super) struct Worker {
    shared: Arc<Replays>,
    redis: Option<RedisLedger>,
}

impl Replay {
    pub(super) fn new(shared: Arc<Replays>, redis: Option<RedisLedger>) -> Self {
        Self(Arc::new(Worker { shared, redis }))
    }

    /// What all workers share, for its figures.
    pub fn shared(&self) -> &Arc<Replays> {
        &self.0.shared
    }

    /// May this attempt forward? One answer per question: within the ledger's timeout, at once while Redis is known to be
    /// out. `Unavailable` under `on_outage: reject`, or when the in-process ledger is full of deliveries under way.
    pub async fn claim(&self, ask: Ask, on_outage: OnOutage) -> Result<Decision, Unavailable> {
        let asked = self.0.now();
        let mut orphan = None;
        let (verdict, home) = match self.0.ask_redis(&ask).await {
            None => (self.0.local().claim_now(&ask)?, Home::InProcess),
            Some(Ok(verdict)) => (verdict, Home::Redis),
            Some(Err((unavailable, lost))) => {
                orphan = lost;
                match on_outage {
                    OnOutage::Local => (self.0.local().claim_now(&ask)?, Home::Local),
                    OnOutage::Reject => return Err(unavailable),
                    OnOutage::Allow => (unguarded(), Home::Nobody),
                }
            }
        };
        Ok(match verdict {
            Verdict::Claimed(grant) => {
                Decision::Claimed(Claim::new(Arc::clone(&self.0), ask, grant, home, asked, orphan))
            }
            Verdict::Busy { left } => Decision::Busy { left },
            Verdict::Done(seen) => Decision::Done(seen),
        })
    }

    /// Notes a delivered repeat at the record of its first delivery; see [`Ledger::note_repeat`]. A failure costs a round
    /// trip later: the repeat's own record knows that it was delivered.
    pub async fn note_repeat(&self, source: &SourceTag, key: &DeliveryKey, variant: Variant, max: usize) {
        self.0.local().note_repeat_now(key, variant, max);
        if let Some(redis) = &self.0.redis
            && redis.store().breaker().is_closed()
        {
            let _known_by_its_own_record = redis.note_repeat(source, key, variant, max).await;
        }
    }

    /// Makes a delivered record deliverable once more within `window` (the command line says 10 minutes). When it answers,
    /// no replica calls the delivery done any more from what it remembers, so on Redis it takes [`BELIEVED`] longer. (If
    /// Redis goes out before the redelivery comes, the replicas that were not asked to forget still remember.)
    pub async fn forget(
        &self,
        source: &SourceTag,
        key: &DeliveryKey,
        window: Duration,
    ) -> Result<Forgotten, Unavailable> {
        let Some(redis) = &self.0.redis else {
            return Ok(self.0.local().forget_now(key, window));
        };
        self.0.hand_over(key).await?;
        let forgotten = redis.forget(source, key, window).await?;
        if forgotten == Forgotten::Deliverable {
            self.0.local().unlearn(key);
            tokio::time::sleep(BELIEVED).await;
        }
        Ok(forgotten)
    }

    /// The same for all that a source delivered lately. On Redis it looks at every key there is, for a minute at most: not
    /// for a worker's runtime.
    pub async fn forget_since(&self, source: &SourceTag, lately: &Lately) -> Result<Recalled, Unavailable> {
        let (local, Some(redis)) = (self.0.local(), &self.0.redis) else {
            return Ok(self.0.local().forget_since_now(source, lately));
        };
        if local.entries() > 0 {
            write_back(local, redis).await;
        }
        let recalled = redis.forget_since(source, lately).await?;
        local.unlearn_all(source);
        tokio::time::sleep(BELIEVED).await;
        Ok(recalled)
    }
}

impl Worker {
    pub(super) fn now(&self) -> Monotonic {
        self.shared.clock().monotonic()
    }

    pub(super) fn local(&self) -> &MemoryLedger {
        self.shared.local()
    }

    pub(super) fn redis(&self) -> Option<&RedisLedger> {
        self.redis.as_ref()
    }

    /// Tells Redis of a success that only this process knows; what an outage left behind is told before a new question.
    pub(super) async fn hand_over(&self, key: &DeliveryKey) -> Result<(), Unavailable> {
        if let Some(redis) = &self.redis
            && let Some(success) = self.local().success(key)
        {
            redis.settle(&success).await?;
            self.local().written(key, success.fence);
        }
        Ok(())
    }

    /// `None`: there is no Redis.
    async fn ask_redis(&self, ask: &Ask) -> Option<Result<Verdict, (Unavailable, Option<Orphan>)>> {
        let redis = self.redis.as_ref()?;
        let mut remembered = None;
        if !self.local().is_blank() {
            match self.local().glance(ask) {
                Glance::Nothing => {}
                // During and shortly after an outage: what this process holds or has delivered by itself comes first.
                Glance::Held(left) => return Some(Ok(Verdict::Busy { left })),
                Glance::Owed(success) => {
                    if let Err(unavailable) = self.tell(redis, &success).await {
                        return Some(Err((unavailable, None)));
                    }
                }
                // While Redis is out its word is left to the source's policy.
                Glance::Copy { delivered, believed } => {
                    let seen = delivered.seen_by(ask);
                    if believed && redis.store().breaker().is_closed() {
                        return Some(Ok(Verdict::Done(seen)));
                    }
                    remembered = Some(delivered);
                }
            }
        }
        let asked = self.now();
        let answer = match redis.ask(ask).await {
            Ok(answer) => answer,
            Err(failure) => return Some(Err(failure)),
        };
        if let Answer::Granted { skew, .. } = &answer {
            self.shared.note_skew(*skew);
        }
        match (&answer, remembered) {
            (Answer::Done(delivered), _) => self.learn(ask, delivered, asked),
            // Had an operator let it through once more, this would not be its first attempt. So Redis has lost it (a
            // failover, a restart): it is told, and nobody gets it twice.
            (Answer::Granted { grant, .. }, Some(delivered)) if grant.attempt == 1 => {
                restore(redis, ask, grant.fence, &delivered).await;
                return Some(Ok(Verdict::Done(delivered.seen_by(ask))));
            }
            (_, Some(_)) => self.local().unlearn(&ask.key),
            (_, None) => {}
        }
        Some(Ok(answer.verdict(ask)))
    }

    /// Remembers what Redis calls delivered; `asked`: before it was asked.
    pub(super) fn learn(&self, ask: &Ask, delivered: &Delivered, asked: Monotonic) {
        self.local().learn(&ask.source, &ask.key, delivered, asked, BELIEVED);
    }

    async fn tell(&self, redis: &RedisLedger, success: &Settlement) -> Result<(), Unavailable> {
        redis.settle(success).await?;
        self.local().written(&success.key, success.fence);
        Ok(())
    }
}

/// Makes a record that Redis has lost a delivered one again, out of the claim that it has granted instead.
async fn restore(redis: &RedisLedger, ask: &Ask, fence: u64, delivered: &Delivered) {
    // Which destinations had it matters no more at D, so any name stands for them.
    let had = vec![DestinationName::upstream()];
    let settlement = Settlement {
        key: ask.key,
        source: ask.source.clone(),
        fence,
        attempt: delivered.attempts,
        keep: delivered.left,
        open: delivered.left,
        required: had.clone(),
        delivered: had,
        last: true,
        succeeded: Succeeded::Ago(ask.keep.saturating_sub(delivered.left)),
        event: ask.event.clone(),
        values: delivered.values,
        mac: delivered.mac,
    };
    if redis.settle(&settlement).await.is_err() {
        redis.owe(Owed::Settle(Box::new(settlement)));
    }
}

fn unguarded() -> Verdict {
    Verdict::Claimed(Grant {
        fence: 0,
        attempt: 1,
        delivered: Vec::new(),
        redelivery: false,
    })
}

#[cfg(test)]
mod tests;
