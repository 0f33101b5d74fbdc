//! What one over a limit is told: when to come again, and the policy.

use std::time::Duration;

/// Over a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limited {
    policy: Policy,
    retry_after: u64,
    wait: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Policy {
    pub(super) quota: u32,
    /// The time in which an empty bucket is full again.
    pub(super) window: Duration,
}

impl Limited {
    pub(super) fn new(policy: Policy, wait: Duration) -> Self {
        Self {
            policy,
            retry_after: whole_seconds(wait),
            wait,
        }
    }

    /// `Retry-After`: whole seconds, rounded up, at least 1.
    pub fn retry_after(&self) -> u64 {
        self.retry_after
    }

    /// The exact time until there is a place.
    pub fn wait(&self) -> Duration {
        self.wait
    }

    /// `RateLimit-Policy`, for instance `"source";q=1000;w=5` (draft-ietf-httpapi-ratelimit-headers-10): the size of the
    /// bucket and the seconds that refill it. Every policy of ours is named `source`: a source is what is limited.
    pub fn policy(&self) -> String {
        let Policy { quota, window } = self.policy;
        format!("\"source\";q={quota};w={}", whole_seconds(window))
    }

    /// `RateLimit`, for instance `"source";r=0;t=12`: nothing is left, for that many seconds.
    pub fn state(&self) -> String {
        format!("\"source\";r=0;t={}", self.retry_after)
    }
}

fn whole_seconds(time: Duration) -> u64 {
    time.as_secs().saturating_add(u64::from(time.subsec_nanos() > 0)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_whole_rounded_up_and_never_zero() {
        let policy = Policy {
            quota: 1000,
            window: Duration::from_secs(5),
        };
        for (wait, secs) in [(0, 1), (1, 1), (1000, 1), (1001, 2), (12_000, 12)] {
            let limited = Limited::new(policy, Duration::from_millis(wait));
            assert_eq!(limited.retry_after(), secs, "{wait} ms");
            assert_eq!(limited.state(), format!("\"source\";r=0;t={secs}"));
            assert_eq!(limited.policy(), "\"source\";q=1000;w=5");
        }
    }
}
