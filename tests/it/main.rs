//! The sidecar from outside: real sockets, real apps, real Redis; time is injected.
#![allow(clippy::disallowed_methods, reason = "tests read clocks and spawn tasks")]
#![allow(missing_docs, reason = "a test binary has no public items")]

#[path = "../support/authority.rs"]
mod authority;
#[path = "../vectors/case.rs"]
#[allow(dead_code, reason = "the vectors' own test judges with it; this one sends")]
mod case;
#[path = "../support/cutting_proxy.rs"]
mod cutting_proxy;
#[path = "../support/redis.rs"]
mod redis;
mod support;

mod answers;
mod bodies;
mod breaker;
mod clients;
mod contract_ops;
mod contract_wire;
mod credentials;
mod destinations;
mod edge;
mod faults;
mod h2_attacks;
mod handshakes;
mod http2;
mod journey;
mod keys;
mod limits;
mod message;
mod operate;
mod outage;
mod outcomes;
mod page;
mod penalties;
mod process;
mod proven_keys;
mod proxy_protocol;
mod redaction;
mod reload;
mod repeats;
mod replicas;
mod routes;
mod shares;
mod shutdown;
mod slow;
mod subscriptions;
mod tls;
mod tls_out;
mod vectors;
mod verbs;
mod watch;
mod wire;
