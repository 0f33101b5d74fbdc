//! The rate limit of one source, wherever it counts: in this process, or in Redis with this process to fall back on.

use super::{Lender, LimitKey, LimitSpec, Limited, Scope, SourceLimiter, shared::SharedBuckets};
use crate::event::{Clock, SourceName};
use std::sync::Arc;

/// Shared by all workers.
pub struct RateLimit {
    local: SourceLimiter,
    shared: Option<Arc<SharedBuckets>>,
}

impl RateLimit {
    /// A full bucket. `namespace` is part of every name in Redis.
    pub fn new(spec: &LimitSpec, namespace: &str, source: &SourceName, clock: Arc<dyn Clock>) -> Self {
        let shared = || Arc::new(SharedBuckets::new(spec, namespace, source, clock.clone()));
        Self {
            shared: (spec.scope == Scope::Shared).then(shared),
            local: SourceLimiter::new(spec, clock),
        }
    }

    /// The setting that it was made from: one whose setting did not change outlives a reload.
    pub fn spec(&self) -> &LimitSpec {
        self.local.spec()
    }

    /// Takes a cell. Under [`Scope::Shared`] it waits for Redis only where nothing is leased, and no longer than one call
    /// may take; without a lender, and while Redis does not answer, this process limits by itself. `pressure`: as for
    /// [`SourceLimiter::check`].
    pub async fn check(&self, lender: Option<&Lender>, key: LimitKey<'_>, pressure: bool) -> Result<(), Limited> {
        if let (Some(shared), Some(lender)) = (&self.shared, lender)
            && let Some(answer) = shared.check(lender, key).await
        {
            if answer.is_ok() {
                // Spent along, so that an outage of Redis is no fresh bucket. What it says does not count now.
                let _only_spent = self.local.check(key, pressure);
            }
            return answer;
        }
        self.local.check(key, pressure)
    }
}
