//! `destinations` and the long form of `upstream`.

use super::{
    Named, Secret, Text,
    word::{DurationText, UrlText},
};
use schemars::JsonSchema;
use serde::Deserialize;

/// `upstream` or a destination, short (its URL) or long.
#[derive(Deserialize, JsonSchema)]
#[serde(untagged)]
pub(in crate::config) enum Upstream {
    Short(UrlText),
    Long(Box<Destination>),
}

/// An app that gets deliveries.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "a destination (or of `upstream` in its long form)")]
pub(in crate::config) struct Destination {
    /// Where it is. A destination's is used as it stands; the request's query is joined to its own.
    #[schemars(required)]
    pub url: Option<UrlText>,
    /// How its certificate is checked, and ours for it; only with an `https` URL, and not needed for one.
    pub tls: Option<ClientTls>,
    /// Time for an answer. Default `defaults.timeout`, else 10s.
    pub timeout: Option<DurationText>,
    /// How long an app that refuses connections is tried again. Default `defaults.connect_wait`, else 3s.
    pub connect_wait: Option<DurationText>,
    /// Fixed headers for it; none that hookward sets itself or always removes.
    pub headers: Option<Named<Text>>,
    /// A Standard Webhooks signature of ours for it.
    pub sign: Option<Sign>,
    /// Sign deliveries of unverified sources too.
    pub sign_unverified: Option<bool>,
    /// Statuses of the app that become another one for the sender.
    pub map_status: Option<Named<Status>>,
    /// Forward the credential that proves the sender: the `Authorization` of a token, basic or JWT source, or the token
    /// wherever it stands. Default false: a destination does not receive it. The plain `upstream` always does.
    pub forward_credentials: Option<bool>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(transparent)]
pub(in crate::config) struct Status(#[schemars(range(min = 400, max = 599))] pub u16);

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "`sign`")]
pub(in crate::config) struct Sign {
    /// The key: `whsec_…` or base64 as Standard Webhooks libraries take it; else its bytes.
    #[schemars(required)]
    pub secret: Option<Secret>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "`tls` of a destination")]
pub(in crate::config) struct ClientTls {
    /// File of the authorities (PEM) that are believed. Default: those of the system, else Mozilla's.
    pub ca: Option<Text>,
    /// File of our own certificate (PEM, leaf first), for a destination that asks for one; with `key`.
    pub cert: Option<Text>,
    /// File of its private key (PEM).
    pub key: Option<Text>,
    /// The name that its certificate must be for. Default: the host of the URL.
    pub server_name: Option<Text>,
}
