//! One worker: a thread with a runtime, a listening socket, upstream connections and a Redis connection of its own.

use super::{Core, edge::Edge};
use crate::{
    limit::Lender,
    pipeline::{Pipeline, Worker},
    server::{self, Listener, Timeouts},
    upstream::{Outbound, PoolSpec},
};
use std::{convert::Infallible, io, sync::Arc, thread::JoinHandle, time::Duration};
use tokio_util::task::TaskTracker;

/// Deliveries whose sender was cut at the end of the grace get this long to settle.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Starts the thread; it ends, with the number of requests that were cut, when the shutdown has run its course.
pub(super) fn start(index: usize, listener: Listener, core: Arc<Core>) -> io::Result<JoinHandle<io::Result<usize>>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let name = format!("worker-{index}");
    std::thread::Builder::new()
        .name(name)
        .spawn(move || runtime.block_on(serve(listener, core)))
}

async fn serve(listener: Listener, core: Arc<Core>) -> io::Result<usize> {
    let limits = core.settings.load().limits.clone();
    let deliveries = TaskTracker::new();
    let outbound = Outbound::new(PoolSpec::default(), core.shared.observers.clock.clone());
    let pipeline = Pipeline::new(Worker {
        shared: core.shared.clone(),
        outbound: outbound.clone(),
        replay: core.replays.worker(),
        lender: core
            .replays
            .store()
            .map(|store| Lender::new(store.with_own_connection())),
        deliveries: deliveries.clone(),
    });
    let timeouts = Timeouts {
        head: limits.header_timeout,
        grace: limits.shutdown_grace,
        ..Timeouts::default()
    };
    let edge = Edge::new(core.clone(), pipeline.clone());
    let serving = server::serve(listener, timeouts, core.occupancy.clone(), core.shutdown.clone(), edge);
    let cutting = async {
        core.shutdown.over().await;
        pipeline.cut();
        std::future::pending::<Infallible>().await
    };
    let drained = tokio::select! {
        drained = serving => drained?,
        never = cutting => match never {},
    };
    deliveries.close();
    // A claim must not be stranded: what still runs is waited for, but not for ever.
    let patience = if core.shutdown.is_over() {
        LAST_WORDS
    } else {
        limits.shutdown_grace
    };
    let _given_up = tokio::time::timeout(patience, deliveries.wait()).await;
    let _given_up = tokio::time::timeout(LAST_WORDS, outbound.shutdown()).await;
    Ok(drained.cut)
}
