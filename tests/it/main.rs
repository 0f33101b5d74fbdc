//! The sidecar from outside: real sockets, real apps, real Redis; time is injected.
#![allow(clippy::disallowed_methods, reason = "tests read clocks and spawn tasks")]
#![allow(missing_docs, reason = "a test binary has no public items")]

mod support;

mod journey;
mod outcomes;
