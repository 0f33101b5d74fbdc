//! Which of two digests a signature is over, where a request states it.

use schemars::JsonSchema;
use serde::Deserialize;

/// The field that states the digest, and its values. A request with another value is refused.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DigestRule {
    /// `header:NAME` or `json:/pointer`.
    pub from: String,
    /// The value of a signature with SHA-1.
    pub sha1: String,
    /// The value of a signature with SHA-256.
    pub sha256: String,
}
