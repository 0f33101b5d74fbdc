//! One node of a Cluster: the connection to it, and what is known of its health.

use super::{
    PROBE, TELL, locked,
    slots::{Range, ranges},
};
use crate::store::{Breaker, in_redis_words, line::Lines, target::Server, within};
use redis::{Pipeline, Value};
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
    let mut line = node.lines.line().await?;
    let mut question = Pipeline::with_capacity(2);
    question.cmd("CLUSTER").arg("INFO").cmd("CLUSTER").arg("SLOTS");
    let answer = within(TELL, line.connection.send_packed_commands(&question, 0, 2)).await;
    let answer = match answer {
        Some(Ok(answer)) => answer,
        Some(Err(error)) => {
            if error.is_io_error() || error.is_unrecoverable_error() {
                line.hang_up();
            }
            return Err(in_redis_words(&error));
        }
        None => {
            line.hang_up();
            return Err(format!("nothing within {TELL:?}"));
        }
    };
    if let Some(Value::ServerError(error)) = answer.iter().find(|value| matches!(value, Value::ServerError(_))) {
        return Err(error.to_string());
    }
    let [info, map] = answer.as_slice() else {
        return Err("it does not answer as Redis does".to_owned());
    };
    let ranges = ranges(map, &node.server).ok_or("its map of slots cannot be read")?;
    Ok((epoch(info), ranges))
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
        let mut line = node.lines.line().await.ok()?;
        let mut probe = Pipeline::with_capacity(2);
        probe.cmd("SET").arg(key).arg("P").cmd("DEL").arg(key);
        let answers = line.connection.send_packed_commands(&probe, 0, 2).await.ok();
        let works = answers.is_some_and(|answers| {
            answers
                .iter()
                .all(|answer| matches!(answer, Value::Okay | Value::Int(_)))
        });
        if !works {
            line.hang_up();
        }
        works.then_some(())
    };
    within(PROBE, probing).await.flatten().is_some()
}
