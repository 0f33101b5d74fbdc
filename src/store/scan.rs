//! A walk over the names of all keys that begin alike, in pages; for an operator's wish, never on the hot path.

use super::{Failure, Store, in_redis_words, path::Way, within};
use redis::{FromRedisValue, cmd};
use std::time::Duration;

/// Keys that Redis looks at for one page: some 0.2 ms of its time.
const LOOKED_AT: u32 = 1000;
/// Time for one page at least, if a call's own timeout is shorter.
const PATIENCE: Duration = Duration::from_secs(1);

/// A walk under way. A key that is there all the time is named at least once, maybe twice; one that comes or goes
/// meanwhile may be missed.
pub struct Scan {
    store: Store,
    pattern: String,
    /// The servers that are still to be walked, the one under way last; `None`: not known yet.
    left: Option<Vec<Way>>,
    /// Where that one is to go on.
    cursor: u64,
}

impl Store {
    /// Begins a walk over the keys that begin with `prefix`. Nothing is sent yet.
    pub fn scan(&self, prefix: &str) -> Scan {
        let mut pattern = String::with_capacity(prefix.len() + 1);
        for letter in prefix.chars() {
            if matches!(letter, '*' | '?' | '[' | ']' | '\\') {
                pattern.push('\\');
            }
            pattern.push(letter);
        }
        pattern.push('*');
        Scan {
            store: self.clone(),
            pattern,
            left: None,
            cursor: 0,
        }
    }
}

impl Scan {
    /// The next names, maybe none; `None` at the end. Neither asks the breaker nor tells it.
    pub async fn page(&mut self) -> Result<Option<Vec<Vec<u8>>>, Failure> {
        let mut command = cmd("SCAN");
        command.arg(self.cursor).arg("MATCH").arg(&self.pattern);
        command.arg("COUNT").arg(LOOKED_AT);
        let patience = self.store.timeout().max(PATIENCE);
        let asked = async {
            let left = match &mut self.left {
                Some(left) => left,
                // The nodes of a Cluster one after another.
                none => none.insert(self.store.path.everywhere().await.map_err(Failure::Unreachable)?),
            };
            let Some(way) = left.last() else { return Ok(None) };
            let line = way.line().await.map_err(Failure::Unreachable)?;
            let answer = line.pipe.ask(&command).await;
            let page = answer.and_then(|answer| Ok(<(u64, Vec<Vec<u8>>)>::from_redis_value(answer)?));
            page.map(Some).map_err(|error| Failure::Refused(in_redis_words(&error)))
        };
        let asked = within(patience, asked).await;
        let asked = asked.unwrap_or_else(|| Err(Failure::Unreachable(format!("no answer within {patience:?}"))))?;
        let Some((next, names)) = asked else { return Ok(None) };
        self.cursor = next;
        if next == 0 {
            self.left.as_mut().map(Vec::pop);
        }
        Ok(Some(names))
    }
}
