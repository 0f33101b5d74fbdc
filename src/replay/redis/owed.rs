//! What Redis could not be told in time, and what its lost answers may have left behind.

use super::{RELEASE, RedisLedger, record};
use crate::{
    event::{DeliveryKey, Nonce},
    replay::{Ledger, Settlement, SourceTag},
    store::{Arg, Failure, Line, Store},
};
use std::time::Duration;

/// What Redis has yet to be told, by whoever has the time.
pub enum Owed {
    /// A claim whose answer was lost: Redis may have executed it, or may yet, and then it holds honest retries for a lease.
    Release {
        /// Whose it is.
        source: SourceTag,
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
pub(in crate::replay) struct Orphan {
    pub(super) redis: RedisLedger,
    pub(super) owed: Option<Owed>,
}

impl Orphan {
    /// It need not be released any more.
    pub(in crate::replay) fn disown(mut self) {
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

impl RedisLedger {
    /// Tells Redis later what could not be told in time.
    pub fn owe(&self, owed: Owed) {
        // Full: a lease is blocked until it runs out, which is what would have happened without any of this.
        let _dropped_when_full = self.owed.try_send(owed);
    }

    /// Tells Redis what is owed; gives it back if that failed. `patience` is how long an old connection may stay silent.
    pub async fn pay(&self, owed: Owed, patience: Duration) -> Result<(), Owed> {
        match owed {
            Owed::Release {
                source,
                key,
                owner,
                line,
            } => {
                let mut kept = None;
                if let Some(line) = line {
                    match self.release_behind(line, &source, &key, &owner, patience).await {
                        Ok(()) => return Ok(()),
                        Err(line) => kept = line,
                    }
                }
                // Redis answers here and not there: that connection is dead, and what of it is executed has been.
                let result = self.release(&source, &key, &owner).await;
                result.map_err(|_| Owed::Release {
                    source,
                    key,
                    owner,
                    line: kept,
                })
            }
            Owed::Settle(settlement) => match self.settle(&settlement).await {
                Ok(_) => Ok(()),
                Err(_) => Err(Owed::Settle(settlement)),
            },
        }
    }

    /// Fails with the connection, which may only be slow.
    async fn release_behind(
        &self,
        line: Line,
        source: &SourceTag,
        key: &DeliveryKey,
        owner: &Nonce,
        patience: Duration,
    ) -> Result<(), Option<Line>> {
        let owner = owner.to_text();
        let args = [Arg::Bytes(owner.as_bytes())];
        match Store::run_behind(line, &RELEASE, record::name(source, key).as_bytes(), &args, patience).await {
            Ok(_) => Ok(()),
            Err(Failure::Unknown { line, .. }) => Err(Some(line)),
            Err(_) => Err(None),
        }
    }
}
