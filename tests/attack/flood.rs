//! A million clients: forged requests, each from a /64 of its own, so that every table that knows clients fills up.

use crate::{letters, stage, wire::Wire};
use std::{
    cell::Cell,
    collections::BTreeMap,
    rc::Rc,
    sync::{Arc, Mutex},
};

/// Connections of the load balancer that all of them come through.
const LANES: usize = 16;
/// Requests that are on their way at once on one connection.
const BATCH: usize = 32;

/// Answers by status; 0: none.
pub type Answers = BTreeMap<u16, u64>;

/// Sends forged requests of the clients `from..to` and counts what they get.
pub fn pour(port: u16, from: u64, to: u64) -> Answers {
    let answers = Arc::new(Mutex::new(Answers::new()));
    let all = tokio::task::LocalSet::new();
    let next = Rc::new(Cell::new(from));
    for lane in 0..LANES {
        let (next, answers) = (Rc::clone(&next), Arc::clone(&answers));
        all.spawn_local(async move {
            let mut wire = None;
            while next.get() < to {
                let first = next.get();
                let count = (BATCH as u64).min(to - first);
                next.set(first + count);
                let mut number = first;
                while number < first + count {
                    let got = batch(port, lane, &mut wire, number, first + count, &answers).await;
                    number += got;
                }
            }
        });
    }
    stage::runtime().block_on(all);
    let answers = answers.lock().expect("nobody panics with it");
    answers.clone()
}

/// Sends the clients `from..to` over one connection; how many of them have got an answer, or lost it with the connection.
async fn batch(port: u16, lane: usize, wire: &mut Option<Wire>, from: u64, to: u64, answers: &Mutex<Answers>) -> u64 {
    let count = |status| {
        let mut answers = answers.lock().expect("nobody panics with it");
        *answers.entry(status).or_default() += 1;
    };
    let mut open = if let Some(open) = wire.take() {
        open
    } else {
        let Ok(stream) = stage::connect(port, lane).await else {
            count(0);
            return 1;
        };
        Wire::new(stream)
    };
    let requests: Vec<u8> = (from..to)
        .flat_map(|number| letters::forged(&client(number), b"{}"))
        .collect();
    if open.write(&requests).await.is_err() {
        count(0);
        return 1;
    }
    for got in 0..to - from {
        // Where they close after an answer, what was on its way behind it is sent again.
        let Ok(Some(answer)) = open.next().await else {
            if got == 0 {
                count(0);
            }
            return got.max(1);
        };
        count(answer.status());
        if answer.header("connection") == Some("close") {
            return got + 1;
        }
    }
    *wire = Some(open);
    to - from
}

/// An address in the /64 with this number; sixteen of them share a /48, which forgives that many.
fn client(number: u64) -> String {
    let site = number / 16;
    format!(
        "2001:{:x}:{:x}:{:x}::1",
        site >> 16 & 0xffff,
        site & 0xffff,
        number % 16
    )
}
