//! Signals: SIGTERM and SIGINT drain, SIGHUP reads the configuration anew; a bad one leaves the running one in force.

use super::{Core, Front, live};
use crate::{config::Settings, telemetry::Level};
use std::sync::Arc;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Obeys signals for as long as it is polled.
pub(super) async fn obey_signals(core: &Core, wanted: bool) {
    if !wanted {
        return std::future::pending().await;
    }
    let signals = (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
        signal(SignalKind::hangup()),
    );
    let (Ok(mut terminate), Ok(mut interrupt), Ok(mut hangup)) = signals else {
        core.log(
            Level::Error,
            "signals are not obeyed",
            &"the handlers cannot be installed",
        );
        return std::future::pending().await;
    };
    loop {
        tokio::select! {
            () = received(&mut terminate) => begin_drain(core, "SIGTERM"),
            () = received(&mut interrupt) => begin_drain(core, "SIGINT"),
            () = received(&mut hangup) => reload(core),
        }
    }
}

async fn received(signal: &mut Signal) {
    if signal.recv().await.is_none() {
        std::future::pending::<()>().await;
    }
}

fn begin_drain(core: &Core, signal: &str) {
    let log = &core.shared.observers.log;
    log.message(Level::Info, "draining", &[("signal", &signal)]);
    core.drain();
}

fn reload(core: &Core) {
    let Some(read) = &core.reload else { return };
    let shared = &core.shared;
    let swapped = read().and_then(|settings| swap(core, settings));
    match swapped {
        Ok(kept) => {
            shared.metrics.reload_succeeded(shared.observers.clock.wall());
            shared.observers.log.message(Level::Info, "configuration reloaded", &[]);
            if !kept.is_empty() {
                let needs = kept.join(", ");
                let text = "changed, but in force only after a restart";
                shared.observers.log.message(Level::Warn, text, &[("keys", &needs)]);
            }
        }
        Err(error) => {
            shared.metrics.reload_failed();
            core.log(
                Level::Error,
                "reload failed; the old configuration stays in force",
                &error,
            );
        }
    }
}

/// Puts new settings in force; gives the keys that only a restart can change.
fn swap(core: &Core, settings: Settings) -> Result<Vec<&'static str>, String> {
    let shared = &core.shared;
    let previous = shared.live.load();
    let live = live::live(&shared.observers.clock, &settings, &shared.metrics, Some(&previous))?;
    let old = core.settings.load();
    let fixed = [
        ("listen", old.listen.address != settings.listen.address),
        ("health", old.health != settings.health),
        ("admin", old.admin != settings.admin),
        ("redis", old.redis != settings.redis),
        ("limits", old.limits != settings.limits),
    ];
    let kept = fixed
        .iter()
        .filter(|(_, changed)| *changed)
        .map(|(key, _)| *key)
        .collect();
    core.front.store(Arc::new(Front::new(&settings)));
    shared.live.store(Arc::new(live));
    core.settings.store(Arc::new(settings));
    Ok(kept)
}
