//! Who may talk to the admin listener: nobody from another site, nobody without the token where one is configured.

use super::{answer::Refusal, listener::Ends};
use crate::event::Secret;
use data_encoding::BASE64;
use http::{HeaderMap, HeaderName, Request, StatusCode, header, uri::Authority};
use std::net::IpAddr;

/// What the admin listener asks of its clients.
#[derive(Clone, PartialEq, Eq)]
pub enum Access {
    /// Bound to a loopback address: whoever is on this machine (or came by `kubectl port-forward`).
    Loopback,
    /// Whoever sends `Authorization: Bearer TOKEN`.
    Token(Secret),
}

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Refuses what is not for us: a page of another site in an operator's browser (foreign `Host`: DNS rebinding; foreign
/// `Origin`: a plain cross-site request), and whoever lacks the token.
pub(super) fn admit<B>(request: &Request<B>, ends: &Ends, access: &Access) -> Result<(), Refusal> {
    let headers = request.headers();
    let host = single(headers, &header::HOST).and_then(|host| host.parse::<Authority>().ok());
    let Some(host) = host.filter(|host| is_ours(host, ends.local.ip()) && request.uri().authority().is_none()) else {
        let text = "the Host header does not name this listener: use localhost or its address";
        return Err(Refusal::new(StatusCode::MISDIRECTED_REQUEST, text));
    };
    if headers.contains_key(header::ORIGIN) && !is_own_origin(headers, &host) {
        return Err(Refusal::new(
            StatusCode::FORBIDDEN,
            "requests from other sites are refused",
        ));
    }
    if headers.contains_key(SEC_FETCH_SITE) && !matches!(single(headers, &SEC_FETCH_SITE), Some("same-origin" | "none"))
    {
        return Err(Refusal::new(
            StatusCode::FORBIDDEN,
            "requests from other sites are refused",
        ));
    }
    match access {
        Access::Loopback if ends.peer.ip().to_canonical().is_loopback() => Ok(()),
        Access::Loopback => Err(Refusal::new(
            StatusCode::FORBIDDEN,
            "only clients on this machine are served",
        )),
        Access::Token(token) if has_token(headers, token) => Ok(()),
        Access::Token(_) => Err(
            Refusal::new(StatusCode::UNAUTHORIZED, "send `Authorization: Bearer TOKEN`")
                // A header each: Chromium asks for a password only if `Basic` begins one.
                .with(header::WWW_AUTHENTICATE, "Bearer realm=\"hookward\"")
                .with(
                    header::WWW_AUTHENTICATE,
                    "Basic realm=\"hookward: any name, the token as password\"",
                ),
        ),
    }
}

/// What every change needs on top: two headers that a form or a simple cross-site request cannot carry.
pub(super) fn admit_change<B>(request: &Request<B>) -> Result<(), Refusal> {
    let headers = request.headers();
    let media = single(headers, &header::CONTENT_TYPE).and_then(|media| media.split(';').next());
    if !media.is_some_and(|media| media.trim().eq_ignore_ascii_case("application/json")) {
        let text = "send `Content-Type: application/json`";
        return Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, text));
    }
    if single(headers, &HeaderName::from_static("hookward-admin")) != Some("1") {
        return Err(Refusal::new(StatusCode::FORBIDDEN, "send `Hookward-Admin: 1`"));
    }
    Ok(())
}

/// Loopback by any of its names, or the very address that the connection was made to. A port may differ: a forwarded one.
fn is_ours(host: &Authority, local: IpAddr) -> bool {
    if host.as_str().contains('@') {
        return false;
    }
    let name = host.host();
    let address = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    match address.map(|address| address.to_canonical()) {
        Ok(address) => address.is_loopback() || address == local.to_canonical(),
        Err(_) => name.eq_ignore_ascii_case("localhost"),
    }
}

fn is_own_origin(headers: &HeaderMap, host: &Authority) -> bool {
    single(headers, &header::ORIGIN)
        .and_then(|origin| {
            origin
                .strip_prefix("http://")
                .or_else(|| origin.strip_prefix("https://"))
        })
        .is_some_and(|origin| origin.eq_ignore_ascii_case(host.as_str()))
}

fn has_token(headers: &HeaderMap, token: &Secret) -> bool {
    let given = single(headers, &header::AUTHORIZATION).and_then(|value| value.split_once(' '));
    // Digests are of one length and compared in constant time: neither a prefix nor the length shows in the time.
    let is_token = |given: &[u8]| blake3::hash(given) == blake3::hash(token.expose());
    given.is_some_and(|(scheme, given)| {
        if scheme.eq_ignore_ascii_case("basic") {
            // What a browser can be asked for: the page needs it.
            let decoded = BASE64.decode(given.as_bytes()).unwrap_or_default();
            let colon = decoded.iter().position(|byte| *byte == b':');
            return colon.is_some_and(|colon| is_token(&decoded[colon + 1..]));
        }
        scheme.eq_ignore_ascii_case("bearer") && is_token(given.as_bytes())
    })
}

/// The header's value if there is exactly one.
fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[ignore = "a measurement; tests/timing/run"]
    fn the_admin_token_is_compared_in_constant_time() {
        let right = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
        let bearing = |scheme: &str, credentials: &str| {
            let value = format!("{scheme} {credentials}").parse().expect("a header");
            HeaderMap::from_iter([(header::AUTHORIZATION, value)])
        };
        let bearer = |guess: String| bearing("Bearer", &guess);
        let token = Secret::new(right.into());
        let judge = |headers: &HeaderMap| has_token(headers, &token);
        crate::event::timing::holds("admin token, bearer", right, bearer, judge);
        // Base64 takes longer for some texts than for others, which are the client's own: so here the token differs.
        let headers = bearing("Basic", &BASE64.encode(format!("any:{right}").as_bytes()));
        let token = |guess: String| Secret::new(guess.into());
        let judge = |token: &Secret| has_token(&headers, token);
        crate::event::timing::holds("admin token, basic", right, token, judge);
    }
}
