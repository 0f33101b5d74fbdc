//! Scalars of the configuration: closed sets of words, and texts with a format of their own.

use crate::{limit::Per, replay};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use std::{borrow::Cow, ops::Deref};

macro_rules! text {
    ($($(#[$doc:meta])* $name:ident = $title:literal, $example:literal, $pattern:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Deserialize)]
        #[serde(transparent)]
        pub(in crate::config) struct $name(String);

        impl Deref for $name {
            type Target = str;

            fn deref(&self) -> &str {
                &self.0
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({"type": "string", "title": $title, "examples": [$example], "pattern": $pattern})
            }
        }
    )*};
}

text! {
    /// An address to listen on.
    Address = "an address with port such as `0.0.0.0:9480`", "0.0.0.0:9480", r":\d+$";
    /// A duration.
    DurationText = "a duration such as `5m`", "5m", r"^(\d+(ms|s|m|h|d))+$";
    /// A duration that may be switched off.
    WindowText = "`off` or a duration such as `5m`", "5m", r"^(off|(\d+(ms|s|m|h|d))+)$";
    /// A size in bytes.
    BytesText = "a size such as `1MiB`", "1MiB", r"^\d+(B|KiB|MiB|GiB)$";
    /// A size that may be left to us.
    SizeText = "`auto` or a size such as `64MiB`", "64MiB", r"^(auto|\d+(B|KiB|MiB|GiB))$";
    /// A rate.
    RateText = "a rate such as `200/s`", "200/s", r"^\d+/(s|m|h|d)$";
    /// A URL.
    UrlText = "a URL such as `http://127.0.0.1:3000`", "http://127.0.0.1:3000", r"^[a-z+]+://";
    /// A path that webhooks arrive at.
    PathText = "a path such as `/webhooks/stripe`", "/webhooks/stripe", r"^/[^?#\s]*$";
    /// A network.
    NetworkText = "a network such as `10.4.0.0/16`", "10.4.0.0/16", r"^[0-9a-fA-F.:]+(/\d+)?$";
    /// A host name.
    HostText = "a host name such as `hooks.example.com`", "hooks.example.com", r"^[^/\s]+$";
    /// A pattern over event names.
    GlobText = "an event such as `invoice.*`", "invoice.*", r"^.+$";
    /// Where in a request a value is.
    PlaceText = "a place such as `header:X-Event-Id` or `json:/id`", "json:/id", r"^(header:.+|json:/.*)$";
    /// The name of a preset.
    ProviderText = "the name of a provider such as `stripe`", "stripe", r"^[a-z0-9-]+$";
    /// The name of a destination.
    DestinationText = "the name of a destination", "billing", r"^[a-z0-9-]+$";
    /// A point in time.
    TimeText = "a time such as `2027-01-31T00:00:00Z`", "2027-01-31T00:00:00Z", r"^\d{4}-\d{2}-\d{2}";
}

/// Any text.
#[derive(Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(inline)]
pub(in crate::config) struct Text(pub String);

impl Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

macro_rules! words {
    ($($(#[$doc:meta])* $name:ident { $($variant:ident = $word:literal),* $(,)? })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
        #[schemars(inline)]
        pub(in crate::config) enum $name {
            $(#[serde(rename = $word)] $variant),*
        }
    )*};
}

words! {
    OnOutage { Local = "local", Reject = "reject", Allow = "allow" }
    OnMissing { Fail = "fail", Unavailable = "unavailable" }
    Duplicates { Acknowledge = "acknowledge", Reject = "reject", Forward = "forward" }
    Encoding { Utf8 = "utf8", Base64 = "base64", Hex = "hex" }
    Forwarding { XForwardedFor = "x-forwarded-for", Forwarded = "forwarded" }
    ReadyPart { Redis = "redis", Upstream = "upstream" }
    ScopeWord { Replica = "replica", Shared = "shared" }
    PerWord { Source = "source", Client = "client" }
    Auto { Auto = "auto" }
    Off { Off = "off" }
}

impl From<OnOutage> for replay::OnOutage {
    fn from(word: OnOutage) -> Self {
        match word {
            OnOutage::Local => Self::Local,
            OnOutage::Reject => Self::Reject,
            OnOutage::Allow => Self::Allow,
        }
    }
}

impl From<Duplicates> for replay::Duplicates {
    fn from(word: Duplicates) -> Self {
        match word {
            Duplicates::Acknowledge => Self::Acknowledge,
            Duplicates::Reject => Self::Reject,
            Duplicates::Forward => Self::Forward,
        }
    }
}

impl PerWord {
    pub fn meaning(self) -> Per {
        match self {
            Self::Source => Per::Source,
            Self::Client => Per::Client,
        }
    }
}
