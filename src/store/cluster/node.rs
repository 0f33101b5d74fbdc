//! One node of a Cluster: the connection to it, and what is known of its health.

use super::{
    PROBE, TELL, locked,
    slots::{Range, ranges},
};
use crate::store::{Breaker, in_redis_words, line::Lines, pipe::is_broken, target::Server, within};
use futures_util::future;
use redis::{Value, cmd};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

/// One node and what is known of it.
pub(in crate::store) struct Node {
    pub(in crate::store) server: Server,
    pub(in crate::store) lines: Arc<Lines>,
    /// Shared by all workers.
    pub(in crate::store) health: Arc<Breaker>,
}

/// Of the process: the health of every node by its address.
#[derive(Default)]
pub(in crate::store) struct Healths(Mutex<HashMap<Server, Arc<Breaker>>>);

impl Healths {
    pub(super) fn of(&self, server: &Server) -> Arc<Breaker> {
        Arc::clone(locked(&self.0).entry(server.clone()).or_default())
    }

    /// Drops what no worker's node has any more.
    pub(super) fn forget(&self) {
        locked(&self.0).retain(|_, health| Arc::strong_count(health) > 1);
    }
}

/// What a node says: the epoch of its view, and the view.
pub(super) async fn ask(node: &Node) -> Result<(u64, Vec<Range>), String> {
    let line = node.lines.line().await?;
    let question = |what| {
        let mut question = cmd("CLUSTER");
        question.arg(what);
        question
    };
    let (info, slots) = (question("INFO"), question("SLOTS"));
    let asking = future::try_join(line.pipe.ask(&info), line.pipe.ask(&slots));
    let (info, map) = match within(TELL, asking).await {
        Some(Ok(answer)) => answer,
        Some(Err(error)) => {
            if is_broken(&error) {
                line.hang_up();
            }
            return Err(in_redis_words(&error));
        }
        None => {
            line.hang_up();
            return Err(format!("nothing within {TELL:?}"));
        }
    };
    let ranges = ranges(&map, &node.server).ok_or("its map of slots cannot be read")?;
    Ok((epoch(&info), ranges))
}

/// `cluster_current_epoch`; 0 where there is none.
fn epoch(info: &Value) -> u64 {
    let text = match info {
        Value::BulkString(bytes) => std::str::from_utf8(bytes).unwrap_or_default(),
        _ => "",
    };
    let epoch = text
        .lines()
        .find_map(|line| line.strip_prefix("cluster_current_epoch:"));
    epoch.and_then(|epoch| epoch.trim().parse().ok()).unwrap_or(0)
}

/// Does the node do what a claim needs of it?
pub(super) async fn takes_writes(node: &Node, key: &str) -> bool {
    let probing = async {
        let line = node.lines.line().await.ok()?;
        let (mut set, mut del) = (cmd("SET"), cmd("DEL"));
        set.arg(key).arg("P");
        del.arg(key);
        let works = future::try_join(line.pipe.ask(&set), line.pipe.ask(&del)).await.is_ok();
        if !works {
            line.hang_up();
        }
        works.then_some(())
    };
    within(PROBE, probing).await.flatten().is_some()
}
