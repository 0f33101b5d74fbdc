//! The ledger on Redis: one key a delivery, one script and one round trip an operation.
//!
//! Time is Redis's own, so replicas need no common clock. The scripts use commands of Redis 6 only.

use super::{Ask, Forgotten, Grant, Ledger, Renewal, Renewed, Seen, Settled, Settlement, Unavailable, Verdict};
use crate::{
    event::{Clock, DeliveryKey, DestinationName, Nonce},
    store::{Arg, Failure, Line, Repeat, Script, Store, Value},
};
use std::{
    sync::{Arc, LazyLock},
    time::Duration,
};
use tokio::sync::mpsc;

static CLAIM: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("claim.lua")));
static SETTLE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("settle.lua")));
static RENEW: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("renew.lua")));
static RELEASE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("release.lua")));
static FORGET: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("forget.lua")));
static PROBE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("probe.lua")));

/// A record that is no delivery's.
const PROBED: &[u8] = b"hw:{probe}";

/// What Redis has yet to be told, by whoever has the time.
pub enum Owed {
    /// A claim whose answer was lost: Redis may have executed it, or may yet, and then it holds honest retries for a lease.
    Release {
        /// Which delivery.
        key: DeliveryKey,
        /// Who asked.
        owner: Nonce,
        /// The connection it was sent on: what is sent behind it there is executed behind it.
        line: Option<Line>,
    },
    /// An attempt that failed and could not say so.
    Settle(Box<Settlement>),
}

/// A claim whose answer was lost. Redis is told to release it when this is dropped.
pub(super) struct Orphan {
    redis: RedisLedger,
    owed: Option<Owed>,
}

impl Orphan {
    /// It need not be released any more.
    pub(super) fn disown(mut self) {
        self.owed = None;
    }
}

impl Drop for Orphan {
    fn drop(&mut self) {
        if let Some(owed) = self.owed.take() {
            self.redis.owe(owed);
        }
    }
}

/// A [`Ledger`] on Redis, over one worker's connection.
#[derive(Clone)]
pub struct RedisLedger {
    store: Store,
    clock: Arc<dyn Clock>,
    owed: mpsc::Sender<Owed>,
}

/// A granted claim, and what Redis's clock said.
pub(super) struct Answer {
    pub(super) verdict: Verdict,
    /// Milliseconds that Redis's clock is ahead of ours; negative: behind.
    pub(super) skew: Option<i64>,
}

impl RedisLedger {
    /// A ledger over `store`; claims whose answers were lost are put into `owed`, for [`Self::pay`]. If that is full they
    /// are dropped: their lease runs out by itself.
    pub fn new(store: Store, clock: Arc<dyn Clock>, owed: mpsc::Sender<Owed>) -> Self {
        Self { store, clock, owed }
    }

    /// The connection it works on.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Tells Redis later what could not be told in time.
    pub fn owe(&self, owed: Owed) {
        // Full: a lease is blocked until it runs out, which is what would have happened without any of this.
        let _dropped_when_full = self.owed.try_send(owed);
    }

    /// Tells Redis what is owed; gives it back if that failed. `patience` is how long an old connection may stay silent.
    pub async fn pay(&self, owed: Owed, patience: Duration) -> Result<(), Owed> {
        match owed {
            Owed::Release { key, owner, line } => {
                let mut kept = None;
                if let Some(line) = line {
                    match self.release_behind(line, &key, &owner, patience).await {
                        Ok(()) => return Ok(()),
                        Err(line) => kept = line,
                    }
                }
                // Redis answers here and not there: that connection is dead, and what of it is executed has been.
                let result = self.release(&key, &owner).await;
                result.map_err(|_| Owed::Release { key, owner, line: kept })
            }
            Owed::Settle(settlement) => match self.settle(&settlement).await {
                Ok(_) => Ok(()),
                Err(_) => Err(Owed::Settle(settlement)),
            },
        }
    }

    /// Does Redis do what a claim needs (scripts, writes, memory)? Asked past the breaker.
    pub async fn probe(&self) -> Result<(), Unavailable> {
        self.store.probe(&PROBE, PROBED, &[], Repeat::Once).await?;
        Ok(())
    }

    /// The same question, and the breaker learns of the answer.
    pub async fn heartbeat(&self) -> Result<(), Unavailable> {
        self.store.run(&PROBE, PROBED, &[], Repeat::Once).await?;
        Ok(())
    }

    /// Fails with the connection, which may only be slow.
    async fn release_behind(
        &self,
        line: Line,
        key: &DeliveryKey,
        owner: &Nonce,
        patience: Duration,
    ) -> Result<(), Option<Line>> {
        let owner = owner.to_text();
        let args = [Arg::Bytes(owner.as_bytes())];
        match Store::run_behind(line, &RELEASE, record(key).as_bytes(), &args, patience).await {
            Ok(_) => Ok(()),
            Err(Failure::Unknown { line, .. }) => Err(Some(line)),
            Err(_) => Err(None),
        }
    }

    /// [`Ledger::claim`] with Redis's clock; a claim that Redis may have executed all the same comes back as an orphan.
    pub(super) async fn ask(&self, ask: &Ask) -> Result<Answer, (Unavailable, Option<Orphan>)> {
        let owner = ask.owner.to_text();
        let args = [
            Arg::Bytes(owner.as_bytes()),
            Arg::Number(millis(ask.lease)),
            Arg::Number(millis(ask.open)),
            Arg::Bytes(ask.id.as_ref().map_or(&[], |id| id.as_bytes())),
            Arg::Bytes(ask.mac.as_ref().map_or(&[], |mac| mac.as_bytes())),
        ];
        let reply = self
            .store
            .run(&CLAIM, record(&ask.key).as_bytes(), &args, Repeat::Once)
            .await;
        let reply = reply.map_err(|failure| {
            let orphan = match &failure {
                Failure::Unknown { line, .. } => Some(Orphan {
                    redis: self.clone(),
                    owed: Some(Owed::Release {
                        key: ask.key,
                        owner: ask.owner,
                        line: Some(line.clone()),
                    }),
                }),
                _ => None,
            };
            (failure.into(), orphan)
        })?;
        self.read_claim(&reply).ok_or_else(|| (strange("claim"), None))
    }

    fn read_claim(&self, reply: &Value) -> Option<Answer> {
        let Value::Array(parts) = reply else { return None };
        let (kind, rest) = parts.split_first()?;
        let verdict = match (text(kind)?, rest) {
            ("C", [fence, attempt, now, delivered @ ..]) => {
                let delivered = delivered.iter().map(|name| DestinationName::parse(text(name)?).ok());
                let grant = Grant {
                    fence: number(fence)?,
                    attempt: number(attempt)?,
                    delivered: delivered.collect::<Option<Vec<_>>>()?,
                };
                let now: i64 = number(now)?;
                return Some(Answer {
                    verdict: Verdict::Claimed(grant),
                    skew: Some(now.saturating_sub(self.clock.wall().as_millis())),
                });
            }
            ("B", [left]) => Verdict::Busy {
                left: Duration::from_millis(number(left)?),
            },
            ("D", [same_mac, same_id, attempts]) => Verdict::Done(Seen {
                same_mac: number::<u8>(same_mac)? == 1,
                same_id: number::<u8>(same_id)? == 1,
                attempts: number(attempts)?,
            }),
            _ => return None,
        };
        Some(Answer { verdict, skew: None })
    }
}

impl Ledger for RedisLedger {
    async fn claim(&self, ask: &Ask) -> Result<Verdict, Unavailable> {
        match self.ask(ask).await {
            Ok(answer) => Ok(answer.verdict),
            // With it goes the orphan, if there is one.
            Err((unavailable, _)) => Err(unavailable),
        }
    }

    async fn settle(&self, settlement: &Settlement) -> Result<Settled, Unavailable> {
        let fence = settlement.fence.to_string();
        let mut args = vec![
            Arg::Bytes(fence.as_bytes()),
            Arg::Number(settlement.attempt.max(1).into()),
            Arg::Number(millis(settlement.keep)),
            Arg::Number(millis(settlement.open)),
            Arg::Number(settlement.last.into()),
            Arg::Bytes(settlement.id.as_ref().map_or(&[], |id| id.as_bytes())),
            Arg::Bytes(settlement.mac.as_ref().map_or(&[], |mac| mac.as_bytes())),
            Arg::Number(settlement.required.len() as u64),
        ];
        let names = settlement.required.iter().chain(&settlement.delivered);
        args.extend(names.map(|name| Arg::Bytes(name.as_str().as_bytes())));
        let reply = self
            .store
            .run(&SETTLE, record(&settlement.key).as_bytes(), &args, Repeat::Once)
            .await?;
        match text(&reply) {
            Some("D") => Ok(Settled::Done),
            Some("O") => Ok(Settled::Open),
            Some("F") => Ok(Settled::Fenced),
            _ => Err(strange("settle")),
        }
    }

    async fn renew(&self, renewal: &Renewal) -> Result<Renewed, Unavailable> {
        let fence = renewal.fence.to_string();
        let args = [
            Arg::Bytes(fence.as_bytes()),
            Arg::Number(millis(renewal.lease)),
            Arg::Number(millis(renewal.open)),
        ];
        let reply = self
            .store
            .run(&RENEW, record(&renewal.key).as_bytes(), &args, Repeat::Once)
            .await?;
        match reply {
            Value::Int(1) => Ok(Renewed::Held),
            Value::Int(0) => Ok(Renewed::Fenced),
            _ => Err(strange("renew")),
        }
    }

    async fn release(&self, key: &DeliveryKey, owner: &Nonce) -> Result<(), Unavailable> {
        let owner = owner.to_text();
        let args = [Arg::Bytes(owner.as_bytes())];
        self.store
            .run(&RELEASE, record(key).as_bytes(), &args, Repeat::Once)
            .await?;
        Ok(())
    }

    async fn forget(&self, key: &DeliveryKey, window: Duration) -> Result<Forgotten, Unavailable> {
        let args = [Arg::Number(millis(window))];
        let reply = self
            .store
            .run(&FORGET, record(key).as_bytes(), &args, Repeat::Once)
            .await?;
        let Value::Array(parts) = &reply else {
            return Err(strange("forget"));
        };
        let forgotten = match (parts.first().and_then(text), parts.get(1)) {
            (Some("D"), None) => Some(Forgotten::Deliverable),
            (Some("F"), None) => Some(Forgotten::NotDelivered),
            (Some("N"), None) => Some(Forgotten::Unknown),
            (Some("B"), Some(left)) => number(left).map(|left| Forgotten::InFlight {
                left: Duration::from_millis(left),
            }),
            _ => None,
        };
        forgotten.ok_or_else(|| strange("forget"))
    }
}

impl From<Failure> for Unavailable {
    fn from(failure: Failure) -> Self {
        Self {
            reason: failure.to_string(),
        }
    }
}

/// The name of a record: digests only, never text from outside, and one slot of a Cluster.
fn record(key: &DeliveryKey) -> String {
    format!("hw:{{{}}}", key.to_text())
}

/// Whole milliseconds, rounded up: a lease or a life of 0 would be none.
fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos().div_ceil(1_000_000))
        .unwrap_or(u64::MAX)
        .clamp(1, MAX_MILLIS)
}

/// A thousand years: what a double holds exactly, and `PEXPIRE` takes.
const MAX_MILLIS: u64 = 31_536_000_000_000;

fn text(value: &Value) -> Option<&str> {
    match value {
        Value::BulkString(bytes) => std::str::from_utf8(bytes).ok(),
        Value::SimpleString(text) => Some(text),
        _ => None,
    }
}

fn number<T: TryFrom<i64>>(value: &Value) -> Option<T> {
    match value {
        Value::Int(number) => T::try_from(*number).ok(),
        _ => None,
    }
}

fn strange(operation: &str) -> Unavailable {
    Unavailable {
        reason: format!("Redis gave an answer to {operation} that no version of hookward's script gives"),
    }
}
