//! The health and admin listeners: probes and metrics; page, last requests, samples, and what operators order.
//!
//! Both run on the background runtime and know the sidecar only through [`Control`].

mod answer;
mod api;
mod connections;
mod guard;
mod health;
mod listener;
mod operate;
mod page;
mod recent;
mod tail;

pub use guard::Access;
pub use listener::Bounds;
pub use operate::{Enrolled, EnrolmentWish, Reloaded, SampleWish, Sampled};

use crate::{
    event::{Glob, SourceName},
    replay::Recalled,
    telemetry::{Exposition, Level, Recent},
};
use futures_util::future::BoxFuture;
use serde_json::Value;
use std::{sync::Arc, time::Duration};
use tokio::{net::TcpListener, sync::Semaphore};
use tokio_util::sync::CancellationToken;

/// What the two listeners ask of the running sidecar. `boot` implements it.
pub trait Control: Send + Sync + 'static {
    /// `/livez`: does the process still work? Never anything outside of it, or the kubelet would restart it for nothing.
    fn liveness(&self) -> Vec<Check>;
    /// `/readyz`: configuration loaded, listener bound, not draining, and what `ready_requires` names.
    fn readiness(&self) -> Vec<Check>;
    /// `/startupz`: configuration loaded, listener bound. Never the app or Redis: as a native sidecar we start before the app.
    fn startup(&self) -> Vec<Check>;
    /// `/metrics`.
    fn metrics(&self, format: Exposition) -> String;
    /// `GET /api/v1/status`: an object; `schema_version` is added.
    fn status(&self) -> Value;
    /// `GET /api/v1/sources`: a list of objects.
    fn sources(&self) -> Value;
    /// `GET /api/v1/destinations`: a list of objects.
    fn destinations(&self) -> Value;
    /// The last requests.
    fn recent(&self) -> &Recent;
    /// Reads the configuration anew, as SIGHUP does, and tells what came of it.
    fn reload(&self) -> BoxFuture<'_, Reloaded>;
    /// Logs more or less from now on.
    fn set_log_level(&self, level: Level);
    /// Sends a sample event to a source, on its own path of this sidecar and nowhere else.
    fn send<'a>(&'a self, source: &'a SourceName, wish: SampleWish) -> BoxFuture<'a, Sampled>;
    /// Opens, asks after or closes an enrolment window.
    fn enroll(&self, source: &SourceName, wish: EnrolmentWish) -> Enrolled;
    /// Lets redeliveries of one delivered event through. `delivery` is a `Hookward-Delivery` value as an operator pasted it.
    /// Answers when every replica knows, which on Redis takes a second.
    fn forget<'a>(&'a self, source: &'a SourceName, delivery: &'a str) -> BoxFuture<'a, Forgotten>;
    /// The same for all that a source delivered within `within`, of one event only where a glob is given.
    fn forget_since<'a>(
        &'a self,
        source: &'a SourceName,
        within: Duration,
        event: Option<Glob>,
    ) -> BoxFuture<'a, Result<Recalled, Forgotten>>;
    /// Begins to drain, as a preStop hook wants it: unready and `Connection: close` from now on, still serving. Returns at
    /// once; a second call changes nothing.
    fn drain(&self);
}

/// One line of a probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What was looked at (`config`, `listener`, `draining`, `redis`, `upstream`).
    pub name: &'static str,
    /// Is it as it should be?
    pub ok: bool,
    /// What was found, in words; may be empty.
    pub detail: String,
}

impl Check {
    /// A check in one expression.
    pub fn new(name: &'static str, ok: bool, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        Self { name, ok, detail }
    }
}

/// What became of a wish to forget.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Forgotten {
    /// The delivery may be delivered once more.
    Deliverable,
    /// The ledger has no delivered record of it.
    Unknown,
    /// It is being delivered at this moment.
    InFlight,
    /// No source has this name.
    NoSource,
    /// This source has no ledger.
    NoLedger,
    /// The ledger cannot be asked, and why.
    Unavailable(String),
}

/// Serves `/livez`, `/readyz`, `/startupz` and `/metrics` until `stop`, then lets answers in progress finish.
pub async fn serve_health(socket: TcpListener, control: Arc<dyn Control>, bounds: Bounds, stop: CancellationToken) {
    let handle = move |request, _| std::future::ready(health::answer(&request, &*control));
    listener::serve(socket, bounds, handle, stop).await;
}

/// Serves the page and the JSON API to whom `access` lets in, until `stop`.
pub async fn serve_admin(
    socket: TcpListener,
    control: Arc<dyn Control>,
    access: Access,
    bounds: Bounds,
    stop: CancellationToken,
) {
    let admin = Arc::new(api::Admin {
        control,
        access,
        patience: bounds.body,
        readers: Arc::new(Semaphore::new(tail::READERS)),
        stop: stop.clone(),
    });
    let handle = move |request, ends| api::answer(request, ends, admin.clone());
    listener::serve(socket, bounds, handle, stop).await;
}

#[cfg(test)]
mod tests;
