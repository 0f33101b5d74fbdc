//! What the sender addressed: scheme and host, as received, and as a trusted hop says that it received them.

use crate::event::Client;
use http::{HeaderValue, header, request::Parts};

/// What the sender addressed.
pub(super) struct Origin {
    /// `Host` as received.
    pub host: Option<HeaderValue>,
    /// `X-Forwarded-Host` of a trusted peer, else `host`.
    pub forwarded_host: Option<HeaderValue>,
    /// `http` or `https`.
    pub proto: &'static str,
}

impl Origin {
    pub(super) fn of(head: &Parts, client: &Client) -> Self {
        let host = host(head);
        Self {
            forwarded_host: forwarded_host(head, client).or_else(|| host.clone()),
            proto: proto(head, client),
            host,
        }
    }
}

/// `Host` as received; over HTTP/2 that is `:authority`, which mostly stands alone.
fn host(head: &Parts) -> Option<HeaderValue> {
    let named = head.headers.get(header::HOST).cloned();
    named.or_else(|| HeaderValue::from_str(head.uri.authority()?.as_str()).ok())
}

/// `X-Forwarded-Host` of a trusted peer: a load balancer may have put a name of its own into Host. Two of them, or what
/// is no host, is nobody's word.
fn forwarded_host(head: &Parts, client: &Client) -> Option<HeaderValue> {
    let only = stated(head, client, "x-forwarded-host")?;
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(byte);
    (!only.is_empty() && only.as_bytes().iter().all(is_plain)).then(|| only.clone())
}

/// The scheme that the sender used: as a trusted peer says, which may itself come to us over another, else our own.
fn proto(head: &Parts, client: &Client) -> &'static str {
    match stated(head, client, "x-forwarded-proto") {
        Some(scheme) if scheme.as_bytes().eq_ignore_ascii_case(b"https") => "https",
        None if client.tls => "https",
        _ => "http",
    }
}

/// The only header of this name, if its sender is believed.
fn stated<'a>(head: &'a Parts, client: &Client, name: &str) -> Option<&'a HeaderValue> {
    let mut values = head.headers.get_all(name).iter().filter(|_| client.peer_trusted);
    values.next().filter(|_| values.next().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{Request, Version};
    use std::net::IpAddr;

    fn head(target: &str, headers: &[(&str, &str)]) -> Parts {
        let mut request = Request::builder().uri(target);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).expect("a request").into_parts().0
    }

    fn from(peer_trusted: bool) -> Client {
        let ip = IpAddr::from([10, 0, 0, 1]);
        Client {
            ip,
            believed: vec![ip],
            peer_trusted,
            perhaps_many: false,
            claimed: None,
            tls: false,
        }
    }

    #[test]
    fn over_http_2_the_authority_is_the_host() {
        let mut asked = head("http://hooks.example.com:8443/h", &[]);
        asked.version = Version::HTTP_2;
        assert_eq!(host(&asked).expect("a host"), "hooks.example.com:8443");
        assert_eq!(
            host(&head("/h", &[("host", "in.example")])).expect("a host"),
            "in.example"
        );
        assert_eq!(host(&head("/h", &[])), None);
    }

    #[test]
    fn a_trusted_peer_says_what_was_addressed() {
        for (headers, is_trusted, expected) in [
            (
                &[
                    ("x-forwarded-host", "shop.example:8443"),
                    ("x-forwarded-proto", "HTTPS"),
                ][..],
                true,
                ("shop.example:8443", "https"),
            ),
            (
                &[("x-forwarded-host", "shop.example"), ("x-forwarded-proto", "https")],
                false,
                ("", "http"),
            ),
            (
                &[("x-forwarded-host", "a.example"), ("x-forwarded-host", "b.example")],
                true,
                ("", "http"),
            ),
            (
                &[
                    ("x-forwarded-host", "a.example, b.example"),
                    ("x-forwarded-proto", "gopher"),
                ],
                true,
                ("", "http"),
            ),
            (
                &[
                    ("x-forwarded-host", ""),
                    ("x-forwarded-proto", "http"),
                    ("x-forwarded-proto", "https"),
                ],
                true,
                ("", "http"),
            ),
        ] {
            let (head, client) = (head("/h", headers), from(is_trusted));
            let host = forwarded_host(&head, &client);
            let host = host.as_ref().map_or("", |host| host.to_str().expect("ASCII"));
            assert_eq!((host, proto(&head, &client)), expected, "{headers:?}");
        }
    }
}
