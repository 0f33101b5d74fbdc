//! hookward: a reverse-proxy sidecar that lets only authentic webhooks through.
//!
//! # The journey
//! A request's way can be read off the folders. [`server`] accepts it and passes it through its gate; [`boot`] knows who
//! the client is; [`pipeline`] walks it through `admit -> assemble -> authenticate -> choose -> claim -> spend ->
//! deliver -> respond`. Every stage takes what only the stage before it can make, so two stages in the wrong order do
//! not compile. A stage that ends the journey early returns a [`source::Ending`]; its [`source::Outcome`] is the one word
//! that status, log, metric and `Hookward-Outcome` share.
//!
//! # Who may import whom
//! A row names only rows above it; `tests/architecture.rs` holds the table.
//!
//! | room | what stands there | imports |
//! |---|---|---|
//! | [`event`] | the vocabulary: names, bodies, keys, clocks, secrets | nothing of ours |
//! | [`telemetry`] | metrics, one log line a request, ids | `event` |
//! | [`tls`] | certificates, keys, and what rustls makes of them | `event` |
//! | [`server`] | accept loop, deadlines, gate, drain; knows nothing of webhooks | `event`, `tls` |
//! | [`store`] | the connection to Redis and its breaker | `event`, `tls` |
//! | [`provider`] | signature schemes as data: verify, sign, explain; sans-IO | `event` |
//! | [`replay`] | the ledger: claim, settle; in process and on Redis | `event`, `store` |
//! | [`limit`] | rates, penalties, budgets | `event`, `store` |
//! | [`upstream`] | what a destination gets, and how it answers | `event`, `tls` |
//! | [`config`] | YAML to settings, every problem at once | `event`, `tls` and the four above |
//! | [`source`] | a live source, its routes, how a request ends | `event`, the four, `telemetry` |
//! | [`pipeline`] | the journey | the same and `source` |
//! | [`admin`] | probes, metrics, status, forget | `event`, `provider`, `replay`, `source`, `telemetry` |
//! | [`boot`] | settings to a running sidecar; reload | everything above |
//! | [`cli`] | one file a verb | `boot` and what it shows |
//!
//! # Adding things
//! - a provider: one file `config/providers/acme.yaml` and one file `tests/vectors/acme.json`;
//! - a ledger: one file in `replay/`, one line in the contract test that every ledger passes;
//! - a stage: one file in `pipeline/`, one line in the journey, an [`source::Outcome`] if it can end a request; the
//!   compiler names the rest.

pub mod admin;
pub mod boot;
pub mod cli;
pub mod config;
pub mod event;
pub mod limit;
pub mod pipeline;
pub mod provider;
pub mod replay;
pub mod server;
pub mod source;
pub mod store;
pub mod telemetry;
pub mod tls;
pub mod upstream;
