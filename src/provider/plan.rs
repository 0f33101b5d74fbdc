//! A preset and a source's options compiled into what a request is held against; every problem at once.

mod check;
mod draft;
mod known;
mod message;
mod proof;
mod shape;

use super::{
    Options, Preset, Problem, Tolerance,
    field::{Field, Place},
    handshake::Challenge,
    key_url::KeyUrl,
    message::Message,
    pick::Pointers,
    preset::{Algorithm, BodyRule, Covers, Digested, Encoded, IdentityKind, KeyRule, NewId, Unit, Unless},
    signature::Signature,
    template::{Piece, Template},
    url::PublicUrl,
};
use http::{HeaderName, Method, header};
pub use shape::Repeatable;
use std::collections::BTreeSet;

/// A compiled preset.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is derived once, to be read on every request"
)]
pub struct Plan {
    pub algorithm: Algorithm,
    pub key: KeyRule,
    /// What states the digest of a signature, where a provider uses two.
    pub digest: Option<Stated>,
    /// Where signatures stand; `None` for `none` only.
    pub signature: Option<Signature>,
    /// What may be signed.
    pub templates: Vec<Template>,
    /// Where the body stands in the only template, if it can be hashed as it arrives.
    pub streams_at: Option<usize>,
    pub time: Option<Time>,
    pub body_hash: Option<BodyHash>,
    pub require: Vec<(Field, Vec<Template>)>,
    pub key_url: Option<KeyUrl>,
    /// The elements of a batch, each of which is verified: pointers and their slot.
    pub each: Option<(Pointers, usize)>,
    /// Pointers that verification reads, within each element where there are elements.
    pub proof: Pointers,
    /// Pointers that are read in a verified body.
    pub known: Pointers,
    /// Pointers into a JWT's claims.
    pub claims: Pointers,
    pub id: Vec<Id>,
    /// The source itself names the id.
    pub names_id: bool,
    /// The answer to delivered content that bears a new unsigned id.
    pub new_id: NewId,
    pub event: Vec<Field>,
    /// The signature covers every place of the event.
    pub event_signed: bool,
    pub action: Option<Field>,
    pub tenant: Vec<Field>,
    /// The bodies that may honestly repeat although `body` is `unique`.
    pub repeatable: Repeatable,
    /// Can two different events have equal bodies?
    pub body: BodyRule,
    pub challenges: Vec<Challenge>,
    /// What a handshake asks to visit is visited; `None`: none asks.
    pub confirms: Option<bool>,
    /// Signed fields outside the body that enter a body's identity.
    pub signed_fields: Vec<Field>,
    /// The method is signed.
    pub signs_method: bool,
    pub signs_url: bool,
    /// Nothing can be verified without `public_url`.
    pub needs_url: bool,
    /// The query is signed by itself, without the rest of the URL.
    pub signs_query: bool,
    pub covers: Covers,
    /// The identity always needs the body's digest, so it is taken as the body arrives.
    pub digests_body: bool,
    /// A template signs the form, sorted.
    pub signs_form: bool,
    /// The body is read as JSON or as a form while verifying, or as a form afterwards.
    pub reads_body: bool,
    /// The window for a JWT's `exp` and `nbf`; `None`: off.
    pub leeway: Option<Tolerance>,
    pub base: Option<PublicUrl>,
    pub methods: Vec<Method>,
    /// Names of the settings that it knows.
    pub settings: BTreeSet<String>,
}

/// The field that states the digest of a signature.
pub struct Stated {
    pub field: Field,
    /// Its value for SHA-1.
    pub sha1: String,
    /// Its value for SHA-256.
    pub sha256: String,
}

/// The signed time.
pub struct Time {
    pub field: Field,
    pub unit: Unit,
    /// `None`: off.
    pub window: Option<Tolerance>,
}

/// A signed digest of the body.
pub struct BodyHash {
    pub field: Field,
    pub encoding: Encoded,
    pub unless: Option<Unless>,
    pub of: Digested,
}

/// A place of the id.
pub struct Id {
    pub field: Field,
    pub signed: bool,
    pub role: Role,
}

/// What an id is to the replay key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role {
    /// The key.
    Key,
    /// The key, unless it contains this separator, which would make the signed text ambiguous: then the body enters too.
    KeyUnless(Vec<u8>),
    /// Part of the key beside the body.
    WithBody,
    /// A field of the record.
    Record,
}

impl Plan {
    /// Compiles; what could not be understood is left out and reported.
    pub fn compile(preset: &Preset, options: &Options) -> (Self, Vec<Problem>) {
        let (mut plan, problems) = draft::Draft::new(preset, options).compile();
        plan.reads_body = plan.needs_whole_body();
        (plan, problems)
    }

    /// What a signature of RFC 9421 must be, if it is one.
    pub fn message(&self) -> Option<&Message> {
        self.signature.as_ref()?.message.as_deref()
    }

    /// The credential proves the sender only: what the request says is not proven.
    pub fn proves_sender_only(&self) -> bool {
        self.algorithm.is_bare() || self.covers == Covers::Nothing
    }

    /// Does every signature cover the path?
    pub fn signs_path(&self) -> bool {
        let signs =
            |template: &Template| template.has_url() || template.has(|piece| matches!(piece, Piece::TargetEscaped));
        let required = || {
            self.require
                .iter()
                .any(|(_, values)| !values.is_empty() && values.iter().all(signs))
        };
        match self.message() {
            Some(message) => message.signs_path(),
            None => (!self.templates.is_empty() && self.templates.iter().all(signs)) || required(),
        }
    }

    /// Does a signed id key the ledger, where the request bears it?
    pub fn has_key_id(&self) -> bool {
        self.id
            .iter()
            .any(|id| matches!(id.role, Role::Key | Role::KeyUnless(_)))
    }

    /// The kind of identity of a request that bears no id that could be the key.
    pub fn kind_of_body(&self) -> IdentityKind {
        match (self.body, &self.time) {
            (BodyRule::Unique, _) => IdentityKind::UniqueBody,
            (BodyRule::MayRepeat, Some(_)) => IdentityKind::BodyAndTime,
            (BodyRule::MayRepeat, None) => IdentityKind::Doorbell,
        }
    }

    /// The kind of identity of a request that bears everything that the scheme reads.
    pub fn kind(&self) -> IdentityKind {
        match (self.proves_sender_only(), self.has_key_id()) {
            (true, true) => IdentityKind::NamedId,
            (true, false) => IdentityKind::None,
            (false, true) => IdentityKind::SignedId,
            (false, false) => self.kind_of_body(),
        }
    }

    /// Is the body read as JSON or as a form while verifying, or as a form afterwards?
    fn needs_whole_body(&self) -> bool {
        !self.proof.is_empty() || self.each.is_some() || self.reads_form()
    }

    fn reads_form(&self) -> bool {
        let mut form = self.signs_form;
        self.fields(|field| form |= matches!(field.place, Place::Form(_)));
        form
    }

    /// Every header that is read.
    pub fn read_headers(&self) -> Vec<HeaderName> {
        let mut headers = BTreeSet::new();
        self.fields(|field| {
            if let Some(name) = field.header() {
                headers.insert(name.as_str().to_owned());
            }
            if let Some(second) = &field.second {
                headers.insert(second.name().as_str().to_owned());
            }
        });
        headers
            .iter()
            .map(|name| HeaderName::from_bytes(name.as_bytes()).expect("it was a header name"))
            .collect()
    }

    fn fields(&self, mut take: impl FnMut(&Field)) {
        let pieces = self.templates.iter().flat_map(|template| &template.pieces);
        let signed = pieces.filter_map(|piece| match piece {
            Piece::Field(field) | Piece::Line(field, _) => Some(field),
            _ => None,
        });
        self.signature
            .iter()
            .flat_map(|signature| &signature.from)
            .chain(signed)
            .chain(self.message().iter().flat_map(|message| &message.reads))
            .chain(self.time.iter().map(|time| &time.field))
            .chain(self.body_hash.iter().map(|hash| &hash.field))
            .chain(self.digest.iter().map(|stated| &stated.field))
            .chain(self.require.iter().map(|(field, _)| field))
            .chain(self.key_url.iter().filter_map(KeyUrl::field))
            .chain(self.id.iter().map(|id| &id.field))
            .chain(&self.event)
            .chain(&self.action)
            .chain(&self.tenant)
            .for_each(&mut take);
    }

    /// Headers and query parameters in which the credential travels.
    pub fn credential_places(&self) -> (Vec<HeaderName>, Vec<String>) {
        let (mut headers, mut query) = (Vec::new(), Vec::new());
        for field in self.signature.iter().flat_map(|signature| &signature.from) {
            match &field.place {
                Place::Header(name) => headers.push(name.clone()),
                Place::Query(name) => query.push(name.clone()),
                _ => {}
            }
        }
        (headers, query)
    }

    /// The challenge for a sender without the right credential. In `Authorization` the credential's prefix is its scheme. A
    /// token in another place has no registered scheme: `ApiKey` neither opens a browser's dialogue nor has a client send
    /// other credentials.
    pub fn www_authenticate(&self) -> Option<String> {
        const BASIC: &str = "Basic realm=\"hookward\"";
        const API_KEY: &str = "ApiKey realm=\"hookward\"";
        if self.algorithm == Algorithm::Basic {
            return Some(BASIC.to_owned());
        }
        let signature = self.signature.as_ref()?;
        let is_scheme =
            |text: &&str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        let scheme = signature
            .from
            .iter()
            .any(|field| field.place == Place::Header(header::AUTHORIZATION))
            .then(|| std::str::from_utf8(&signature.prefix).map_or("", str::trim_end))
            .filter(is_scheme);
        match (self.algorithm, scheme) {
            (Algorithm::Token, scheme) => Some(scheme.unwrap_or(API_KEY).to_owned()),
            (algorithm, scheme) if algorithm.is_jwt() => scheme.map(str::to_owned),
            _ => None,
        }
    }

    /// Methods with which only handshakes come.
    pub fn handshake_methods(&self) -> Vec<Method> {
        let mut methods: Vec<Method> = Vec::new();
        for method in self.challenges.iter().filter_map(Challenge::open_method) {
            if !self.methods.contains(method) && !methods.contains(method) {
                methods.push(method.clone());
            }
        }
        methods
    }

    /// What is signed, in words for people.
    pub fn signs(&self, preset: &Preset) -> Vec<String> {
        match &preset.signed {
            // Not one of these but all of them.
            _ if self.message().is_some() => {
                let components = preset.message_signature.iter().flat_map(|rule| rule.components.iter());
                vec![components.map(String::as_str).collect::<Vec<_>>().join(", ")]
            }
            Some(signed) => signed.0.clone(),
            None if self.algorithm.is_bare() => Vec::new(),
            None if self.algorithm.is_jwt() => vec!["the token's claims".to_owned()],
            None => vec!["{body}".to_owned()],
        }
    }
}

#[cfg(test)]
mod tests;
