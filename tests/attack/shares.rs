//! More slow anonymous requests than there are places in flight, on and on, beside honest senders of signed events.

use crate::{good, letters, stage::Stage, wire::Wire};
use std::{
    cell::RefCell,
    collections::BTreeMap,
    path::Path,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};
use tokio::time::{sleep, timeout};

/// The app takes so long for an anonymous request.
const SLOW_SECONDS: u64 = 5;
/// A refused anonymous sender tries again after this.
const PAUSE: Duration = Duration::from_millis(200);

#[derive(clap::Args)]
pub struct Options {
    /// Anonymous requests at a time; `limits.in_flight` is 1024
    #[arg(long, default_value_t = 1060)]
    anonymous: usize,
    /// How long
    #[arg(long, default_value_t = 30)]
    seconds: u64,
}

/// True if every bound was kept.
pub fn run(sidecar: &Path, options: &Options) -> bool {
    let stage = Stage::set(sidecar);
    let stop = Arc::new(AtomicBool::new(false));
    let outcomes = Rc::new(RefCell::new(BTreeMap::<String, u64>::new()));
    let mut most = 0;
    let all = tokio::task::LocalSet::new();
    let account = all.block_on(&crate::stage::runtime(), async {
        let lanes: Vec<_> = (0..options.anonymous)
            .map(|lane| tokio::task::spawn_local(anonymous(stage.port, lane, stop.clone(), outcomes.clone())))
            .collect();
        // The flood has the first word.
        sleep(Duration::from_secs(1)).await;
        let (sending, account) = good::send(stage.port, 100, 1000, &stop);
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(options.seconds) {
            most = most.max(stage.metric("hookward_in_flight"));
            sleep(Duration::from_millis(200)).await;
        }
        stop.store(true, Relaxed);
        sending.join().expect("it does not panic");
        for lane in lanes {
            lane.await.expect("a lane does not panic");
        }
        account
    });
    let account = account.lock().expect("nobody panics with it").clone();
    let outcomes = outcomes.borrow();
    println!(
        "shares: {} anonymous at a time, the app takes {SLOW_SECONDS} s for each: {outcomes:?}; most in flight: {most}; \
         honest: {} sent, p99 {:.1} ms, refused {:?}",
        options.anonymous,
        account.sent(),
        account.quantile(0.99),
        account.refused,
    );
    let anonymous_are_bounded = outcomes
        .keys()
        .all(|outcome| outcome == "delivered" || outcome == "overloaded")
        && outcomes.contains_key("delivered")
        && outcomes.contains_key("overloaded");
    account.sent() > 0 && account.refusals() == 0 && anonymous_are_bounded
}

/// Sends slow anonymous requests one after the other.
async fn anonymous(port: u16, lane: usize, stop: Arc<AtomicBool>, outcomes: Rc<RefCell<BTreeMap<String, u64>>>) {
    let client = format!("198.51.{}.{}", lane / 250, lane % 250 + 1);
    let letter = letters::slow(&client, SLOW_SECONDS);
    let mut wire: Option<Wire> = None;
    while !stop.load(Relaxed) {
        let sent = timeout(Duration::from_secs(20), good::deliver(port, &mut wire, &letter)).await;
        let outcome = match sent {
            Ok(Ok((_, outcome))) => outcome,
            Ok(Err(error)) => error.kind().to_string(),
            Err(_) => "no answer in 20 s".to_owned(),
        };
        let served = outcome == "delivered";
        *outcomes.borrow_mut().entry(outcome).or_default() += 1;
        if !served {
            sleep(PAUSE).await;
        }
    }
}
