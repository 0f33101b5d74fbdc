//! What operators see: metrics, one log line a request, trace ids.

pub mod log;
pub mod metrics;
pub mod recent;
pub mod trace;

pub use log::{Format, Handed, Level, Log, RequestRecord};
pub use metrics::{DeliveryResult, Exposition, LedgerOp, Metrics, SourceMeters};
pub use recent::{Kept, Recent, Shelf};
pub use trace::{Entropy, RequestId, TraceParent, entropy};
