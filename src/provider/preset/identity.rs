//! The replay identity of a preset: which requests are attempts of the same event, and what a repeat of one means.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Can two different events of a provider have equal bodies?
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BodyRule {
    /// No: every body carries an id or a time of its event.
    Unique,
    /// Yes, or no source shows that they cannot.
    MayRepeat,
}

/// The kind of identity of a preset's requests, stated beside the fact that it rests on. A kind that the other fields do
/// not give is an error of the preset.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct IdentityRule {
    /// The kind.
    pub kind: IdentityKind,
    /// One sentence: the documentation or the official example that shows the kind.
    pub reason: String,
}

/// Which requests are attempts of the same event. The first kind whose condition holds decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum IdentityKind {
    /// The signature covers the provider's id of the event.
    SignedId,
    /// The signed body carries an id or a time of its event.
    UniqueBody,
    /// Bodies may repeat; the signed time distinguishes their events.
    BodyAndTime,
    /// Bodies may repeat, and no time is signed: nothing distinguishes an honest repeat from a replay.
    Doorbell,
    /// A token proves the sender, and an id that the token does not cover names the event.
    NamedId,
    /// A token, or nothing, proves the sender, and no id is named: every request is an event of its own.
    None,
}

impl IdentityKind {
    /// As a preset writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SignedId => "signed_id",
            Self::UniqueBody => "unique_body",
            Self::BodyAndTime => "body_and_time",
            Self::Doorbell => "doorbell",
            Self::NamedId => "named_id",
            Self::None => "none",
        }
    }

    /// For operators: the limit of the replay protection of this kind, where a replay looks like an honest request.
    pub const fn replay_limit(self) -> Option<&'static str> {
        match self {
            Self::Doorbell => Some("a replay cannot be told from an honest repeat here"),
            _ => None,
        }
    }
}

/// The shape of an event's body. The header that names the event is not signed, so the body alone decides.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EventShape {
    /// The event's type, for readers.
    pub event: String,
    /// Values of the body's `/action`, one of which the body must have. An empty list takes any body, with or without one.
    #[serde(default)]
    pub actions: Vec<String>,
    /// JSON pointers that must all be in the body.
    pub fields: Vec<String>,
    /// JSON pointers none of which may be in the body.
    #[serde(default)]
    pub absent: Vec<String>,
}

/// The answer to delivered content that bears a new unsigned id.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum NewId {
    /// 409: a replay in disguise (GitHub).
    #[default]
    Conflict,
    /// 200: one of several subscriptions to one event (Shopify).
    Duplicate,
}

/// The answer to delivered content that bears a new unsigned event name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum NewEvent {
    /// 409: a replay in disguise.
    #[default]
    Conflict,
    /// 200.
    Duplicate,
    /// The provider sends one content under several topics: the request is forwarded as a repeat, if the preset or the
    /// source names the event exactly.
    Deliver,
}
