//! The connections to Redis: supervised, pipelined, and behind one breaker for the whole process.
//!
//! Redis is one server (TCP, TLS or a Unix socket), the master that sentinels name, or a Cluster: see [`Place`]. Every
//! worker has a [`Store`] of its own, on whose one connection to each server the commands of all its requests are
//! pipelined. A call has one deadline for everything: finding the server, a connection, the command, its answer and,
//! where that does no harm, a second try.

mod breaker;
mod cluster;
mod door;
mod facts;
mod line;
mod path;
mod pipe;
mod resp;
mod scan;
mod script;
mod sentinel;
mod target;

pub use breaker::Breaker;
pub use facts::{ClusterFacts, Facts};
pub use line::Line;
pub use redis::Value;
pub use scan::Scan;
pub use script::{Arg, Script};
pub use target::{Access, Login, Place, Server, Target, TargetError};

use door::Door;
use futures_util::poll;
use path::{Path, Way};
use pipe::is_broken;
use std::{future::Future, pin::pin, sync::Arc, task::Poll, time::Duration};

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

/// `MOVED` and `ASK` are followed so often in one call; a Cluster that is being rebuilt may send us round.
const HOPS: u32 = 5;
/// The reactor looks at the sockets after the first, whoever reads the answer is done after the second.
const TURNS: usize = 2;

/// One worker's access to Redis. Connects when it is first needed, so Redis may come later than the sidecar. Clones share
/// the connections; they belong to the runtime of the first call.
#[derive(Clone)]
pub struct Store {
    path: Path,
    door: Arc<Door>,
    breaker: Arc<Breaker>,
    timeout: Duration,
}

impl Store {
    /// Takes note of the target; does not connect yet.
    pub fn new(target: &Target, breaker: Arc<Breaker>) -> Result<Self, TargetError> {
        let door = Arc::new(Door::new(target)?);
        Ok(Self {
            path: Path::new(&target.place, &door),
            door,
            breaker,
            timeout: target.timeout,
        })
    }

    /// The same target and breaker with connections of its own, for another worker.
    pub fn with_own_connection(&self) -> Self {
        Self {
            path: self.path.another(),
            ..self.clone()
        }
    }

    /// Other credentials and certificates for the same servers, for this store and all that were made from it or that it
    /// was made from. A connection that stands serves on until one with the new credentials has taken its place.
    pub fn replace_access(&self, access: &Access) -> Result<(), TargetError> {
        self.door.replace(access)
    }

    /// Time for one call.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// The breaker of the process. In a Cluster it opens when the whole Cluster is out; that one node is out is known
    /// beside it, and is an outage for the keys of its slots only.
    pub fn breaker(&self) -> &Arc<Breaker> {
        &self.breaker
    }

    /// Runs a script on one key, within the timeout; at once [`Failure::Open`] while the breaker is open, or the node
    /// that serves the key is known to be out.
    pub async fn run(&self, script: &Script, key: &[u8], args: &[Arg<'_>], repeat: Repeat) -> Result<Value, Failure> {
        if !self.breaker.is_closed() {
            return Err(Failure::Open);
        }
        let mut at = None;
        let result = self.attempt(script, key, args, repeat, true, &mut at).await;
        match &result {
            Ok(_) => {
                if let Some(way) = &at {
                    way.succeeded();
                }
                self.breaker.succeeded();
            }
            // Nothing was tried.
            Err(Failure::Open) => {}
            Err(failure) => self.path.failed(at.as_ref(), failure, &self.breaker),
        }
        result
    }

    /// As [`Self::run`], but neither asks the breaker nor tells it: how the end of an outage is found.
    pub async fn probe(&self, script: &Script, key: &[u8], args: &[Arg<'_>], repeat: Repeat) -> Result<Value, Failure> {
        self.attempt(script, key, args, repeat, false, &mut None).await
    }

    /// `at` becomes who was asked last; `gated`: who is known to be out is not asked.
    async fn attempt(
        &self,
        script: &Script,
        key: &[u8],
        args: &[Arg<'_>],
        repeat: Repeat,
        gated: bool,
        at: &mut Option<Way>,
    ) -> Result<Value, Failure> {
        // Where something was sent to which there is no answer.
        let mut sent: Option<Line> = None;
        let call = async {
            let mut tries = if repeat == Repeat::Once { 2 } else { 1 };
            let mut hops = HOPS;
            let mut asking = false;
            let mut redirected = None;
            loop {
                let way = match redirected.take() {
                    Some(way) => way,
                    None => self.path.to(key).await.map_err(Failure::Unreachable)?,
                };
                let way = at.insert(way);
                if gated && way.is_out() {
                    return Err(Failure::Open);
                }
                let line = way.line().await.map_err(Failure::Unreachable)?;
                let broken = sent.replace(line.clone());
                let error = match script.send(&line, key, args, asking).await {
                    Ok(value) => return Ok(value),
                    Err(error) => error,
                };
                asking = false;
                if is_broken(&error) {
                    line.hang_up();
                    self.path.look_again();
                    tries -= 1;
                    if tries == 0 {
                        let reason = error.to_string();
                        return Err(Failure::Unknown { reason, line });
                    }
                    continue;
                }
                // This one is answered; a try before it may still be under way.
                sent = broken;
                if let Some(redirect) = self.path.redirected(way, &error)
                    && hops > 0
                {
                    hops -= 1;
                    asking = redirect.asking;
                    redirected = Some(redirect.way);
                    continue;
                }
                // A demoted master stays demoted; the name may lead to the new one.
                if error.code() == Some("READONLY") {
                    line.hang_up();
                    self.path.look_again();
                }
                return Err(Failure::Refused(in_redis_words(&error)));
            }
        };
        match within(self.timeout, call).await {
            Some(Err(failure @ (Failure::Unreachable(_) | Failure::Open))) => {
                self.path.look_again();
                Err(match sent {
                    // The second try found nobody, but the first was sent.
                    Some(line) => Failure::Unknown {
                        reason: failure.to_string(),
                        line,
                    },
                    None => failure,
                })
            }
            Some(result) => result,
            None => {
                self.path.look_again();
                Err(match sent {
                    Some(line) => {
                        // A connection whose other end is gone without a word never tells: the next call gets a new one.
                        line.hang_up();
                        Failure::Unknown {
                            reason: format!("nothing within {:?}", self.timeout),
                            line,
                        }
                    }
                    None => Failure::Unreachable(format!("not connected within {:?}", self.timeout)),
                })
            }
        }
    }

    /// Runs a script on a connection that was given up, behind all that was sent on it; for what must come after it.
    pub async fn run_behind(
        line: Line,
        script: &Script,
        key: &[u8],
        args: &[Arg<'_>],
        patience: Duration,
    ) -> Result<Value, Failure> {
        let answer = within(patience, script.send(&line, key, args, false)).await;
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

/// A process that did not run for a while (a CPU quota, a node that was suspended) finds its time over and the answer in the
/// socket, unread: before Redis is taken for dead, whoever reads it has a turn.
async fn within<T>(limit: Duration, call: impl Future<Output = T>) -> Option<T> {
    let mut call = pin!(call);
    if let Ok(answer) = tokio::time::timeout(limit, call.as_mut()).await {
        return Some(answer);
    }
    for _ in 0..TURNS {
        tokio::task::yield_now().await;
        if let Poll::Ready(answer) = poll!(call.as_mut()) {
            return Some(answer);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use tokio::io::AsyncReadExt;
    use tokio_util::task::TaskTracker;

    /// The answer is there in time; it is this process that was not.
    #[tokio::test]
    async fn an_answer_that_lay_in_the_socket_is_not_taken_for_silence() {
        for _ in 0..20 {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
            let address = listener.local_addr().expect("bound");
            let mut socket = tokio::net::TcpStream::connect(address).await.expect("a connection");
            let (mut server, _) = listener.accept().expect("it came");
            let (told, answer) = tokio::sync::oneshot::channel();
            let reader = TaskTracker::new();
            reader.spawn(async move {
                let mut byte = [0];
                socket.read_exact(&mut byte).await.expect("the answer");
                let _gone = told.send(byte[0]);
            });
            let call = async {
                tokio::task::yield_now().await;
                server.write_all(b"!").expect("sent");
                // Nothing of this process runs until the time is over.
                std::thread::sleep(Duration::from_millis(30));
                answer.await.ok()
            };
            assert_eq!(within(Duration::from_millis(20), call).await, Some(Some(b'!')));
        }
    }

    #[tokio::test]
    async fn silence_is_silence() {
        let never = std::future::pending::<()>();
        assert_eq!(within(Duration::from_millis(1), never).await, None);
    }
}
