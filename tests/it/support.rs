//! What the tests stand on: a sidecar on ports of its own, an app that records, a client that writes raw bytes.

pub mod app;
pub mod sidecar;
pub mod signed;
pub mod wire;

pub use app::{App, Script};
pub use sidecar::Sidecar;
pub use wire::{Answer, Request};
