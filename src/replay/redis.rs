//! The ledger on Redis: one key a delivery, one script and one round trip an operation.
//!
//! Time is Redis's own, so replicas need no common clock. The scripts use commands of Redis 6 only.

mod again;
mod answer;
mod owed;
mod record;

pub use owed::Owed;
pub(super) use {answer::Answer, owed::Orphan};

use answer::{number, strange, text};
use record::write_delivered;

use super::{
    Ask, Forgotten, Lately, Ledger, Recalled, Renewal, Renewed, Settled, Settlement, SourceTag, Unavailable, Verdict,
    marks::{MAX_PENDING, Marks},
};
use crate::{
    event::{Clock, DeliveryKey, Nonce, Variant},
    store::{Arg, Failure, Repeat, Script, Store, Value},
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
static LATELY: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("lately.lua")));
static NOTE_REPEAT: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("note_repeat.lua")));
static DISCARD: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("discard.lua")));
static PROBE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("probe.lua")));

/// A record that is no delivery's.
const PROBED: &[u8] = b"hw:{probe}";

/// A [`Ledger`] on Redis, over one worker's connection.
#[derive(Clone)]
pub struct RedisLedger {
    store: Store,
    clock: Arc<dyn Clock>,
    owed: mpsc::Sender<Owed>,
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

    /// Does Redis do what a claim needs (scripts, writes, memory)? Asked past the breaker. The answer is how many
    /// milliseconds its clock is ahead of ours (negative: behind).
    pub async fn probe(&self) -> Result<i64, Unavailable> {
        let answer = self.store.probe(&PROBE, PROBED, &[], Repeat::Once).await?;
        Ok(self.ahead(number(&answer).ok_or_else(|| strange("probe"))?))
    }

    /// The same question, and the breaker learns of the answer.
    pub async fn heartbeat(&self) -> Result<i64, Unavailable> {
        let answer = self.store.run(&PROBE, PROBED, &[], Repeat::Once).await?;
        Ok(self.ahead(number(&answer).ok_or_else(|| strange("probe"))?))
    }

    fn ahead(&self, now: i64) -> i64 {
        now.saturating_sub(self.clock.wall().as_millis())
    }

    /// [`Ledger::claim`] with Redis's clock; a claim that Redis may have executed all the same comes back as an orphan.
    pub(super) async fn ask(&self, ask: &Ask) -> Result<Answer, (Unavailable, Option<Orphan>)> {
        let (owner, mut variants) = (ask.owner.to_text(), String::new());
        let mut args = Vec::with_capacity(5);
        args.extend([
            Arg::Bytes(owner.as_bytes()),
            Arg::Number(millis(ask.lease)),
            Arg::Number(millis(ask.open.max(ask.lease))),
        ]);
        if let Some(variant) = ask.values.variant() {
            variant.write_text(&mut variants);
            args.push(Arg::Bytes(variants.as_bytes()));
            args.push(Arg::Number(ask.values.pending().map_or(0, |_| MAX_PENDING as u64)));
        }
        let reply = self
            .store
            .run(
                &CLAIM,
                record::name(&ask.source, &ask.key).as_bytes(),
                &args,
                Repeat::Once,
            )
            .await;
        let reply = reply.map_err(|failure| {
            let orphan = match &failure {
                Failure::Unknown { line, .. } => Some(Orphan {
                    redis: self.clone(),
                    owed: Some(Owed::Release {
                        source: ask.source.clone(),
                        key: ask.key,
                        owner: ask.owner,
                        line: Some(line.clone()),
                    }),
                }),
                _ => None,
            };
            (failure.into(), orphan)
        })?;
        self.read_claim(&reply, ask).ok_or_else(|| (strange("claim"), None))
    }

    /// [`Ledger::settle`]. Where this settlement made the record a delivered one, the variants that it remembers.
    pub(super) async fn report(&self, settlement: &Settlement) -> Result<(Settled, Option<Marks>), Unavailable> {
        let Settlement {
            required, delivered, ..
        } = settlement;
        let fence = settlement.fence.to_string();
        let becomes = if required.is_empty() {
            Vec::new()
        } else {
            write_delivered(settlement, &*self.clock)
        };
        let mut args = Vec::with_capacity(3);
        args.extend([
            Arg::Bytes(fence.as_bytes()),
            Arg::Number(millis(settlement.keep)),
            Arg::Bytes(&becomes),
        ]);
        let missing = || required.iter().filter(|name| !delivered.contains(name));
        if required.is_empty() || missing().next().is_some() {
            args.extend([
                Arg::Number(settlement.attempt.max(1).into()),
                Arg::Number(millis(settlement.open)),
                Arg::Number(settlement.last.into()),
                Arg::Number(missing().count() as u64),
            ]);
            let names = missing().chain(delivered);
            args.extend(names.map(|name| Arg::Bytes(name.as_str().as_bytes())));
        }
        let record = record::name(&settlement.source, &settlement.key);
        let reply = self.store.run(&SETTLE, record.as_bytes(), &args, Repeat::Once).await?;
        match text(&reply) {
            Some("A") => Ok((Settled::Done, None)),
            Some("O") => Ok((Settled::Open, None)),
            Some("F") => Ok((Settled::Fenced, None)),
            Some(made) => match Marks::read(made.as_bytes()) {
                Some((b"D", marks, _)) => Ok((Settled::Done, Some(marks))),
                _ => Err(strange("settle")),
            },
            None => Err(strange("settle")),
        }
    }
}

impl Ledger for RedisLedger {
    async fn claim(&self, ask: &Ask) -> Result<Verdict, Unavailable> {
        match self.ask(ask).await {
            Ok(answer) => Ok(answer.verdict(ask)),
            // With it goes the orphan, if there is one.
            Err((unavailable, _)) => Err(unavailable),
        }
    }

    async fn settle(&self, settlement: &Settlement) -> Result<Settled, Unavailable> {
        let (settled, _) = self.report(settlement).await?;
        Ok(settled)
    }

    async fn renew(&self, renewal: &Renewal) -> Result<Renewed, Unavailable> {
        let fence = renewal.fence.to_string();
        let args = [
            Arg::Bytes(fence.as_bytes()),
            Arg::Number(millis(renewal.lease)),
            Arg::Number(millis(renewal.open.max(renewal.lease))),
        ];
        let reply = self
            .store
            .run(
                &RENEW,
                record::name(&renewal.source, &renewal.key).as_bytes(),
                &args,
                Repeat::Once,
            )
            .await?;
        match reply {
            Value::Int(1) => Ok(Renewed::Held),
            Value::Int(0) => Ok(Renewed::Fenced),
            _ => Err(strange("renew")),
        }
    }

    async fn release(&self, source: &SourceTag, key: &DeliveryKey, owner: &Nonce) -> Result<(), Unavailable> {
        let owner = owner.to_text();
        let args = [Arg::Bytes(owner.as_bytes())];
        self.store
            .run(&RELEASE, record::name(source, key).as_bytes(), &args, Repeat::Once)
            .await?;
        Ok(())
    }

    async fn forget(&self, source: &SourceTag, key: &DeliveryKey, window: Duration) -> Result<Forgotten, Unavailable> {
        self.let_through(record::name(source, key).as_bytes(), window).await
    }

    async fn note_repeat(
        &self,
        source: &SourceTag,
        key: &DeliveryKey,
        variant: Variant,
        max: usize,
    ) -> Result<(), Unavailable> {
        let mut noted = String::new();
        variant.write_text(&mut noted);
        let args = [Arg::Bytes(noted.as_bytes()), Arg::Number(max as u64)];
        let record = record::name(source, key);
        let reply = self
            .store
            .run(&NOTE_REPEAT, record.as_bytes(), &args, Repeat::Once)
            .await?;
        let Value::BulkString(forgotten) = &reply else {
            return Err(strange("note_repeat"));
        };
        for text in forgotten.chunks(Variant::TEXT_LENGTH) {
            let variant = Variant::parse(text).ok_or_else(|| strange("note_repeat"))?;
            let own = record::name(source, &key.of_repeat(&variant));
            self.store.run(&DISCARD, own.as_bytes(), &[], Repeat::Once).await?;
        }
        Ok(())
    }

    async fn forget_since(&self, source: &SourceTag, lately: &Lately) -> Result<Recalled, Unavailable> {
        self.let_all_through(source, lately).await
    }
}

impl From<Failure> for Unavailable {
    fn from(failure: Failure) -> Self {
        Self {
            reason: failure.to_string(),
        }
    }
}

/// Whole milliseconds, rounded up: a lease or a life of 0 would be none.
fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos().div_ceil(1_000_000))
        .unwrap_or(u64::MAX)
        .clamp(1, MAX_MILLIS)
}

/// A thousand years: what a double holds exactly, and `PEXPIRE` takes.
const MAX_MILLIS: u64 = 31_536_000_000_000;
