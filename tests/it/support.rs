//! What the tests stand on: a sidecar on ports of its own, an app that records, a client that writes raw bytes.

pub mod app;
pub mod browser;
pub mod frames;
pub mod hpack;
pub mod named;
pub mod process;
pub mod publisher;
pub mod secure;
pub mod sidecar;
pub mod signed;
pub mod upstream;
pub mod wire;

pub use crate::authority::{Authority, Issued};
pub use app::{App, Script};
pub use process::{Folder, PORTS, Process, hookward};
pub use publisher::Publisher;
pub use sidecar::Sidecar;
pub use upstream::Upstream;
pub use wire::{Answer, Request};

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicU8, Ordering},
    time::{Duration, Instant},
};

/// Nothing here takes longer on a machine that works; what waits for more has failed.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Any port of an address that nobody else uses. Where every byte that comes counts, 127.0.0.1 will not do: whoever still
/// asks a port there that was somebody else's (a page in a browser, say) finds us; and a port that was free a moment ago
/// stays so only where nobody looks for one.
pub fn aside() -> SocketAddr {
    static COUNT: AtomicU8 = AtomicU8::new(0);
    let [.., middle, low] = std::process::id().to_be_bytes();
    let count = COUNT.fetch_add(1, Ordering::Relaxed) & 127;
    SocketAddr::from(([127, 128 | count, middle, low], 0))
}

/// Waits until `holds`; what is asked is cheap, so it is asked often.
pub fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// A metric's value at a health listener; 0 where it does not stand.
pub fn metric(health: SocketAddr, series: &str) -> f64 {
    let answer = Request::get("/metrics").send(health);
    let text = String::from_utf8(answer.body).expect("text");
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.map_or(0.0, |value| value.parse().expect("a number"))
}
