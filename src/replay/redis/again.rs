//! Lets delivered records through once more: one, or all that a source delivered lately.

use super::{
    FORGET, LATELY, RedisLedger,
    answer::{number, strange, text},
    millis,
    record::{Tail, prefix},
};
use crate::{
    replay::{Forgotten, Lately, Recalled, SourceTag, Unavailable, lately::SLACK},
    store::{Arg, Failure, Repeat, Script, Value},
};
use futures_util::future;
use std::time::Duration;

/// Records looked at in one go when all of a source are.
const AT_ONCE: usize = 32;
/// Looking at all records ends after this, however many there are.
const LONGEST_SCAN: Duration = Duration::from_mins(1);

impl RedisLedger {
    /// An operator's question: not asked while Redis is out, but no reason to call it out either.
    async fn wish(&self, script: &Script, record: &[u8], args: &[Arg<'_>]) -> Result<Value, Unavailable> {
        if !self.store.breaker().is_closed() {
            return Err(Failure::Open.into());
        }
        Ok(self.store.probe(script, record, args, Repeat::Once).await?)
    }

    /// Lets one record through once more; see [`Ledger::forget`].
    pub(super) async fn let_through(&self, record: &[u8], window: Duration) -> Result<Forgotten, Unavailable> {
        let args = [Arg::Number(millis(window))];
        let reply = self.wish(&FORGET, record, &args).await?;
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

    /// One record of a page: let through if it was delivered lately. `wish`: the arguments of `lately.lua`.
    pub(super) async fn let_through_if(
        &self,
        record: &[u8],
        wish: &[Arg<'_>],
        lately: &Lately,
    ) -> Result<bool, Unavailable> {
        let tail = match self.wish(&LATELY, record, wish).await? {
            Value::Nil => return Ok(false),
            Value::BulkString(tail) => tail,
            _ => return Err(strange("forget")),
        };
        let tail = Tail::read(&tail).ok_or_else(|| strange("forget"))?;
        if !lately.means(tail.event()) {
            return Ok(false);
        }
        Ok(self.let_through(record, lately.window).await? == Forgotten::Deliverable)
    }

    pub(super) async fn let_all_through(&self, source: &SourceTag, lately: &Lately) -> Result<Recalled, Unavailable> {
        let (begun, tag) = (self.clock.monotonic(), source.digest().to_le_bytes());
        let mut scan = self.store.scan(&prefix(source));
        let mut recalled = Recalled {
            deliverable: 0,
            complete: true,
        };
        while let Some(page) = scan.page().await? {
            let elapsed = self.clock.monotonic().since(begun);
            if elapsed > LONGEST_SCAN {
                recalled.complete = false;
                break;
            }
            let wish = [
                Arg::Bytes(&tag),
                Arg::Number(millis(lately.within)),
                Arg::Number(millis(lately.window)),
                Arg::Number(millis(elapsed + SLACK)),
            ];
            for records in page.chunks(AT_ONCE) {
                let calls = records.iter().map(|record| self.let_through_if(record, &wish, lately));
                for let_through in future::try_join_all(calls).await? {
                    recalled.deliverable += u64::from(let_through);
                }
            }
        }
        Ok(recalled)
    }
}
