//! The part of a plan that reads a verified request: ids and what they are to the replay key, events, handshakes.

use super::{Id, Role, Time, draft::Draft};
use crate::provider::{
    field::{Field, Place},
    handshake::Challenge,
    preset::{Covers, Digested, IdRule, OneOrMany},
    template::{Piece, Template},
};

/// The setting that has subscriptions confirmed.
const CONFIRM: &str = "confirm_subscription";

impl Draft<'_> {
    pub(super) fn ids(&mut self, templates: &[Template], covers: Covers, body_hash: bool) -> Vec<Id> {
        let own = self.options.id.clone().map(|from| IdRule {
            from: OneOrMany(from),
            signed: None,
            unique: false,
        });
        let at = if own.is_some() { "/id" } else { "/verify/id" };
        let Some(rule) = own.as_ref().or(self.preset.id.as_ref()) else {
            return Vec::new();
        };
        let fields = self.known_fields(at, &rule.from);
        let ids: Vec<Id> = fields
            .into_iter()
            .map(|field| {
                let signed = self.is_signed(&field, templates, covers, body_hash);
                let part = self.role(&field, signed, templates, covers, rule.unique);
                Id {
                    field,
                    signed,
                    role: part,
                }
            })
            .collect();
        if rule.signed == Some(true) && ids.iter().any(|id| !id.signed) {
            self.problem(
                &format!("{at}/signed"),
                "the signature does not cover this id",
                Some("leave `signed` out: it is derived from what is signed"),
            );
        }
        ids
    }

    pub(super) fn role(
        &self,
        field: &Field,
        signed: bool,
        templates: &[Template],
        covers: Covers,
        unique: bool,
    ) -> Role {
        if self.preset.algorithm.is_bare() {
            return Role::Key;
        }
        if field.is_of_a_batch() {
            return Role::Record;
        }
        // Nothing but the sender is proven (an OIDC token): as with a bare token, the id is all there is.
        if covers == Covers::Nothing && matches!(field.place, Place::Json(_) | Place::Header(_)) {
            return Role::Key;
        }
        // A claim may be minted anew for every attempt.
        if !signed || matches!(field.place, Place::Claim(_)) {
            return Role::Record;
        }
        match (&field.place, covers) {
            (Place::Json(_) | Place::Form(_), Covers::Body) => Role::Key,
            (Place::Header(_), Covers::Body) => match templates {
                [one] => separator(one, field).map_or(Role::WithBody, Role::KeyUnless),
                _ => Role::WithBody,
            },
            _ if unique => Role::Key,
            _ => Role::Record,
        }
    }

    pub(super) fn events(&mut self, templates: &[Template], covers: Covers) -> (Vec<Field>, Option<Field>) {
        let preset = self.preset;
        if let Some(from) = self.options.event.clone() {
            return (self.known_fields("/event", &OneOrMany(from)), None);
        }
        let Some(rule) = &preset.event else {
            return (Vec::new(), None);
        };
        let fields = self.known_fields("/verify/event", &rule.from);
        let signed = |field: &Field| {
            self.is_signed(
                field,
                templates,
                covers,
                preset.body_hash.as_ref().is_some_and(|hash| hash.of == Digested::Body),
            )
        };
        if rule.signed == Some(true) && !fields.iter().all(signed) {
            self.problem(
                "/verify/event/signed",
                "the signature does not cover this event type",
                Some("leave `signed` out: it is derived from what is signed"),
            );
        }
        let action = rule
            .action
            .as_ref()
            .and_then(|name| self.known_field("/verify/event/action", name));
        (fields, action)
    }

    /// Does the source have visited what a handshake asks to visit?
    pub(super) fn confirms(&mut self, challenges: &[Challenge]) -> Option<bool> {
        if !challenges.iter().any(Challenge::asks_for_visit) {
            return None;
        }
        self.settings.insert(CONFIRM.to_owned());
        Some(match self.options.settings.get(CONFIRM).map(String::as_str) {
            Some("true") => true,
            None | Some("false") => false,
            Some(_) => {
                self.problem(
                    &format!("/settings/{CONFIRM}"),
                    "`confirm_subscription` is true or false",
                    None,
                );
                false
            }
        })
    }

    pub(super) fn challenges(&mut self) -> Vec<Challenge> {
        let rules = self.preset.challenge.iter().enumerate();
        let mut challenges = Vec::new();
        for (index, rule) in rules {
            let (known, claims) = (&mut self.known, &mut self.claims);
            let (settings, given, mut missing) = (&mut self.settings, &self.options.settings, None);
            let compiled = Challenge::compile(
                rule,
                |name| Field::parse(name, known, claims),
                |name| {
                    settings.insert(name.to_owned());
                    given.get(name).cloned().unwrap_or_else(|| {
                        missing = Some(name.to_owned());
                        String::new()
                    })
                },
            );
            if let Some(name) = missing {
                self.missing_setting(&name);
            }
            challenges.extend(self.kept(&format!("/verify/challenge/{index}"), compiled));
        }
        challenges
    }
}

/// The literal that ends a header in the signed text; without one, its end is anywhere.
fn separator(template: &Template, field: &Field) -> Option<Vec<u8>> {
    let at = template
        .pieces
        .iter()
        .position(|piece| matches!(piece, Piece::Field(one) if one.place == field.place))?;
    match template.pieces.get(at + 1) {
        Some(Piece::Literal(bytes)) => Some(bytes.clone()),
        _ => None,
    }
}

/// Signed headers and query parameters, but for the time: they enter a body's identity.
pub(super) fn signed_fields(templates: &[Template], time: Option<&Time>) -> Vec<Field> {
    let mut fields: Vec<Field> = Vec::new();
    for piece in templates.iter().flat_map(|template| &template.pieces) {
        if let Piece::Field(field) = piece
            && matches!(field.place, Place::Header(_) | Place::Query(_))
            && time.is_none_or(|time| time.field.place != field.place)
            && fields.iter().all(|known| known.place != field.place)
        {
            fields.push(field.clone());
        }
    }
    fields
}
