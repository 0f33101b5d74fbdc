//! The closed list of what can become of a request: status, log word, metric label and `Hookward-Outcome` come from here.

use crate::telemetry::Shelf;
use http::StatusCode;

macro_rules! outcomes {
    ($($(#[$doc:meta])* $variant:ident = $label:literal, $status:ident, $title:literal;)+) => {
        /// What became of a request. Every request ends in exactly one.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Outcome {
            $($(#[$doc])* $variant,)+
        }

        impl Outcome {
            /// Every outcome, in the order of [`Self::LABELS`].
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// Every label, indexed by `outcome as usize`.
            pub const LABELS: &'static [&'static str] = &[$($label,)+];

            /// Metric label, log field and `Hookward-Outcome`.
            pub const fn label(self) -> &'static str {
                match self { $(Self::$variant => $label,)+ }
            }

            /// The status that goes with it where nothing more exact is known.
            pub const fn status(self) -> StatusCode {
                match self { $(Self::$variant => StatusCode::$status,)+ }
            }

            /// `type` of the problem document (RFC 9457).
            pub const fn urn(self) -> &'static str {
                match self { $(Self::$variant => concat!("urn:hookward:outcome:", $label),)+ }
            }

            /// `title` of the problem document: for the sender, so it says nothing that helps a forger.
            pub const fn title(self) -> &'static str {
                match self { $(Self::$variant => $title,)+ }
            }
        }
    };
}

outcomes! {
    /// Every required destination answered 2xx.
    Delivered = "delivered", OK, "Delivered";
    /// Delivered before; an honest retry.
    Duplicate = "duplicate", OK, "Delivered before";
    /// Delivered before, and this is no honest retry.
    Replayed = "replayed", CONFLICT, "This delivery was accepted before";
    /// Delivered content under a new unsigned id.
    Conflict = "conflict", CONFLICT, "This content was delivered under another id";
    /// Another attempt is delivering it.
    InFlight = "in_flight", SERVICE_UNAVAILABLE, "Another attempt of this delivery is in flight";
    /// Authentic and not selected.
    Filtered = "filtered", OK, "Event not selected";
    /// A handshake was answered.
    Challenge = "challenge", OK, "Challenge answered";
    /// The gate refused it.
    Malformed = "malformed", BAD_REQUEST, "Malformed request";
    /// No source has this path.
    NoSource = "no_source", NOT_FOUND, "Nothing here";
    /// The source does not take this method.
    Method = "method", METHOD_NOT_ALLOWED, "Method not allowed";
    /// `allow_from`.
    ClientDenied = "client_denied", FORBIDDEN, "Client not allowed";
    /// Not proven authentic.
    Unverified = "unverified", UNAUTHORIZED, "Not verified";
    /// Authentic, but outside the time window.
    Stale = "stale", UNAUTHORIZED, "Timestamp outside the tolerance";
    /// Too many failed verifications of this client.
    Penalized = "penalized", TOO_MANY_REQUESTS, "Too many failed verifications";
    /// Over the source's rate limit.
    RateLimited = "rate_limited", TOO_MANY_REQUESTS, "Rate limit exceeded";
    /// The request did not arrive in time.
    TooSlow = "too_slow", REQUEST_TIMEOUT, "The request took too long";
    /// The body is longer than allowed.
    TooLarge = "too_large", PAYLOAD_TOO_LARGE, "Body too large";
    /// No room for it now.
    Overloaded = "overloaded", SERVICE_UNAVAILABLE, "Overloaded";
    /// Redis is out and the policy is to refuse.
    LedgerUnavailable = "ledger_unavailable", SERVICE_UNAVAILABLE, "Temporarily unavailable";
    /// A required destination cannot be reached.
    UpstreamUnreachable = "upstream_unreachable", BAD_GATEWAY, "Upstream unreachable";
    /// A required destination did not answer in time.
    UpstreamTimeout = "upstream_timeout", GATEWAY_TIMEOUT, "Upstream timed out";
    /// A required destination did not accept it.
    UpstreamFailed = "upstream_failed", BAD_GATEWAY, "Upstream failed";
}

impl Outcome {
    /// Where a request that ended so is kept. What anybody can cause is kept apart: handshakes that nothing proves, and
    /// what was turned away before or for want of a proof.
    pub const fn shelf(self) -> Shelf {
        match self {
            Self::Challenge
            | Self::Malformed
            | Self::NoSource
            | Self::Method
            | Self::ClientDenied
            | Self::Unverified
            | Self::Stale
            | Self::Penalized
            | Self::TooSlow
            | Self::TooLarge
            | Self::Overloaded => Shelf::Refused,
            Self::Delivered
            | Self::Duplicate
            | Self::Replayed
            | Self::Conflict
            | Self::InFlight
            | Self::Filtered
            | Self::RateLimited
            | Self::LedgerUnavailable
            | Self::UpstreamUnreachable
            | Self::UpstreamTimeout
            | Self::UpstreamFailed => Shelf::Deliveries,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Outcome;

    #[test]
    fn labels_are_indexed_by_the_outcome() {
        for (index, outcome) in Outcome::ALL.iter().enumerate() {
            assert_eq!((*outcome as usize, Outcome::LABELS[index]), (index, outcome.label()));
        }
        assert_eq!(Outcome::ALL.len(), 22);
    }
}
