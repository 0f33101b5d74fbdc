//! `sources` and `defaults`.

use super::{
    Listed, Named, Text,
    word::{
        BytesText, DestinationText, Duplicates, DurationText, Encoding, GlobText, NetworkText, Off, OnMissing,
        OnOutage, PathText, PerWord, PlaceText, ProviderText, RateText, ScopeWord, TimeText, UrlText, WindowText,
    },
};
use crate::provider::Preset;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Deserialize;
use std::borrow::Cow;

/// A sender of webhooks.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "a source")]
pub(in crate::config) struct Source {
    /// A preset (`hookward providers` lists them), `custom` with `verify`, `token`, or `none`.
    #[schemars(required)]
    pub provider: Option<ProviderText>,
    /// The path that it sends to; `/hooks/*` takes everything below `/hooks/`, less what an app could read as another
    /// source's path (other case, a trailing slash, `;parameters`).
    pub path: Option<PathText>,
    /// Several of them.
    pub paths: Option<Listed<PathText>>,
    /// Its secrets, newest first; all are valid at once.
    pub secrets: Option<Listed<Secret>>,
    /// The provider's certificate, pinned, in place of secrets: one `{file: PATH}` or a list. Absent: fetched, where the
    /// preset says from where.
    pub certificate: Option<Pin>,
    /// The provider's key set, pinned, in place of secrets. Absent: fetched, where the preset says from where.
    pub jwks: Option<Pin>,
    /// For `provider: custom`: the fields of a preset file.
    pub verify: Option<Verify>,
    /// Scheme, host and path prefix as the provider sees them, for providers that sign the URL.
    pub public_url: Option<UrlText>,
    /// What a scheme needs and a person knows.
    pub settings: Option<Named<Setting>>,
    /// `provider: none` needs this said aloud.
    pub allow_unverified: Option<bool>,
    /// Client networks that may use it. Absent: all.
    pub allow_from: Option<Listed<NetworkText>>,
    /// Events that are forwarded. Absent: all.
    pub events: Option<Listed<GlobText>>,
    /// Where its deliveries go. Absent: to `upstream`.
    pub to: Option<Listed<To>>,
    /// Where the provider's id of an event is.
    pub id: Option<Origin>,
    /// Where the event type is.
    pub event: Option<Origin>,
    /// The longest body.
    pub max_body: Option<BytesText>,
    /// How far a signed time may be off.
    pub tolerance: Option<Tolerance>,
    /// Its replay ledger.
    pub replay: Option<Replay>,
    /// Its rate limit.
    pub rate_limit: Option<RateLimit>,
    /// What happens while Redis is out.
    pub on_outage: Option<OnOutage>,
    /// What happens when a secret cannot be read.
    pub on_missing_secret: Option<OnMissing>,
}

/// What holds for every source that says nothing else.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "`defaults`")]
pub(in crate::config) struct Defaults {
    /// The longest body. Default 1MiB.
    pub max_body: Option<BytesText>,
    /// How far a signed time may be off. Default 5m.
    pub tolerance: Option<Tolerance>,
    /// The replay ledger. Default {keep: 24h, duplicates: acknowledge}.
    pub replay: Option<Replay>,
    /// The rate limit. Default {per: source, rate: 200/s, burst: 1000, scope: replica}; for `provider: none` burst 200.
    pub rate_limit: Option<RateLimit>,
    /// Time for an answer of the app. Default 10s.
    pub timeout: Option<DurationText>,
    /// How long an app that refuses connections is tried again. Default 3s.
    pub connect_wait: Option<DurationText>,
    /// What happens when a secret cannot be read. Default `fail`.
    pub on_missing_secret: Option<OnMissing>,
}

/// Exactly one of `file`, `env` and `value`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "a secret (`{file: PATH}` or `{env: NAME}`)", extend("writeOnly" = true))]
pub(in crate::config) struct Secret {
    /// A file that holds it; one trailing newline is stripped.
    pub file: Option<Text>,
    /// An environment variable that holds it.
    pub env: Option<Text>,
    /// The secret itself: for trials only.
    pub value: Option<Text>,
    /// How the text becomes a key. Default: as the preset says.
    pub encoding: Option<Encoding>,
    /// Its name in metrics. Default: its index.
    pub id: Option<Text>,
    /// From then on it verifies nothing.
    pub not_after: Option<TimeText>,
    /// Fewer than 8 bytes are meant.
    pub allow_short: Option<bool>,
}

/// A pinned key, or several.
#[derive(Deserialize, JsonSchema)]
#[serde(untagged)]
pub(in crate::config) enum Pin {
    One(Secret),
    Several(Listed<Secret>),
}

/// One of `settings`.
#[derive(Deserialize, JsonSchema)]
#[serde(untagged)]
pub(in crate::config) enum Setting {
    Text(String),
    Flag(bool),
    Number(i64),
    Secret(Box<Secret>),
    Several(Listed<Secret>),
}

/// One of `to`.
#[derive(Deserialize, JsonSchema)]
#[serde(untagged)]
pub(in crate::config) enum To {
    Short(DestinationText),
    Long(ToLong),
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "an entry of `to`")]
pub(in crate::config) struct ToLong {
    /// One of `destinations`, or `upstream`.
    #[schemars(required)]
    pub destination: Option<DestinationText>,
    /// Events for it. Absent: all of the source's.
    pub events: Option<Listed<GlobText>>,
    /// Does its failure fail the delivery? Default true.
    pub required: Option<bool>,
}

/// Where in a request something is: one shape everywhere.
#[derive(Deserialize, JsonSchema)]
#[serde(untagged)]
pub(in crate::config) enum Origin {
    Plain(Fields),
    Long(OriginLong),
}

#[derive(Deserialize, JsonSchema)]
#[serde(untagged)]
pub(in crate::config) enum Fields {
    One(PlaceText),
    Several(Listed<PlaceText>),
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "`{from: PLACE}`")]
pub(in crate::config) struct OriginLong {
    /// The place, or several of which the first present one is taken.
    #[schemars(required)]
    pub from: Option<Fields>,
    /// Derived from what the signature covers; may be stated, but not falsely.
    pub signed: Option<bool>,
}

/// `tolerance`.
#[derive(Deserialize, JsonSchema)]
#[serde(untagged)]
pub(in crate::config) enum Tolerance {
    Text(WindowText),
    Long(ToleranceLong),
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "{past, future}")]
pub(in crate::config) struct ToleranceLong {
    /// How old.
    #[schemars(required)]
    pub past: Option<DurationText>,
    /// How far ahead. Default: as `past`.
    pub future: Option<DurationText>,
}

/// `replay`.
#[derive(Deserialize, JsonSchema)]
#[serde(untagged)]
pub(in crate::config) enum Replay {
    Off(Off),
    On(ReplayLong),
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "{keep, duplicates}")]
pub(in crate::config) struct ReplayLong {
    /// How long a delivery is remembered.
    pub keep: Option<DurationText>,
    /// What a repeated one gets.
    pub duplicates: Option<Duplicates>,
}

/// `rate_limit`.
#[derive(Deserialize, JsonSchema)]
#[serde(untagged)]
pub(in crate::config) enum RateLimit {
    Off(Off),
    /// The rate; burst: five times its count.
    Short(RateText),
    On(RateLimitLong),
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "{per, rate, burst, scope, status}")]
pub(in crate::config) struct RateLimitLong {
    /// What it counts by. Default `source`.
    pub per: Option<Per>,
    /// How fast it refills. Default 200/s.
    pub rate: Option<RateText>,
    /// How many at once. Default: with a rate of its own that rate's count, else 1000 (`provider: none`: 200).
    #[schemars(range(min = 1, max = 10_000_000))]
    pub burst: Option<u32>,
    /// Where it is counted: in each replica by itself, or by all of them together in Redis. Default `replica`.
    pub scope: Option<ScopeWord>,
    /// What the sender gets. Default 429.
    #[schemars(extend("enum" = [429, 503]))]
    pub status: Option<u16>,
}

/// What a limit counts by.
#[derive(Deserialize, JsonSchema)]
#[serde(untagged)]
pub(in crate::config) enum Per {
    Word(PerWord),
    Field(PerField),
}

/// Exactly one of the two.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "{header: NAME} or {json: /POINTER}")]
pub(in crate::config) struct PerField {
    /// A header of the verified request.
    pub header: Option<Text>,
    /// A JSON pointer into the verified body.
    pub json: Option<Text>,
}

/// `verify`: a preset file without its name.
#[derive(Deserialize)]
#[serde(transparent)]
pub(in crate::config) struct Verify(pub serde_json::Value);

impl JsonSchema for Verify {
    fn schema_name() -> Cow<'static, str> {
        "Verify".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut schema = Preset::json_schema(generator);
        if let Some(required) = schema.get_mut("required").and_then(|list| list.as_array_mut()) {
            required.retain(|key| key != "name");
        }
        if let Some(properties) = schema.get_mut("properties").and_then(|map| map.as_object_mut()) {
            properties.remove("name");
        }
        schema.insert("title".to_owned(), "`verify`".into());
        schema
    }
}
