//! The shape of a preset file, `config/providers/*.yaml`; `provider: custom` writes the same fields inline.

mod digest;
mod extra;
mod identity;
mod message;
mod quantity;
mod scheme;
mod written;

pub use digest::DigestRule;
pub use extra::{ConfirmRule, EnrolmentRule, SampleRule};
pub use identity::{BodyRule, EventShape, IdentityKind, IdentityRule, NewEvent, NewId};
pub use message::MessageRule;
pub use quantity::{Size, Span};
pub use scheme::{Algorithm, KeyRule};
pub use written::{Chosen, OneOrMany, Want};

use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::BTreeMap;

/// A preset as written. Every field but the signature has a default; inline (`verify:`) the descriptive ones are left out.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Preset {
    /// Its name, the file's stem.
    pub name: String,
    /// The provider's name as people write it.
    pub title: String,
    /// The provider's page about its signatures.
    pub docs: String,
    /// How to set it up there: where to enter the URL, where to find the secret.
    pub setup: String,
    /// How the signature is proven: by which SDK, library or published example.
    pub proof: String,
    /// Names of the facts below that nobody has checked against the provider's documentation.
    pub unverified: Vec<String>,
    /// How the credential is checked.
    pub algorithm: Algorithm,
    /// How a secret's text becomes the key.
    pub key: KeyRule,
    /// What other keys of the provider begin with, which are easily taken for the secret (`sk_`): a warning.
    pub other_keys: Vec<String>,
    /// For `rsa-sha256-or-sha1`: the field that states which digest was signed.
    pub digest: Option<DigestRule>,
    /// Where the signature, token or JWT stands.
    pub signature: Option<SignatureRule>,
    /// The signature is one of RFC 9421 (HTTP Message Signatures), in place of `signature` and `signed`.
    pub message_signature: Option<MessageRule>,
    /// What is signed, as a template (`{timestamp}.{body}`); of a list (at most 4) any may match. Places: `{body}`,
    /// `{body_sha256}`, `{timestamp}`, `{method}`, `{url}`, `{url_with_port}`, `{url_without_port}`, `{url_without_query}`,
    /// `{url_sha256}`, `{url_query_form}`, `{target_escaped}`, `{query_sorted}`, `{form_sorted}`, `{body_crc32}`,
    /// `{headers_listed.LIST,NAME}`, `{headers_named.PREFIX}` (those that a part of the signature's field lists), `{line./x}` (`x`, line end, value, line end; nothing where absent), `{secret}`, `{header.X}`, `{json./x}` (`{json./x?}`: empty where it
    /// is absent), `{form.x}`, `{query.x}`, `{config.NAME}`.
    pub signed: Option<OneOrMany>,
    /// Second names of headers (`{svix-id: webhook-id}`): where one of them is missing or empty under its first name, all of
    /// them are read under their second.
    pub second_headers: BTreeMap<String, String>,
    /// The signed time.
    pub timestamp: Option<TimestampRule>,
    /// A digest of the body that is signed in its stead.
    pub body_hash: Option<BodyHashRule>,
    /// Fields that must have a fixed value, or one of a list (`header:X`, `claim:iss`), which may hold `{config.NAME}`.
    pub require: BTreeMap<String, OneOrMany>,
    /// Where the provider publishes its certificate or keys, which are fetched where a source pins none.
    pub key_url: Option<KeyUrlRule>,
    /// JSON pointer with `/*`: the check runs once per element, and an empty list fails.
    pub each: Option<String>,
    /// The provider's id of an event.
    pub id: Option<IdRule>,
    /// The event type.
    pub event: Option<EventRule>,
    /// Can two different events have equal bodies? Decides the identity of a request that bears no signed id.
    pub body: Option<BodyRule>,
    /// The kind of identity that the fields above give, and the fact that it rests on.
    pub identity: Option<IdentityRule>,
    /// Headers that name the account or shop an event is of.
    pub tenant: Option<OneOrMany>,
    /// What the provider does when it gets no 2xx.
    pub retries: Retries,
    /// Events whose bodies may honestly repeat although `body` is `unique`, each recognised by fields of its body.
    pub repeatable_events: Vec<EventShape>,
    /// Events whose bodies cannot repeat; with this list, any other body may. Excludes `repeatable_events`.
    pub unique_events: Vec<EventShape>,
    /// The answer to delivered content that bears a new unsigned id.
    pub on_new_id: NewId,
    /// The answer to delivered content that bears a new unsigned event name.
    pub on_new_event: NewEvent,
    /// The provider's own limit of a body (`25MiB`).
    pub max_body: Option<Size>,
    /// What the signature covers; derived where absent.
    pub covers: Option<Covers>,
    /// The body of all answers of ours, where the provider insists on one.
    pub answers: Option<String>,
    /// The answer's body is a command to the provider (`TwiML`), so an answer from a ledger would be wrong.
    pub answer_is_command: bool,
    /// Methods that events are sent with; `POST` where empty.
    pub methods: Vec<String>,
    /// Handshakes that are answered here.
    pub challenge: Vec<ChallengeRule>,
    /// A handshake that hands the secret out; answered only within an enrolment window.
    pub enrolment: Option<EnrolmentRule>,
    /// Event names that the provider documents, beside those of its samples.
    pub known_events: Vec<String>,
    /// Realistic events, for `send` and `dev`.
    pub samples: Vec<SampleRule>,
}

/// Where a signature stands and how it is written.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SignatureRule {
    /// `header:NAME`, `json:/pointer`, `form:NAME`, `query:NAME`, or a list: one right signature suffices.
    pub from: OneOrMany,
    /// Separator of several signatures within the field.
    #[serde(default)]
    pub split: Option<String>,
    /// What a signature begins with; parts without it are skipped.
    #[serde(default)]
    pub prefix: String,
    /// How the bytes are written.
    #[serde(default)]
    pub encoding: Encoded,
    /// The source's `settings` may name another `header` or a `query` parameter, which then bears the bare credential.
    #[serde(default)]
    pub movable: bool,
}

/// How signature bytes are written. Decoding is strict: case, alphabet, padding, no stray bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Encoded {
    /// Lower-case hex.
    #[default]
    Hex,
    /// Base64 with padding.
    Base64,
    /// URL-safe base64 without padding.
    Base64url,
}

/// The signed time.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TimestampRule {
    /// `header:NAME`, `json:/pointer`, `claim:NAME`, or `signature:PREFIX`: a part of the signature's own field
    /// (`signature:created` of RFC 9421).
    pub from: String,
    /// How it is written.
    #[serde(default)]
    pub unit: Unit,
    /// How old it may be; the source's `tolerance` goes before it.
    #[serde(default)]
    pub tolerance: Option<Span>,
    /// How far ahead it may be; as `tolerance` where absent.
    #[serde(default)]
    pub future: Option<Span>,
}

/// How a time is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Unit {
    /// Seconds since the Unix epoch.
    #[default]
    S,
    /// Milliseconds since the Unix epoch.
    Ms,
    /// RFC 3339.
    Iso,
}

/// Where a signed SHA-256 digest of the body stands.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BodyHashRule {
    /// `query:NAME` (the URL is signed) or `claim:NAME`.
    pub from: String,
    /// How it is written.
    #[serde(default)]
    pub encoding: Encoded,
    /// When it may be missing beside an empty body.
    #[serde(default)]
    pub unless: Option<Unless>,
    /// What it is the digest of.
    #[serde(default)]
    pub of: Digested,
}

/// What a signed digest is of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Digested {
    /// The body.
    #[default]
    Body,
    /// Method, path and sorted query (Atlassian's `qsh`): the body is not covered.
    Request,
}

/// Where the provider publishes its certificate or keys: at one `url`, or where each request says (`from`), which is
/// believed for these `hosts` and this `path` only.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct KeyUrlRule {
    /// The `https` URL of a key set; it may hold `{config.NAME}`.
    pub url: Option<String>,
    /// `header:NAME` or `json:/pointer`.
    pub from: Option<String>,
    /// Host names that are believed; `*` stands for one label, `{region}` for one that names a region of AWS.
    pub hosts: Vec<String>,
    /// The path that is fetched; `*` stands for letters, digits, `.`, `-` and `_`. Without it nothing is fetched, and the
    /// key must be pinned.
    pub path: Option<String>,
}

/// When a body's digest may be missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Unless {
    /// The body is a form, which the template signs itself.
    Form,
    /// The body is empty.
    Empty,
}

/// The provider's id of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdRule {
    /// The first field present wins.
    pub from: OneOrMany,
    /// Derived from `signed`; stating it falsely true is an error.
    pub signed: Option<bool>,
    /// The provider makes it unique per event, so that it may be the replay key although not all of the body is signed.
    pub unique: bool,
}

/// The event type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventRule {
    /// The first field present wins.
    pub from: OneOrMany,
    /// Derived from `signed`; stating it falsely true is an error.
    pub signed: Option<bool>,
    /// A field whose value refines the type: GitHub's `pull_request` and `/action` give `pull_request.opened` too.
    pub action: Option<String>,
}

/// What the provider does when it gets no 2xx.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Retries {
    /// Is every attempt freshly signed (only where the provider documents it), or does it keep its first timestamp?
    /// Absent: nobody knows.
    pub resigns: Option<bool>,
    /// How long a delivery must be remembered.
    pub keep: Option<Span>,
    /// Does it retry by itself? Yes where absent.
    pub automatic: Option<bool>,
    /// How long it waits for an answer.
    pub deadline: Option<Span>,
}

/// What a signature covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, serde::Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Covers {
    /// The sender only.
    Nothing,
    /// Some fields.
    Fields,
    /// The whole body.
    Body,
}

/// A handshake: when the verified request is one, and its answer.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ChallengeRule {
    /// Fields and their values, all of which must hold; `null`: the field is absent, `"*"`: it is there.
    #[serde(default)]
    pub when: BTreeMap<String, Want>,
    /// The answer.
    pub reply: ReplyRule,
    /// What proves that the provider asks.
    #[serde(default)]
    pub auth: Auth,
    /// With which method it comes (GET, HEAD, OPTIONS, POST) where no signature proves it; POST where absent.
    #[serde(default)]
    pub method: Option<String>,
    /// Where the token stands that `settings.verify_token` must be (`query:hub.verify_token`).
    #[serde(default)]
    pub token: Option<String>,
    /// What must be visited for it to count.
    #[serde(default)]
    pub confirm: Option<ConfirmRule>,
}

/// What proves that the provider itself sent a handshake.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Auth {
    /// It is signed as every event is.
    #[default]
    Signature,
    /// It bears the token of `settings.verify_token`.
    VerifyToken,
    /// Nothing: anybody may ask, so the answer must be worth nothing to whoever does.
    None,
}

/// What a handshake may put through the MAC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Grammar {
    /// 1 to 128 of `[A-Za-z0-9_-]`.
    #[default]
    Token,
    /// 20 to 32 lower-case hex digits, where a token might be the base64 of an event (Braintree).
    Hex,
}

/// An answer to a handshake.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ReplyRule {
    /// 200 where absent.
    pub status: Option<u16>,
    /// A template: `{json./challenge}`, `{query.x}`, `{header.x}`, `{config.x}`, `{hmac(json./payload/plainToken)}` (hex),
    /// `{hmac_b64(…)}`.
    pub body: Option<String>,
    /// A JSON value whose texts are templates.
    pub json: Option<serde_json::Value>,
    /// `application/json` for `json`, else `text/plain`.
    pub content_type: Option<String>,
    /// Further headers, as templates; one that echoes what the request does not bear is left out.
    pub headers: BTreeMap<String, String>,
    /// What `hmac(…)` takes.
    pub macs: Grammar,
}

impl Preset {
    /// Reads a preset file.
    pub fn from_yaml(text: &str) -> Result<Self, String> {
        serde_saphyr::from_str(text).map_err(|error| error.to_string())
    }
}
