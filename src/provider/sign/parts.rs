//! Parts of the signature's own field that stand before the signature.

use super::head;
use crate::provider::{
    CannotSign, Unsigned,
    field::Place,
    plan::{Plan, Time},
    template::Piece,
};
use http::{HeaderName, HeaderValue};

/// The time, as Stripe writes it, and the names of signed headers, as Hook0 does.
pub fn before(
    plan: &Plan,
    request: &Unsigned<'_>,
    time: Option<&(&Time, String)>,
    headers: &[(HeaderName, HeaderValue)],
) -> Result<Vec<String>, CannotSign> {
    let mut parts = Vec::new();
    if let Some((time, at)) = time
        && let Place::Part(label) = &time.field.place
    {
        parts.push(format!("{label}{at}"));
    }
    for piece in plan.templates.iter().take(1).flat_map(|template| &template.pieces) {
        if let Piece::HeadersNamed(named) = piece {
            let head = head(request, headers)?;
            let names: Vec<&str> = head.headers.keys().map(HeaderName::as_str).collect();
            parts.push(format!("{}{}", named.part, names.join(" ")));
        }
    }
    Ok(parts)
}
