//! `headers` of a destination: fixed ones, none of which hookward sets itself or always removes.

use super::Reader;
use crate::config::{
    problem::{Fault, excerpt},
    raw::{self, Named},
    spot::Spot,
};
use crate::upstream;
use http::{HeaderName, HeaderValue};

impl Reader<'_> {
    /// `headers`. `signs`: the destination has `sign`.
    pub(super) fn fixed_headers(
        &self,
        raw: Option<&Named<raw::Text>>,
        spot: Spot<'_>,
        signs: bool,
    ) -> Vec<(HeaderName, HeaderValue)> {
        let mut headers = Vec::new();
        for (name, text) in raw.iter().flat_map(|list| &list.0) {
            let at = spot.at(name);
            let Ok(header) = HeaderName::try_from(name.as_str()) else {
                self.problems.error(
                    at.label(),
                    Fault::new(format!("`{}` is not the name of a header", excerpt(name))),
                );
                continue;
            };
            if let Some(why) = upstream::reserved(&header, signs) {
                self.problems.error(
                    at.label(),
                    Fault::new(format!("the header `{header}` cannot be fixed: {why}")).hint("take it out"),
                );
                continue;
            }
            let Some(text) = text else { continue };
            match HeaderValue::try_from(&**text) {
                Ok(value) => headers.push((header, value)),
                Err(_) => self.problems.error(
                    at.value(),
                    Fault::new(format!("the value of `{header}` cannot stand in a header"))
                        .hint("no line breaks and no control characters"),
                ),
            }
        }
        headers
    }
}
