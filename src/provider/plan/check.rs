//! What a plan must not be: rules across fields.

use super::{Plan, draft::Draft};
use crate::provider::{
    field::Place,
    handshake,
    preset::{Algorithm, IdentityKind, KeyRule},
    template::Piece,
};

impl Draft<'_> {
    pub(super) fn check(&mut self, plan: &Plan) {
        self.check_signature(plan);
        self.check_key();
        self.check_templates(plan);
        self.check_places(plan);
        self.check_settings(plan);
        self.check_challenges(plan);
        self.check_identity(plan);
        if let Some(stated) = self.preset.covers
            && stated > plan.covers
        {
            self.problem(
                "/verify/covers",
                "the signature covers less than that",
                Some("leave `covers` out: it is derived from what is signed"),
            );
        }
    }

    fn check_identity(&mut self, plan: &Plan) {
        if let Some(stated) = self.preset.identity.as_ref().filter(|_| !plan.names_id) {
            if stated.kind != plan.kind() {
                let message = format!("the other fields give the kind `{}`", plan.kind().as_str());
                self.problem("/verify/identity/kind", message, None);
            }
            if stated.reason.trim().is_empty() {
                self.problem("/verify/identity/reason", "a kind of identity needs a reason", None);
            }
        }
        // A preset without `body` says that nobody has shown its bodies to be unique; a scheme of one's own must choose.
        let open = plan.kind() == IdentityKind::Doorbell && self.preset.body.is_none();
        // An id or a time that is written wrong has been reported, and may be all that is missing.
        let (id, time) = (&self.preset.id, &self.preset.timestamp);
        let certain = id.is_none() && time.is_none() || self.problems.is_empty();
        if open && certain && self.preset.name == "custom" && !plan.names_id {
            self.problem(
                "/verify/body",
                "without a signed `id` and a signed `timestamp`, `body` must say whether two events can have equal bodies",
                Some(
                    "`body: unique` if every body carries an id or a time of its event: an equal body is then a duplicate. \
                     `body: may_repeat` if not: every request is then forwarded, and a replay cannot be told from a repeat",
                ),
            );
        }
    }

    fn check_signature(&mut self, plan: &Plan) {
        let none = plan.algorithm == Algorithm::None;
        if none && self.preset.signature.is_some() {
            self.problem(
                "/verify/signature",
                "`algorithm: none` verifies nothing, so there is no signature",
                None,
            );
        }
        let message = self.preset.message_signature.is_some();
        if none && message {
            self.problem(
                "/verify/message_signature",
                "`algorithm: none` verifies nothing, so there is no signature",
                None,
            );
        }
        if !none && !message && self.preset.signature.is_none() {
            self.problem(
                "/verify/signature",
                "it must say where the signature stands",
                Some("`signature: {from: header:X-Signature}`"),
            );
        }
        if let Some(signature) = &plan.signature
            && signature
                .from
                .iter()
                .any(|field| matches!(field.place, Place::Claim(_) | Place::Part(_)))
        {
            self.problem(
                "/verify/signature/from",
                "a signature stands in a header, the body or the query",
                None,
            );
        }
        if let Some(rule) = &self.preset.signature
            && self.preset.algorithm == Algorithm::Basic
            && !rule.movable
            && !rule.prefix.eq_ignore_ascii_case("Basic ")
            && rule
                .from
                .0
                .iter()
                .any(|from| from.eq_ignore_ascii_case("header:authorization"))
        {
            self.problem(
                "/verify/signature/prefix",
                "the value of `Authorization` begins with `Basic `, so no request can match without that prefix",
                Some("add `prefix: \"Basic \"` to `signature`"),
            );
        }
        if none && self.preset.timestamp.is_some() {
            self.problem("/verify/timestamp", "`algorithm: none` signs no time", None);
        }
    }

    fn check_key(&mut self) {
        let (algorithm, key) = (self.preset.algorithm, self.preset.key);
        let public = matches!(
            key,
            KeyRule::Whpk | KeyRule::Spki | KeyRule::Pem | KeyRule::Certificate | KeyRule::Jwk
        );
        let fits = if algorithm.is_asymmetric() {
            public || matches!(key, KeyRule::Hex | KeyRule::Base64)
        } else {
            !public
        };
        if !fits {
            let message = format!("{} does not take a key of this kind", algorithm.as_str());
            let hint = if algorithm.is_asymmetric() {
                "hex, base64, whpk, spki, pem, certificate or jwk: a public key"
            } else {
                "utf8, base64, hex, whsec or sha1: a shared secret"
            };
            self.problem("/verify/key", message, Some(hint));
        }
    }

    fn check_templates(&mut self, plan: &Plan) {
        let digest = plan.algorithm.is_plain_digest();
        for (index, template) in plan.templates.iter().enumerate() {
            let at = if plan.templates.len() == 1 {
                "/verify/signed".to_owned()
            } else {
                format!("/verify/signed/{index}")
            };
            let secret = template.has(|piece| matches!(piece, Piece::Secret));
            if digest && !secret {
                self.problem(
                    &at,
                    "a plain digest proves nothing unless `{secret}` is in its text",
                    None,
                );
            }
            if secret && !digest {
                self.problem(&at, "`{secret}` belongs into plain digests only", None);
            }
            let unread = template.pieces.is_empty() && self.problems.iter().any(|problem| problem.at == at);
            let literal = |piece: &Piece| matches!(piece, Piece::Literal(_) | Piece::Secret);
            if !unread && template.pieces.iter().all(literal) {
                self.problem(&at, "it signs nothing of the request", None);
            }
            if template.has(|piece| matches!(piece, Piece::Timestamp)) && self.preset.timestamp.is_none() {
                self.problem(&at, "`{timestamp}` needs the field `timestamp`", None);
            }
            let bodies = template
                .pieces
                .iter()
                .filter(|piece| matches!(piece, Piece::Body))
                .count();
            if bodies > 1 {
                self.problem(&at, "`{body}` may stand there once", None);
            }
        }
        if let Some(time) = &plan.time
            && !plan.algorithm.is_jwt()
            && plan.message().is_none()
            && !covers_time(plan, &time.field)
        {
            self.problem(
                "/verify/timestamp",
                "the signature does not cover this time, so anybody could refresh it",
                Some("put `{timestamp}` into `signed`, as the provider does"),
            );
        }
    }

    fn check_places(&mut self, plan: &Plan) {
        let jwt = plan.algorithm.is_jwt();
        let claims = [
            ("/verify/timestamp/from", plan.time.as_ref().map(|time| &time.field)),
            (
                "/verify/body_hash/from",
                plan.body_hash.as_ref().map(|hash| &hash.field),
            ),
        ];
        for (at, field) in claims {
            if field.is_some_and(|field| matches!(field.place, Place::Claim(_))) && !jwt {
                self.problem(at, "claims are part of a JWT, and the algorithm is none", None);
            }
        }
        if let Some(hash) = &plan.body_hash {
            let covered = match hash.field.place {
                Place::Claim(_) => true,
                Place::Query(_) => plan.signs_url,
                _ => false,
            };
            if !covered {
                self.problem(
                    "/verify/body_hash/from",
                    "the signature does not cover this digest",
                    Some("`query:NAME` of a signed URL, or `claim:NAME` of a JWT"),
                );
            }
        }
        if plan.each.is_some() && plan.streams_at.is_some() {
            self.problem(
                "/verify/each",
                "each element has a signature of its own, so `signed` cannot be the body",
                None,
            );
        }
    }

    /// A handshake that puts a token through the MAC for anybody must not make the signature of an event.
    fn check_challenges(&mut self, plan: &Plan) {
        for (index, challenge) in plan.challenges.iter().enumerate() {
            let Some(grammar) = challenge.signs_for_anybody() else {
                continue;
            };
            let foreign = |bytes: &[u8]| bytes.iter().any(|byte| !handshake::is_of(grammar, *byte));
            let apart = plan.templates.iter().all(|template| {
                // What is a token and nothing else is refused when it comes.
                matches!(&template.pieces[..], [Piece::Body | Piece::Field(_)])
                    || template.has(|piece| matches!(piece, Piece::Literal(bytes) if foreign(bytes)))
            });
            if !apart {
                self.problem(
                    &format!("/verify/challenge/{index}"),
                    "anybody could have it sign what an event signs",
                    Some("`auth: signature`, or a text in `signed` that no token can be"),
                );
            }
        }
    }

    fn check_settings(&mut self, plan: &Plan) {
        let unknown: Vec<String> = self
            .options
            .settings
            .keys()
            .filter(|name| !plan.settings.contains(*name))
            .cloned()
            .collect();
        for name in unknown {
            let known = plan.settings.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>();
            let hint = if known.is_empty() {
                "it has no settings".to_owned()
            } else {
                format!("it knows {}", known.join(", "))
            };
            self.problem(
                &format!("/settings/{name}"),
                format!("this provider knows no setting `{name}`"),
                Some(&hint),
            );
        }
    }
}

/// Is the time part of what is signed?
fn covers_time(plan: &Plan, field: &crate::provider::field::Field) -> bool {
    let in_body =
        matches!(field.place, Place::Json(_) | Place::Form(_)) && plan.covers == crate::provider::preset::Covers::Body;
    in_body
        || (!plan.templates.is_empty()
            && plan
                .templates
                .iter()
                .all(|template| template.has(|piece| matches!(piece, Piece::Timestamp)) || template.has_field(field)))
}
