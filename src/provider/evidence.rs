//! What a verification ends in: evidence, a handshake's answer, or a refusal with its exact cause.

use super::preset::IdentityKind;
use crate::event::{EventName, Identity, MacDigest, Timestamp, UnsignedValues, Values, Variant};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode};
use std::{fmt, sync::Arc};

/// How strongly the sender is proven (`Hookward-Verified`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verified {
    /// A signature over the content (a JWT too).
    Signature,
    /// A shared token or basic credentials: who sent it, not what was sent.
    Token,
    /// `provider: none`.
    None,
}

impl Verified {
    /// The header's value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Signature => "signature",
            Self::Token => "token",
            Self::None => "none",
        }
    }
}

/// The provider's own id of an event: printable ASCII, at most 256 bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderId {
    /// As it arrived.
    pub text: Arc<str>,
    /// Does the signature cover it?
    pub signed: bool,
}

/// Proof that a provider's scheme accepted a request. Only `provider` can make one.
pub struct Evidence {
    /// How strongly.
    pub verified: Verified,
    /// Index of the secret that matched, newest first; `None` where there is none.
    pub secret: Option<usize>,
    /// Event names under which it may be selected, the most specific last (`pull_request`, `pull_request.opened`);
    /// empty where unreadable. The last one is what logs and headers show.
    pub events: Vec<EventName>,
    /// The provider's id of the event, where there is one.
    pub id: Option<ProviderId>,
    /// The signed time.
    pub signed_at: Option<Timestamp>,
    /// Which requests are attempts of the same event.
    pub kind: IdentityKind,
    /// The part of the ledger's key that the request itself proves; `None` for [`IdentityKind::None`].
    pub identity: Option<Identity>,
    /// The id, event and tenant that the signature does not cover.
    pub unsigned: UnsignedValues,
    /// Digest of the decoded signature that matched.
    pub mac: Option<MacDigest>,
    /// The signed body proves an event whose content may honestly repeat (GitHub `workflow_dispatch`).
    pub repeatable: bool,
    pub(super) _seal: Seal,
}

impl Evidence {
    /// The values that distinguish attempts with the same identity.
    pub fn values(&self) -> Values {
        match (self.kind, self.signed_at) {
            (IdentityKind::BodyAndTime, Some(at)) => Values::Time(Variant::of_time(at)),
            _ => Values::Unsigned(self.unsigned),
        }
    }
}

/// Keeps [`Evidence`] from being made elsewhere.
pub(super) struct Seal;

/// The answer to a provider's handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers, `Content-Type` among them.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Its body, at most 1 KiB.
    pub body: Bytes,
}

/// How a verification can succeed.
pub enum Finding {
    /// An authentic event.
    Authentic(Evidence),
    /// A right handshake.
    Challenge(Answer),
    /// A right handshake that counts only when a URL was visited, which the source wants done.
    Confirmation(Confirmation),
}

/// A handshake that asks for a visit. No `Debug`: whoever knows the URL can confirm it too.
pub struct Confirmation {
    /// What it is answered once the visit is made.
    pub answer: Answer,
    /// Where the visit goes, of the hosts that the preset believes.
    pub url: String,
}

/// How a verification can fail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Signature, token, signed id or timestamp missing, malformed, doubled or wrong.
    Unverified(Cause),
    /// Authentic, but signed outside the window.
    Stale {
        /// Age in milliseconds at arrival; negative: signed in the future.
        age_millis: i64,
    },
    /// A verified body has a doubled key where id or event is read.
    Malformed(Cause),
}

impl fmt::Display for Refusal {
    /// The reason for operators: what logs hold.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unverified(cause) | Self::Malformed(cause) => cause.fmt(f),
            Self::Stale { age_millis } if *age_millis < 0 => {
                write!(f, "signed {} s in the future", age_millis.unsigned_abs() / 1000)
            }
            Self::Stale { age_millis } => write!(f, "signed {} s ago", age_millis / 1000),
        }
    }
}

/// The exact cause of a refusal, for operators only: it reaches logs and the admin page, never the sender.
///
/// It names fields as the preset does and counts, and never holds a byte of a secret, signature, token or body.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cause {
    /// No such header, field or parameter, which should bear the signature.
    SignatureMissing(Arc<str>),
    /// There is one, but no candidate in it can be decoded.
    SignatureMalformed(Arc<str>),
    /// It came twice.
    SignatureDoubled(Arc<str>),
    /// More signatures than are examined.
    SignaturesTooMany(usize),
    /// None of the secrets makes this signature.
    SignatureWrong {
        /// How many secrets were tried.
        tried: usize,
    },
    /// The secret that matches is past its `not_after`.
    SecretExpired,
    /// The certificate that was fetched is not valid at this time.
    CertificateExpired,
    /// The URL that the request names bears no key.
    KeyAbsent,
    /// The token or credentials are none of ours.
    TokenWrong {
        /// How many secrets were tried.
        tried: usize,
    },
    /// A JWT, or a signature of RFC 9421, names another algorithm than the preset.
    AlgorithmWrong,
    /// No signature of RFC 9421 has the label, `tag` or `keyid` that is meant.
    SignatureOfOthers,
    /// What the preset wants covered, a signature of RFC 9421 does not cover.
    NotCovered(Arc<str>),
    /// A component or parameter of RFC 9421 that cannot be read here, or whose value cannot.
    ComponentUnfit(Arc<str>),
    /// No such header or field, which should bear the time.
    TimestampMissing(Arc<str>),
    /// It is no time in the provider's unit.
    TimestampMalformed(Arc<str>),
    /// It came twice.
    TimestampDoubled(Arc<str>),
    /// A field that the signed text contains is not there (or no text).
    FieldMissing(Arc<str>),
    /// A field that is read came twice.
    FieldDoubled(Arc<str>),
    /// A field has not the value that the preset demands.
    FieldWrong(Arc<str>),
    /// The signed id is longer than 256 bytes or not printable ASCII.
    IdMalformed(Arc<str>),
    /// The digest of the body is not there, so nothing covers the body.
    BodyHashMissing(Arc<str>),
    /// It is the digest of another body.
    BodyHashWrong(Arc<str>),
    /// The frames that were hashed are not the whole body.
    BodyIncomplete,
    /// A batch without any element.
    BatchEmpty,
    /// A batch with more elements than are examined.
    BatchTooLong,
    /// A form with more fields than are sorted.
    FormTooLong,
    /// The handshake's value is not one that may be answered.
    ChallengeMalformed(Arc<str>),
    /// The handshake bears another token than `settings.verify_token`, or none.
    VerifyTokenWrong(Arc<str>),
    /// The signed text is one that a handshake would have put through the MAC for anybody.
    SignedForAnybody,
}

impl Cause {
    /// The closed set of names that logs and metrics may use.
    pub const fn label(&self) -> &'static str {
        match self {
            Self::SignatureMissing(_) => "signature missing",
            Self::SignatureMalformed(_) => "signature malformed",
            Self::SignatureDoubled(_) => "signature doubled",
            Self::SignaturesTooMany(_) => "too many signatures",
            Self::SignatureWrong { .. } => "signature wrong",
            Self::SecretExpired => "secret expired",
            Self::CertificateExpired => "certificate expired",
            Self::KeyAbsent => "key absent",
            Self::TokenWrong { .. } => "token wrong",
            Self::AlgorithmWrong => "algorithm wrong",
            Self::SignatureOfOthers => "signature of others",
            Self::NotCovered(_) => "component not covered",
            Self::ComponentUnfit(_) => "component unfit",
            Self::TimestampMissing(_) => "timestamp missing",
            Self::TimestampMalformed(_) => "timestamp malformed",
            Self::TimestampDoubled(_) => "timestamp doubled",
            Self::FieldMissing(_) => "field missing",
            Self::FieldDoubled(_) => "field doubled",
            Self::FieldWrong(_) => "field wrong",
            Self::IdMalformed(_) => "id malformed",
            Self::BodyHashMissing(_) => "body hash missing",
            Self::BodyHashWrong(_) => "body hash wrong",
            Self::BodyIncomplete => "body incomplete",
            Self::BatchEmpty => "batch empty",
            Self::BatchTooLong => "batch too long",
            Self::FormTooLong => "form too long",
            Self::ChallengeMalformed(_) => "challenge malformed",
            Self::VerifyTokenWrong(_) => "verify token wrong",
            Self::SignedForAnybody => "signed for anybody",
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SignatureMissing(at) => write!(f, "signature missing: no `{at}`; is a proxy dropping it?"),
            Self::SignatureMalformed(at) => write!(f, "signature malformed: nothing in `{at}` can be decoded"),
            Self::SignatureDoubled(at) => write!(f, "signature doubled: `{at}` came more than once"),
            Self::SignaturesTooMany(count) => write!(f, "{count} signatures in one request, more than are examined"),
            Self::SignatureWrong { tried: 1 } => f.write_str("signature does not match the secret"),
            Self::SignatureWrong { tried } => write!(f, "signature does not match any of {tried} secrets"),
            Self::SecretExpired => f.write_str("the secret that matches is past its not_after"),
            Self::CertificateExpired => {
                f.write_str("the provider's certificate is not valid at this time: is our clock right?")
            }
            Self::KeyAbsent => f.write_str("no key stands at the URL that the request names"),
            Self::TokenWrong { tried: 1 } => f.write_str("token is not the secret"),
            Self::TokenWrong { tried } => write!(f, "token is none of {tried} secrets"),
            Self::AlgorithmWrong => f.write_str("the token or signature names another algorithm than the preset"),
            Self::SignatureOfOthers => {
                f.write_str("no signature in `signature-input` has the label, tag or keyid that is meant")
            }
            Self::NotCovered(at) => write!(f, "the signature does not cover `{at}`, which the preset demands"),
            Self::ComponentUnfit(at) => write!(f, "the signature covers `{at}`, which cannot be read here"),
            Self::TimestampMissing(at) => write!(f, "timestamp missing: no `{at}`"),
            Self::TimestampMalformed(at) => write!(f, "timestamp malformed: `{at}` is no time in the provider's unit"),
            Self::TimestampDoubled(at) => write!(f, "timestamp doubled: `{at}` came more than once"),
            Self::FieldMissing(at) => write!(f, "`{at}` is missing, and the signed text contains it"),
            Self::FieldDoubled(at) => write!(f, "`{at}` came more than once, and apps differ in which one they take"),
            Self::FieldWrong(at) => write!(f, "`{at}` has not the value that the preset demands"),
            Self::IdMalformed(at) => write!(
                f,
                "id malformed: `{at}` is longer than 256 bytes or not printable ASCII"
            ),
            Self::BodyHashMissing(at) => write!(f, "no `{at}`, so the signature would not cover the body"),
            Self::BodyHashWrong(at) => write!(f, "`{at}` is the digest of another body: it was changed on its way"),
            Self::BodyIncomplete => f.write_str("the bytes that were hashed are not the whole body"),
            Self::BatchEmpty => f.write_str("a batch without any element proves nothing"),
            Self::BatchTooLong => f.write_str("a batch with more elements than are examined"),
            Self::FormTooLong => f.write_str("a form with more fields than are sorted"),
            Self::SignedForAnybody => {
                f.write_str("what is signed is no event but a token, which the handshake signs for anybody")
            }
            Self::VerifyTokenWrong(at) => write!(f, "`{at}` is not `settings.verify_token`"),
            Self::ChallengeMalformed(at) => write!(f, "the handshake's `{at}` is not a short plain token"),
        }
    }
}
