//! The honest sender: how long its deliveries take, and whether every one is taken.

use crate::{letters::Pen, stage, wire::Wire};
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};
use tokio::time::{MissedTickBehavior, interval, timeout};

/// What became of the deliveries of an honest sender.
#[derive(Clone, Debug, Default)]
pub struct Account {
    /// Milliseconds each, with the connection if a new one was needed.
    times: Vec<f64>,
    /// Status (0: no answer) and outcome of those that were not delivered.
    pub refused: BTreeMap<(u16, String), u64>,
}

impl Account {
    pub fn sent(&self) -> usize {
        self.times.len()
    }

    pub fn refusals(&self) -> u64 {
        self.refused.values().sum()
    }

    /// Milliseconds; `share` of all deliveries took no longer.
    pub fn quantile(&self, share: f64) -> f64 {
        let mut times = self.times.clone();
        times.sort_by(f64::total_cmp);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "an index"
        )]
        let index = (times.len() as f64 * share) as usize;
        times
            .get(index.min(times.len().saturating_sub(1)))
            .copied()
            .unwrap_or(0.0)
    }
}

/// Sends so many deliveries a second, over kept-alive connections where they are kept, until told to stop.
pub fn send(port: u16, a_second: u32, size: usize, stop: &Arc<AtomicBool>) -> (JoinHandle<()>, Arc<Mutex<Account>>) {
    let account = Arc::new(Mutex::new(Account::default()));
    let (noted, stop) = (Arc::clone(&account), Arc::clone(stop));
    let sending = std::thread::spawn(move || {
        let all = tokio::task::LocalSet::new();
        all.block_on(&stage::runtime(), async {
            let lanes: Vec<_> = (0..4)
                .map(|lane| tokio::task::spawn_local(lane_of(port, lane, a_second, size, stop.clone(), noted.clone())))
                .collect();
            for lane in lanes {
                lane.await.expect("a lane does not panic");
            }
        });
    });
    (sending, account)
}

/// Sends so many deliveries as fast as they are taken, each once; how many were delivered.
pub fn fill(port: u16, count: usize) -> usize {
    const LANES: usize = 16;
    let all = tokio::task::LocalSet::new();
    all.block_on(&stage::runtime(), async {
        let lanes: Vec<_> = (0..LANES)
            .map(|lane| {
                tokio::task::spawn_local(async move {
                    let (pen, mut wire, mut delivered) = (Pen::default(), None, 0);
                    for number in (lane..count).step_by(LANES) {
                        let letter = pen.github("unlimited", "192.0.2.1", &format!("full-{number}"), 256);
                        let sent = timeout(Duration::from_secs(20), deliver(port, &mut wire, &letter)).await;
                        delivered += usize::from(matches!(sent, Ok(Ok((200, outcome))) if outcome == "delivered"));
                    }
                    delivered
                })
            })
            .collect();
        let mut delivered = 0;
        for lane in lanes {
            delivered += lane.await.expect("a lane does not panic");
        }
        delivered
    })
}

async fn lane_of(
    port: u16,
    lane: u32,
    a_second: u32,
    size: usize,
    stop: Arc<AtomicBool>,
    account: Arc<Mutex<Account>>,
) {
    let (pen, mut wire) = (Pen::default(), None);
    let mut due = interval(Duration::from_secs(4) / a_second);
    due.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for number in 0_u64.. {
        due.tick().await;
        if stop.load(Relaxed) {
            return;
        }
        let client = format!("203.0.113.{}", lane + 1);
        let event = format!("good-{lane}-{number}");
        let letter = if lane.is_multiple_of(2) {
            pen.stripe(&client, &event, size)
        } else {
            pen.github("github", &client, &event, size)
        };
        let begun = Instant::now();
        let sent = timeout(Duration::from_secs(20), deliver(port, &mut wire, &letter)).await;
        let took = begun.elapsed().as_secs_f64() * 1000.0;
        let mut account = account.lock().expect("nobody panics with it");
        account.times.push(took);
        match sent {
            Ok(Ok((200, outcome))) if outcome == "delivered" => {}
            Ok(Ok(refusal)) => *account.refused.entry(refusal).or_default() += 1,
            Ok(Err(error)) => *account.refused.entry((0, error.kind().to_string())).or_default() += 1,
            Err(_) => *account.refused.entry((0, "no answer in 20 s".to_owned())).or_default() += 1,
        }
    }
}

/// One delivery: its status and outcome.
pub async fn deliver(port: u16, wire: &mut Option<Wire>, letter: &[u8]) -> std::io::Result<(u16, String)> {
    let mut open = match wire.take().filter(|wire| !wire.is_stale()) {
        Some(open) => open,
        None => Wire::new(stage::connect(port, 0).await?),
    };
    open.write(letter).await?;
    let answer = open.next().await?.ok_or(std::io::ErrorKind::UnexpectedEof)?;
    let outcome = answer.header("hookward-outcome").unwrap_or_default().to_owned();
    if answer.header("connection") != Some("close") {
        *wire = Some(open);
    }
    Ok((answer.status(), outcome))
}
