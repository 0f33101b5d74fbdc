//! Components of a message that a signature of RFC 9421 covers (its section 2), and their values.

use super::structured::{Item, Member, combined, dictionary, item, trimmed};
use crate::provider::{canonical, evidence::Cause, field::Scene, form};
use data_encoding::BASE64;
use http::{HeaderMap, HeaderName, header};
use sfv::{BareItem, Key};
use std::sync::Arc;

/// A component that can be read. Those of responses, trailers and other messages (`@status`, `;tr`, `;req`) are none, and
/// neither is `;sf`, which needs to know every field's type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Component {
    /// `@method`.
    Method,
    /// `@target-uri`: the whole URL.
    TargetUri,
    /// `@authority`: host, and port where it is not the scheme's own.
    Authority,
    /// `@scheme`.
    Scheme,
    /// `@request-target`: path and query as in the request line.
    RequestTarget,
    /// `@path`.
    Path,
    /// `@query`, with its question mark.
    Query,
    /// `@query-param` of this name, which stands escaped.
    QueryParam(String),
    /// A header.
    Header(HeaderName, Shape),
}

/// Which form of a header is signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Its lines, joined.
    Lines,
    /// `;bs`: each line in base64.
    Bytes,
    /// `;key`: a member of the dictionary that it is.
    Member(String),
}

impl Component {
    /// The component that an item of `Signature-Input` names; `None`: none that can be read here.
    pub fn of(item: &Item) -> Option<Self> {
        let BareItem::String(name) = &item.value else {
            return None;
        };
        let params: Vec<(&str, &BareItem)> = item.params.iter().map(|(key, value)| (key.as_str(), value)).collect();
        Some(match (name.as_str(), &params[..]) {
            ("@method", []) => Self::Method,
            ("@target-uri", []) => Self::TargetUri,
            ("@authority", []) => Self::Authority,
            ("@scheme", []) => Self::Scheme,
            ("@request-target", []) => Self::RequestTarget,
            ("@path", []) => Self::Path,
            ("@query", []) => Self::Query,
            ("@query-param", [("name", BareItem::String(name))]) => Self::QueryParam(name.as_str().to_owned()),
            (name, params) => {
                // A name is lower case, and never begins with `@`.
                let name = HeaderName::from_lowercase(name.as_bytes()).ok()?;
                let shape = match params {
                    [] => Shape::Lines,
                    [("bs", BareItem::Boolean(true))] => Shape::Bytes,
                    [("key", BareItem::String(key))] => Shape::Member(key.as_str().to_owned()),
                    _ => return None,
                };
                Self::Header(name, shape)
            }
        })
    }

    /// Reads it as presets write it: as in `Signature-Input`, without quotes round the name.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let (name, params) = text.split_at(text.find(';').unwrap_or(text.len()));
        let quoted = format!("\"{}\"{params}", name.to_ascii_lowercase());
        item(quoted.as_bytes())
            .ok()
            .and_then(|item| Self::of(&item))
            .ok_or_else(|| format!("`{text}` is no component of a request that can be read here"))
    }

    /// As it stands in `Signature-Input`.
    pub fn item(&self) -> Item {
        let (name, param) = match self {
            Self::Method => ("@method", None),
            Self::TargetUri => ("@target-uri", None),
            Self::Authority => ("@authority", None),
            Self::Scheme => ("@scheme", None),
            Self::RequestTarget => ("@request-target", None),
            Self::Path => ("@path", None),
            Self::Query => ("@query", None),
            Self::QueryParam(name) => ("@query-param", Some(("name", text(name)))),
            Self::Header(name, Shape::Lines) => (name.as_str(), None),
            Self::Header(name, Shape::Bytes) => (name.as_str(), Some(("bs", BareItem::Boolean(true)))),
            Self::Header(name, Shape::Member(key)) => (name.as_str(), Some(("key", text(key)))),
        };
        let params = param
            .into_iter()
            .map(|(key, value)| (Key::from_string(key.to_owned()).expect("these are keys"), value));
        Item {
            value: text(name),
            params: params.collect(),
        }
    }

    /// What it is called in messages.
    pub fn name(&self) -> Arc<str> {
        match self {
            Self::Header(name, _) => name.as_str().into(),
            Self::QueryParam(_) => "@query-param".into(),
            other => match &other.item().value {
                BareItem::String(name) => name.as_str().into(),
                _ => "component".into(),
            },
        }
    }

    /// The header, if it is one.
    pub fn header(&self) -> Option<&HeaderName> {
        match self {
            Self::Header(name, _) => Some(name),
            _ => None,
        }
    }

    /// Does its value hold what only `public_url` tells?
    pub fn needs_url(&self) -> bool {
        matches!(self, Self::TargetUri | Self::Authority | Self::Scheme)
    }

    /// Does its value hold the whole path?
    pub fn has_path(&self) -> bool {
        matches!(self, Self::TargetUri | Self::RequestTarget | Self::Path)
    }

    /// Does its value hold the whole query?
    pub fn has_query(&self) -> bool {
        matches!(self, Self::TargetUri | Self::RequestTarget | Self::Query)
    }

    /// Is there anything to cover?
    pub fn is_there(&self, scene: &Scene<'_>) -> bool {
        match self {
            Self::Header(name, _) => scene.head.headers.contains_key(name),
            component if component.has_query() || matches!(component, Self::QueryParam(_)) => {
                scene.head.uri.query().is_some()
            }
            _ => true,
        }
    }

    /// Appends its value.
    pub fn write(&self, scene: &Scene<'_>, out: &mut Vec<u8>) -> Result<(), Cause> {
        let base = || scene.base.ok_or_else(|| Cause::FieldMissing("public_url".into()));
        let prefix = scene.base.map_or("", |base| base.prefix());
        match self {
            Self::Method => out.extend_from_slice(scene.head.method.as_str().as_bytes()),
            Self::TargetUri => {
                let base = base()?;
                for part in [base.scheme(), "://", &base.authority(), prefix, scene.target()] {
                    out.extend_from_slice(part.as_bytes());
                }
            }
            Self::Authority => out.extend_from_slice(base()?.authority().as_bytes()),
            Self::Scheme => out.extend_from_slice(base()?.scheme().as_bytes()),
            Self::RequestTarget => {
                out.extend_from_slice(prefix.as_bytes());
                out.extend_from_slice(scene.target().as_bytes());
            }
            Self::Path => {
                out.extend_from_slice(prefix.as_bytes());
                out.extend_from_slice(scene.head.uri.path().as_bytes());
            }
            Self::Query => {
                out.push(b'?');
                out.extend_from_slice(scene.head.uri.query().unwrap_or_default().as_bytes());
            }
            Self::QueryParam(name) => out.extend_from_slice(query_param(scene, name)?.as_bytes()),
            Self::Header(name, shape) => header(scene, name, shape, out)?,
        }
        Ok(())
    }
}

/// A string; names of headers and what `of` or `parse` read are ASCII.
pub fn text(text: &str) -> BareItem {
    sfv::String::from_string(text.to_owned()).map_or(BareItem::Boolean(false), BareItem::String)
}

/// The escaped value of the parameter of this escaped name, which must be there once (2.2.8).
fn query_param(scene: &Scene<'_>, wanted: &str) -> Result<String, Cause> {
    // The `application/x-www-form-urlencoded` percent-encode set of the WHATWG.
    const KEPT: &[u8] = b"*-._";
    let escaped = |bytes: &[u8]| {
        let mut text = String::with_capacity(bytes.len());
        canonical::escape(bytes, KEPT, &mut text);
        text
    };
    let query = scene.head.uri.query().unwrap_or_default().as_bytes();
    let mut values = form::pairs(query)
        .take(form::MAX_PAIRS)
        .filter(|(name, _)| escaped(name) == wanted);
    match (values.next(), values.next()) {
        (Some((_, value)), None) => Ok(escaped(&value)),
        (None, _) => Err(Cause::FieldMissing("@query-param".into())),
        (Some(_), Some(_)) => Err(Cause::FieldDoubled("@query-param".into())),
    }
}

/// Fields of one connection (RFC 9110, 7.6.1): what the app gets of them is not what was signed.
const HOPS: [HeaderName; 7] = [
    header::CONNECTION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::PROXY_AUTHORIZATION,
    HeaderName::from_static("keep-alive"),
];

/// Does the header end at this hop, as it always does or as this request says?
fn ends_here(headers: &HeaderMap, name: &HeaderName) -> bool {
    let named = headers
        .get_all(header::CONNECTION)
        .iter()
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
    HOPS.contains(name)
        || named
            .map(<[u8]>::trim_ascii)
            .any(|option| option.eq_ignore_ascii_case(name.as_str().as_bytes()))
}

fn header(scene: &Scene<'_>, name: &HeaderName, shape: &Shape, out: &mut Vec<u8>) -> Result<(), Cause> {
    let missing = || Cause::FieldMissing(name.as_str().into());
    let unfit = || Cause::ComponentUnfit(name.as_str().into());
    let headers = &scene.head.headers;
    if ends_here(headers, name) {
        return Err(unfit());
    }
    match shape {
        Shape::Lines => {
            let value = combined(headers, name).ok_or_else(missing)?;
            // The signature base is ASCII; other bytes would be read in more than one way.
            if !value.iter().all(|byte| matches!(byte, b'\t' | b' '..=b'~')) {
                return Err(unfit());
            }
            out.extend_from_slice(&value);
        }
        Shape::Bytes => {
            let lines: Vec<String> = headers
                .get_all(name)
                .iter()
                .map(|line| format!(":{}:", BASE64.encode(trimmed(line.as_bytes()))))
                .collect();
            if lines.is_empty() {
                return Err(missing());
            }
            out.extend_from_slice(lines.join(", ").as_bytes());
        }
        Shape::Member(key) => {
            let value = combined(headers, name).ok_or_else(missing)?;
            let members = dictionary(&value).map_err(|_| unfit())?;
            let member: &Member = members
                .iter()
                .find_map(|(known, member)| (known.as_str() == key).then_some(member))
                .ok_or_else(missing)?;
            out.extend_from_slice(member.text().as_bytes());
        }
    }
    Ok(())
}
