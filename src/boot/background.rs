//! The background thread: health and admin listeners, and the tasks that tend the running sidecar.

use super::{Core, control::StatusControl, probe, proven, reload};
use crate::{admin, replay::Recovery, telemetry::Level};
use std::{io, net::TcpListener, sync::Arc, thread::JoinHandle};
use tokio_util::sync::CancellationToken;

/// Everything that is no request: probes, admin, signals, the ledger's recovery. On a runtime of its own, so that a
/// scrape never waits for a delivery, nor a delivery for a scrape.
pub(super) fn start(
    core: &Arc<Core>,
    recovery: Recovery,
    health: TcpListener,
    admin: TcpListener,
    signals: bool,
    stop: CancellationToken,
) -> io::Result<JoinHandle<()>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let access = match &core.settings.load().admin.token {
        Some(token) => admin::Access::Token(token.clone()),
        None => admin::Access::Loopback,
    };
    let core = core.clone();
    std::thread::Builder::new()
        .name("background".to_owned())
        .spawn(move || {
            runtime.block_on(async move {
                let (health, admin) = match (tokio_listener(health), tokio_listener(admin)) {
                    (Ok(health), Ok(admin)) => (health, admin),
                    (Err(error), _) | (_, Err(error)) => {
                        return core.log(Level::Error, "the background failed", &error);
                    }
                };
                let control: Arc<dyn admin::Control> = Arc::new(StatusControl::new(core.clone()));
                let bounds = admin::Bounds::default();
                let serving = async {
                    tokio::join!(
                        admin::serve_health(health, control.clone(), bounds, stop.clone()),
                        admin::serve_admin(admin, control.clone(), access, bounds, stop.clone()),
                    );
                };
                let observers = &core.shared.observers;
                let tending = async {
                    tokio::join!(
                        recovery.run(),
                        reload::tend(&core, signals),
                        probe::watch_upstreams(&core),
                        core.tls_failures.report(&*observers.clock, &observers.log),
                        proven::tend(&core)
                    );
                };
                tokio::select! {
                    () = serving => {}
                    () = tending => {}
                }
            });
        })
}

fn tokio_listener(listener: TcpListener) -> io::Result<tokio::net::TcpListener> {
    tokio::net::TcpListener::from_std(listener)
}
