//! The connection to Redis: supervised, pipelined, and behind one breaker for the whole process.
//!
//! Every worker has a [`Store`] of its own, on whose one connection the commands of all its requests are pipelined. A call
//! has one deadline for everything: a connection, the command, its answer and, where that does no harm, a second try.

mod breaker;
mod facts;
mod line;
mod scan;
mod script;

pub use breaker::Breaker;
pub use facts::Facts;
pub use line::Line;
pub use redis::Value;
pub use scan::Scan;
pub use script::{Arg, Script};

use crate::event::Secret;
use line::Lines;
use std::{future::Future, sync::Arc, time::Duration};

/// Where Redis is and how to get in.
#[derive(Clone, PartialEq, Eq)]
pub struct Target {
    /// Host name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Database number.
    pub database: i64,
    /// ACL user.
    pub username: Option<String>,
    /// Password; Redis takes text only.
    pub password: Option<Secret>,
    /// Time for one call.
    pub timeout: Duration,
    /// Commands under way at once on one connection; at least the requests that one worker may have in flight.
    pub in_flight: usize,
}

/// Why a target cannot be used at all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// Redis takes UTF-8 passwords only.
    #[error("the password of Redis is not UTF-8 text")]
    Password,
    /// The client library refuses it.
    #[error("Redis at {address} cannot be used: {reason}")]
    Address {
        /// Host and port.
        address: String,
        /// Why.
        reason: String,
    },
}

/// Why a call has no result.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The breaker is open: nothing was sent.
    #[error("Redis does not answer")]
    Open,
    /// There is no connection: nothing was sent.
    #[error("no connection to Redis: {0}")]
    Unreachable(String),
    /// Redis answered with an error (`READONLY`, `OOM`, `LOADING`, …): nothing was done.
    #[error("Redis refused: {0}")]
    Refused(String),
    /// It was sent and there is no answer: it may have been done, or may be done later.
    #[error("no answer from Redis: {reason}")]
    Unknown {
        /// What happened.
        reason: String,
        /// The connection it was sent on. What is sent on it later is executed later.
        line: Line,
    },
}

/// May a command whose connection broke be sent again?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeat {
    /// Yes: doing it twice is the same as once.
    Once,
    /// No.
    Never,
}

/// One worker's access to Redis. Connects when it is first needed, so Redis may come later than the sidecar. Clones share
/// the connection; it belongs to the runtime of the first call.
#[derive(Clone)]
pub struct Store {
    lines: Arc<Lines>,
    breaker: Arc<Breaker>,
    timeout: Duration,
}

impl Store {
    /// Takes note of the target; does not connect yet.
    pub fn new(target: &Target, breaker: Arc<Breaker>) -> Result<Self, TargetError> {
        Ok(Self {
            lines: Arc::new(Lines::new(target)?),
            breaker,
            timeout: target.timeout,
        })
    }

    /// The same target and breaker with a connection of its own, for another worker.
    pub fn with_own_connection(&self) -> Self {
        Self {
            lines: Arc::new(self.lines.another()),
            ..self.clone()
        }
    }

    /// Time for one call.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// The breaker of the process.
    pub fn breaker(&self) -> &Arc<Breaker> {
        &self.breaker
    }

    /// Runs a script on one key, within the timeout; at once [`Failure::Open`] while the breaker is open.
    pub async fn run(&self, script: &Script, key: &[u8], args: &[Arg<'_>], repeat: Repeat) -> Result<Value, Failure> {
        if !self.breaker.is_closed() {
            return Err(Failure::Open);
        }
        let result = self.probe(script, key, args, repeat).await;
        match &result {
            Ok(_) => self.breaker.succeeded(),
            Err(_) => self.breaker.failed(),
        }
        result
    }

    /// As [`Self::run`], but neither asks the breaker nor tells it: how the end of an outage is found.
    pub async fn probe(&self, script: &Script, key: &[u8], args: &[Arg<'_>], repeat: Repeat) -> Result<Value, Failure> {
        let mut sent = None;
        let call = async {
            let mut tries = if repeat == Repeat::Once { 2 } else { 1 };
            loop {
                let line = sent.insert(self.lines.line().await.map_err(Failure::Unreachable)?);
                let error = match script.send(line, key, args).await {
                    Ok(value) => return Ok(value),
                    Err(error) => error,
                };
                if error.kind() != redis::ErrorKind::Io && !error.is_unrecoverable_error() {
                    // A demoted master stays demoted; the name may lead to the new one.
                    if error.code() == Some("READONLY") {
                        self.lines.hang_up(line);
                    }
                    return Err(Failure::Refused(in_redis_words(&error)));
                }
                self.lines.hang_up(line);
                tries -= 1;
                if tries == 0 {
                    return Err(Failure::Unknown {
                        reason: error.to_string(),
                        line: line.clone(),
                    });
                }
            }
        };
        match within(self.timeout, call).await {
            Some(result) => match (result, sent) {
                // The second try found nobody, but the first was sent.
                (Err(Failure::Unreachable(reason)), Some(line)) => Err(Failure::Unknown { reason, line }),
                (result, _) => result,
            },
            None => Err(match sent {
                Some(line) => {
                    // A connection whose other end is gone without a word never tells: the next call gets a new one.
                    self.lines.hang_up(&line);
                    Failure::Unknown {
                        reason: format!("nothing within {:?}", self.timeout),
                        line,
                    }
                }
                None => Failure::Unreachable(format!("not connected within {:?}", self.timeout)),
            }),
        }
    }

    /// Runs a script on a connection that was given up, behind all that was sent on it; for what must come after it.
    pub async fn run_behind(
        mut line: Line,
        script: &Script,
        key: &[u8],
        args: &[Arg<'_>],
        patience: Duration,
    ) -> Result<Value, Failure> {
        let answer = within(patience, script.send(&mut line, key, args)).await;
        match answer {
            Some(Ok(value)) => Ok(value),
            Some(Err(error)) => Err(Failure::Unknown {
                reason: error.to_string(),
                line,
            }),
            None => Err(Failure::Unknown {
                reason: format!("nothing within {patience:?}"),
                line,
            }),
        }
    }
}

/// `READONLY: You can't write …`, as the server and its manual say it.
fn in_redis_words(error: &redis::RedisError) -> String {
    match (error.code(), error.detail()) {
        (Some(code), Some(detail)) => format!("{code}: {detail}"),
        (Some(code), None) => code.to_owned(),
        (None, _) => error.to_string(),
    }
}

async fn within<T>(limit: Duration, call: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(limit, call).await.ok()
}
