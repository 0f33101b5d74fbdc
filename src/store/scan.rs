//! A walk over the names of all keys that begin alike, in pages; for an operator's wish, never on the hot path.

use super::{Failure, Store, in_redis_words, within};
use redis::{FromRedisValue, Value, cmd};
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
    /// Where the server is to go on; `None`: at its end. On a Cluster this is a pair of a node and its cursor: the nodes
    /// are walked one after another.
    cursor: Option<u64>,
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
            cursor: Some(0),
        }
    }
}

impl Scan {
    /// The next names, maybe none; `None` at the end. Neither asks the breaker nor tells it.
    pub async fn page(&mut self) -> Result<Option<Vec<Vec<u8>>>, Failure> {
        let Some(cursor) = self.cursor else { return Ok(None) };
        let mut command = cmd("SCAN");
        command.arg(cursor).arg("MATCH").arg(&self.pattern);
        command.arg("COUNT").arg(LOOKED_AT);
        let patience = self.store.timeout().max(PATIENCE);
        let asked = async {
            let mut line = self.store.lines.line().await.map_err(Failure::Unreachable)?;
            let answer = line.connection.send_packed_command(&command).await;
            let answer = answer.and_then(Value::extract_error);
            let page = answer.and_then(|answer| Ok(<(u64, Vec<Vec<u8>>)>::from_redis_value(answer)?));
            page.map_err(|error| Failure::Refused(in_redis_words(&error)))
        };
        let asked = within(patience, asked).await;
        let (next, names) =
            asked.unwrap_or_else(|| Err(Failure::Unreachable(format!("no answer within {patience:?}"))))?;
        self.cursor = (next != 0).then_some(next);
        Ok(Some(names))
    }
}
