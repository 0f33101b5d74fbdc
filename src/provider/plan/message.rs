//! The part of a plan that a signature of RFC 9421 needs: what it must cover, and what that proves.

use super::draft::Draft;
use crate::provider::{
    field::{Field, Place},
    message::{
        self, Demand, Message,
        component::{Component, Shape},
        digest::CONTENT_DIGEST,
    },
    preset::{Covers, Encoded, MessageRule},
    signature::Signature,
};
use http::{HeaderName, header};
use std::sync::Arc;

/// Groups of components and parameters that a preset demands at most.
const MAX_DEMANDED: usize = 32;

impl Draft<'_> {
    /// The place of the signature, and what it must be.
    pub(super) fn message_signature(&mut self, rule: &MessageRule) -> Signature {
        const AT: &str = "/verify/message_signature";
        if self.preset.signature.is_some() || self.preset.signed.is_some() || self.preset.each.is_some() {
            self.problem(
                AT,
                "`signature`, `signed` and `each` mean nothing beside it",
                Some("the places and the signed text are those of RFC 9421"),
            );
        }
        let alg = message::alg(self.preset.algorithm).unwrap_or_else(|| {
            let message = format!("{} is no algorithm of RFC 9421", self.preset.algorithm.as_str());
            self.problem(
                "/verify/algorithm",
                message,
                Some("hmac-sha256, ed25519, ecdsa-p256-sha256, ecdsa-p384-sha384, rsa-pss-sha512 or rsa-sha256"),
            );
            ""
        });
        if rule.components.len() > MAX_DEMANDED || rule.parameters.len() > MAX_DEMANDED {
            self.problem(AT, format!("more than {MAX_DEMANDED} of a kind"), None);
        }
        let mut required = Vec::new();
        for (index, text) in rule.components.iter().take(MAX_DEMANDED).enumerate() {
            required.extend(self.kept(&format!("{AT}/components/{index}"), Demand::parse(text)));
        }
        let body = required.iter().any(covers_body);
        if !body && !rule.uncovered_body {
            self.problem(
                &format!("{AT}/components"),
                "the signature would not cover the body",
                Some("add `content-digest`, or say `uncovered_body: true`"),
            );
        }
        self.settings.extend(["label", "tag", "keyid"].map(str::to_owned));
        let options = self.options;
        let own = |name: &str, preset: &Option<String>| options.settings.get(name).or(preset.as_ref()).cloned();
        if let Some(label) = own("label", &rule.label)
            && sfv::KeyRef::from_str(&label).is_err()
        {
            let at = if options.settings.contains_key("label") {
                "/settings/label".to_owned()
            } else {
                format!("{AT}/label")
            };
            self.problem(
                &at,
                "no signature has such a label",
                Some("lower-case letters, digits and `_-.*`, beginning with a letter or `*`"),
            );
        }
        let headers = required
            .iter()
            .flat_map(|demand: &Demand| &demand.any)
            .filter_map(Component::header);
        let mut reads: Vec<Field> = Vec::new();
        for name in [&message::SIGNATURE_INPUT].into_iter().chain(headers) {
            if reads.iter().all(|known| known.header() != Some(name)) {
                reads.push(field(name));
            }
        }
        let message = Message {
            label: own("label", &rule.label),
            tag: own("tag", &rule.tag),
            keyid: own("keyid", &rule.keyid),
            required,
            parameters: rule.parameters.clone(),
            alg,
            reads,
        };
        Signature {
            from: vec![field(&message::SIGNATURE)],
            split: None,
            prefix: Vec::new(),
            encoding: Encoded::Base64,
            message: Some(Arc::new(message)),
        }
    }
}

fn field(name: &HeaderName) -> Field {
    Field {
        place: Place::Header(name.clone()),
        name: name.as_str().into(),
        optional: false,
        second: None,
    }
}

fn covers_body(demand: &Demand) -> bool {
    let digest = |one: &Component| *one == Component::Header(CONTENT_DIGEST, Shape::Lines);
    !demand.if_there && demand.any.iter().all(digest)
}

impl Message {
    /// What every accepted signature covers of the body.
    pub fn covers(&self) -> Covers {
        if self.required.iter().any(covers_body) {
            Covers::Body
        } else if self.required.is_empty() {
            Covers::Nothing
        } else {
            Covers::Fields
        }
    }

    /// Does every accepted signature cover this field?
    pub fn signs(&self, field: &Field) -> bool {
        match &field.place {
            Place::Json(_) | Place::Form(_) => self.covers() == Covers::Body,
            Place::Query(name) => {
                self.demands(|one| one.has_query() || matches!(one, Component::QueryParam(escaped) if escaped == name))
            }
            // A member of a dictionary is not all of the header.
            Place::Header(name) => self
                .demands(|one| matches!(one, Component::Header(known, Shape::Lines | Shape::Bytes) if known == name)),
            Place::Part(_) => true,
            Place::Claim(_) => false,
        }
    }

    /// Is a component of this kind covered by every accepted signature? One that must be covered where it is there is, too: it
    /// can neither be added nor taken away.
    fn demands(&self, is: impl Fn(&Component) -> bool) -> bool {
        self.required.iter().any(|demand| demand.any.iter().all(&is))
    }

    /// Is this one of the headers that must be covered?
    pub fn reads_header(&self, name: &HeaderName) -> bool {
        self.reads.iter().any(|field| field.header() == Some(name))
    }

    /// Is the method always covered?
    pub fn signs_method(&self) -> bool {
        self.demands(|one| *one == Component::Method)
    }

    /// Is the whole path always covered?
    pub fn signs_path(&self) -> bool {
        self.demands(Component::has_path)
    }

    /// Is the whole query always covered?
    pub fn signs_query(&self) -> bool {
        self.demands(Component::has_query)
    }

    /// Can no signature be verified without `public_url`?
    pub fn needs_url(&self) -> bool {
        self.demands(Component::needs_url)
    }

    /// Covered headers that enter a body's identity: not those that every attempt makes anew, and not what follows from the
    /// body.
    pub fn signed_fields(&self) -> Vec<Field> {
        let anew = [CONTENT_DIGEST, header::DATE, header::CONTENT_LENGTH, header::HOST];
        let headers = self.required.iter().filter_map(|demand| match &demand.any[..] {
            [Component::Header(name, shape)] => Some((name, shape)),
            _ => None,
        });
        headers
            .filter(|(name, shape)| !anew.contains(name) && **shape == Shape::Lines)
            .map(|(name, _)| field(name))
            .collect()
    }
}
