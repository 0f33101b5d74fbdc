//! Who is the master: what most of the sentinels that answer say, proven by the server's own word.

use super::{
    door::{Door, Endpoint, Opened, Role},
    line::{Goal, Lines},
    pipe::is_broken,
    target::Server,
    within,
};
use futures_util::{StreamExt, future::BoxFuture, stream::FuturesUnordered};
use redis::{FromRedisValue, Value, cmd};
use std::{collections::HashMap, sync::Arc, time::Duration};
use tokio::time::sleep;
use tokio_util::task::TaskTracker;

/// How long sentinels may take to answer; most of them have by then, and those count.
const VOTE: Duration = Duration::from_millis(250);
/// While a connection to the master is being made, the sentinels are asked again: it may hang because it is dead.
const AGAIN: Duration = Duration::from_millis(150);

/// A worker's connections to the sentinels.
pub(super) struct Sentinels {
    master: String,
    servers: Vec<(Server, Arc<Lines>)>,
    door: Arc<Door>,
}

impl Sentinels {
    pub(super) fn new(master: &str, servers: impl IntoIterator<Item = Server>, door: &Arc<Door>) -> Self {
        let connected = |server: Server| {
            let goal = Goal::Fixed(Endpoint::Server(server.clone()), Role::Sentinel);
            (server, Arc::new(Lines::new(goal, Arc::clone(door))))
        };
        Self {
            master: master.to_owned(),
            servers: servers.into_iter().map(connected).collect(),
            door: Arc::clone(door),
        }
    }

    pub(super) fn another(&self) -> Self {
        let servers = self.servers.iter().map(|(server, _)| server.clone());
        Self::new(&self.master, servers, &self.door)
    }

    /// The sentinels, each with what it says.
    pub(super) async fn answers(&self) -> Vec<(Server, Result<Server, String>)> {
        let asked = self.servers.iter().map(|(sentinel, lines)| async {
            let answer = within(VOTE, self.ask(lines)).await;
            let answer = answer.unwrap_or_else(|| Err(format!("nothing within {VOTE:?}")));
            (sentinel.clone(), answer)
        });
        futures_util::future::join_all(asked).await
    }

    /// Whom they name: known as soon as a majority of all has named the same one, else after [`VOTE`] the one that most of
    /// those who answered name. Sentinels that disagree evenly are asked again by the next call.
    pub(super) fn master(&self) -> BoxFuture<'_, Result<Server, String>> {
        // Boxed here, for a connection's task asks for connections to sentinels, whose tasks are of the same type.
        Box::pin(self.vote())
    }

    async fn vote(&self) -> Result<Server, String> {
        let mut votes: HashMap<Server, usize> = HashMap::new();
        let mut reason = None;
        let mut asking: FuturesUnordered<_> = self.servers.iter().map(|(_, lines)| self.ask(lines)).collect();
        let voting = async {
            while let Some(answer) = asking.next().await {
                match answer {
                    Ok(named) => {
                        let count = votes.entry(named.clone()).or_default();
                        *count += 1;
                        if *count * 2 > self.servers.len() {
                            return Some(named);
                        }
                    }
                    Err(error) => reason = Some(error),
                }
            }
            None
        };
        if let Some(named) = within(VOTE, voting).await.flatten() {
            return Ok(named);
        }
        winner(votes)?.ok_or_else(|| {
            let reason = reason.unwrap_or_else(|| format!("nothing within {VOTE:?}"));
            format!("no sentinel names a master: {reason}")
        })
    }

    /// A connection to the master, which says itself that it is one.
    pub(super) fn open_master<'a>(
        &'a self,
        door: &'a Door,
        tasks: &'a TaskTracker,
        strict: bool,
    ) -> BoxFuture<'a, Result<(Opened, Server), String>> {
        Box::pin(self.open_whom_they_name(door, tasks, strict))
    }

    async fn open_whom_they_name(
        &self,
        door: &Door,
        tasks: &TaskTracker,
        strict: bool,
    ) -> Result<(Opened, Server), String> {
        let mut master = self.master().await?;
        loop {
            let endpoint = Endpoint::Server(master.clone());
            let opening = async {
                let opened = door.open(&endpoint, Role::Records, tasks, strict).await?;
                is_master(&opened).await.map(|()| opened)
            };
            tokio::select! {
                opened = opening => {
                    let opened = opened.map_err(|reason| format!("{master}, which Sentinel calls the master: {reason}"))?;
                    return Ok((opened, master));
                }
                other = self.other_than(&master) => master = other,
            }
        }
    }

    /// Waits until another one is named.
    async fn other_than(&self, master: &Server) -> Server {
        loop {
            sleep(AGAIN).await;
            match self.master().await {
                Ok(named) if named != *master => return named,
                _ => {}
            }
        }
    }

    async fn ask(&self, lines: &Arc<Lines>) -> Result<Server, String> {
        let line = lines.line().await?;
        let mut question = cmd("SENTINEL");
        question.arg("GET-MASTER-ADDR-BY-NAME").arg(self.master.as_str());
        let asking = async {
            let answer = line.pipe.ask(&question).await?;
            Ok(<Option<(String, u16)>>::from_redis_value(answer)?)
        };
        match within(VOTE, asking).await {
            Some(Ok(Some((host, port)))) => Ok(Server::new(host, port)),
            Some(Ok(None)) => Err(format!("it knows no master `{}`", self.master)),
            Some(Err(error)) => {
                if is_broken(&error) {
                    line.hang_up();
                }
                Err(super::in_redis_words(&error))
            }
            None => {
                line.hang_up();
                Err(format!("nothing within {VOTE:?}"))
            }
        }
    }
}

/// Who has most votes; nobody has none. An even vote is an error.
fn winner(votes: HashMap<Server, usize>) -> Result<Option<Server>, String> {
    let mut votes: Vec<(Server, usize)> = votes.into_iter().collect();
    votes.sort_by(|(a, x), (b, y)| y.cmp(x).then(a.cmp(b)));
    match votes.as_slice() {
        [(first, x), (second, y), ..] if x == y => {
            Err(format!("the sentinels name both {first} and {second} as the master"))
        }
        _ => Ok(votes.into_iter().next().map(|(server, _)| server)),
    }
}

async fn is_master(opened: &Opened) -> Result<(), String> {
    let role = match opened.pipe.ask(&cmd("ROLE")).await {
        Ok(role) => role,
        // A user that may not ask is told by `READONLY`.
        Err(error) if error.code() == Some("NOPERM") => return Ok(()),
        Err(error) => return Err(super::in_redis_words(&error)),
    };
    let Value::Array(parts) = &role else {
        return Err("it does not tell its role".to_owned());
    };
    let is_master = match parts.first() {
        Some(Value::BulkString(role)) => role == b"master",
        Some(Value::SimpleString(role)) => role == "master",
        _ => false,
    };
    is_master
        .then_some(())
        .ok_or_else(|| "it says that it is a replica".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn most_votes_win_and_an_even_vote_is_none() {
        let server = |port| Server::new("h", port);
        let vote = |votes: &[(u16, usize)]| winner(votes.iter().map(|(port, count)| (server(*port), *count)).collect());
        assert_eq!(vote(&[]), Ok(None));
        assert_eq!(vote(&[(1, 1)]), Ok(Some(server(1))));
        assert_eq!(vote(&[(1, 1), (2, 2)]), Ok(Some(server(2))));
        assert!(vote(&[(1, 1), (2, 1)]).is_err());
    }
}
