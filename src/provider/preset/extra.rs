//! What a preset carries beside verification: realistic events, handshakes that want more than an answer.

use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::BTreeMap;

/// A handshake that hands the secret out: nothing proves it, and it bears no signature.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EnrolmentRule {
    /// Where the secret stands: `header:NAME` or `json:/pointer`.
    pub secret: String,
    /// The provider wants to see the header again in the answer.
    #[serde(default)]
    pub echo: bool,
}

/// A handshake that asks for a visit: the sidecar makes it where the source says `settings: {confirm_subscription: true}`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConfirmRule {
    /// `header:NAME` or `json:/pointer`: where the URL to visit stands.
    pub from: String,
    /// Host names that are believed; `*` stands for one label, `{region}` for one that names a region of AWS.
    pub hosts: Vec<String>,
    /// The path that is visited; at its end `?` stands for a query.
    pub path: String,
}

/// A realistic event.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SampleRule {
    /// Its type.
    pub event: String,
    /// Its body, byte for byte but for the places that make it a new event each time: `{{id}}` (24 hex digits), `{{uuid}}`,
    /// `{{number}}` (12 digits), `{{unix}}`, `{{ms}}` and `{{time}}` (now: seconds, milliseconds, RFC 3339).
    pub body: String,
    /// `application/json` where absent.
    pub content_type: Option<String>,
    /// Headers that the provider sends with it beside signature, id and event; with the same places.
    pub headers: BTreeMap<String, String>,
}
