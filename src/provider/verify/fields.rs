//! The identity of a request whose signature covers fields only: the signed text without time and credential.

use crate::provider::{
    field::Scene,
    plan::Plan,
    preset::Covers,
    template::{self, Piece, Template},
};

/// Digests the signed text of a request, or of each element of its batch.
pub struct SignedFields(Option<blake3::Hasher>);

impl SignedFields {
    /// Collects nothing where the body or an id is the identity already.
    pub fn of(plan: &Plan) -> Self {
        let wanted = plan.covers == Covers::Fields && !plan.has_key_id();
        Self(wanted.then(blake3::Hasher::new))
    }

    /// Adds the signed text of one scene, from the first template that its fields fill.
    pub fn add(&mut self, plan: &Plan, scene: &Scene<'_>) {
        let Some(hasher) = &mut self.0 else { return };
        for Template { pieces, .. } in &plan.templates {
            let mut text = Vec::new();
            let mut filled = true;
            for piece in pieces {
                if !matches!(piece, Piece::Secret | Piece::Timestamp) {
                    filled &= template::render(std::slice::from_ref(piece), scene, |bytes| {
                        text.extend_from_slice(bytes);
                    })
                    .is_ok();
                    text.push(0);
                }
            }
            if filled {
                hasher.update(&(text.len() as u64).to_le_bytes()).update(&text);
                return;
            }
        }
    }

    /// The digest of all that was added.
    pub fn digest(self) -> Option<[u8; 32]> {
        self.0.map(|hasher| *hasher.finalize().as_bytes())
    }
}
