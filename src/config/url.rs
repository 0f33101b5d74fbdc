//! URLs of the configuration: of apps, of Redis, and of ourselves as a provider sees us.

pub(super) mod redis;

use super::{
    problem::{Fault, excerpt},
    text::credentials,
    value::is_host_name,
};
use crate::upstream::{DestinationUrl, TargetRule};
use http::{HeaderValue, Uri};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether a request's own target is appended to the URL or the URL is used as it stands.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The plain `upstream`.
    Upstream,
    /// One of `destinations`.
    Destination,
}

/// The URL of an app.
pub(super) fn destination(text: &str, kind: Kind) -> Result<DestinationUrl, Fault> {
    let uri = parse(text, "http://127.0.0.1:3000")?;
    let secure = match uri.scheme_str() {
        Some("http") => false,
        Some("https") => true,
        _ => {
            return Err(Fault::new(format!("`{}` is not an http URL", shown(text)))
                .hint("begin it with `http://` or `https://`"));
        }
    };
    let authority = uri.authority().ok_or_else(|| no_host(text))?;
    if authority.as_str().contains('@') {
        return Err(Fault::new("credentials in a destination's URL are not supported")
            .hint("take them out; a fixed header of its own goes into `headers`"));
    }
    let host = host(authority.host(), text)?;
    let target = uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    let (path, query) = target
        .split_once('?')
        .map_or((target, None), |(path, query)| (path, Some(query.to_owned())));
    let target = match kind {
        Kind::Destination => TargetRule::Fixed {
            path: path.to_owned(),
            query,
        },
        Kind::Upstream if query.is_some() => {
            return Err(Fault::new(
                "`upstream` cannot have a query: the request's own path and query are appended to it",
            )
            .hint("a URL that is used as it stands is one of `destinations`"));
        }
        Kind::Upstream => TargetRule::Append {
            prefix: path.trim_end_matches('/').to_owned(),
        },
    };
    let authority = HeaderValue::try_from(authority.as_str()).map_err(|_| no_host(text))?;
    Ok(DestinationUrl {
        host,
        port: uri.port_u16().unwrap_or(if secure { 443 } else { 80 }),
        secure,
        authority,
        target,
    })
}

/// `public_url`: without a trailing slash, so that a request's raw path follows it.
pub(super) fn public(text: &str) -> Result<String, Fault> {
    let uri = parse(text, "https://hooks.example.com")?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        return Err(
            Fault::new(format!("`{}` is not the URL of a website", shown(text))).hint("begin it with `https://`")
        );
    }
    let authority = uri.authority().ok_or_else(|| no_host(text))?;
    if authority.as_str().contains('@') || uri.query().is_some() {
        return Err(
            Fault::new("`public_url` is scheme, host and at most the beginning of a path")
                .hint("the request's own path and query are added to it"),
        );
    }
    Ok(text.trim_end_matches('/').to_owned())
}

/// Addresses at which clouds hand out credentials, and others that no app listens on.
fn is_forbidden_address(address: IpAddr) -> bool {
    const ALIBABA: Ipv4Addr = Ipv4Addr::new(100, 100, 100, 200);
    const AWS_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.is_link_local() || v4.is_multicast() || v4.is_broadcast() || v4 == ALIBABA,
        IpAddr::V6(v6) => v6.is_unicast_link_local() || v6.is_multicast() || v6 == AWS_V6,
    }
}

/// Does traffic to this host stay on this machine? A name other than `localhost` may resolve to any address.
pub(super) fn is_loopback(host: &str) -> bool {
    if let Ok(address) = host.parse::<IpAddr>() {
        let address = address.to_canonical();
        // A connection to 0.0.0.0 reaches this machine.
        return address.is_loopback() || address.is_unspecified();
    }
    let name = host.trim_end_matches('.').to_ascii_lowercase();
    name == "localhost" || name.ends_with(".localhost")
}

fn host(written: &str, url: &str) -> Result<String, Fault> {
    let bare = written.trim_start_matches('[').trim_end_matches(']');
    let refused = || {
        Fault::new(format!(
            "`{}` is refused: link-local, multicast and metadata addresses are no apps",
            excerpt(bare)
        ))
        .hint("a destination is an app of yours")
    };
    if let Ok(address) = bare.parse::<IpAddr>() {
        return if is_forbidden_address(address) {
            Err(refused())
        } else {
            Ok(bare.to_owned())
        };
    }
    let name = bare.trim_end_matches('.').to_ascii_lowercase();
    if matches!(name.as_str(), "metadata.google.internal" | "metadata" | "instance-data") {
        return Err(refused());
    }
    // `2852039166` and `0xa9fea9fe` are addresses to a resolver: what ends in a number must be an address as we know it.
    let last = name.rsplit('.').next().unwrap_or("");
    let numeric = last.bytes().all(|b| b.is_ascii_digit())
        || last
            .strip_prefix("0x")
            .is_some_and(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()));
    if !is_host_name(bare) || numeric {
        return Err(no_host(url));
    }
    Ok(bare.to_owned())
}

fn parse(text: &str, example: &str) -> Result<Uri, Fault> {
    let wrong = || Fault::new(format!("`{}` is not a URL", shown(text))).hint(format!("write it as in `{example}`"));
    if text.contains('#') {
        return Err(Fault::new("a URL has no fragment (`#`) here").hint("leave it out"));
    }
    if !text.contains("://") {
        return Err(wrong());
    }
    let uri = text.parse::<Uri>().map_err(|_| wrong())?;
    // `http::Uri` takes a port that is none for no port.
    let port = uri.authority().and_then(|authority| {
        let after = authority.as_str().rsplit('@').next()?;
        after.rsplit(']').next()?.split_once(':')
    });
    match port {
        Some((_, port)) if port.parse::<u16>().map_or(true, |port| port == 0) => {
            Err(Fault::new(format!("`{}` has no usable port", shown(text))).hint("a port is a number from 1 to 65535"))
        }
        _ => Ok(uri),
    }
}

fn no_host(text: &str) -> Fault {
    Fault::new(format!("`{}` has no usable host", shown(text)))
        .hint("write a host name, an IPv4 address, or an IPv6 address in brackets")
}

/// The URL without what may be a password.
fn shown(text: &str) -> String {
    match credentials(text) {
        Some(part) => excerpt(&format!("{}********{}", &text[..part.start], &text[part.end..])),
        None => excerpt(text),
    }
}

/// Undecodable escapes stay as they are.
fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let hex = tail
            .get(..2)
            .and_then(|hex| std::str::from_utf8(hex).ok())
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        if let (b'%', Some(byte)) = (first, hex) {
            bytes.push(byte);
            rest = &tail[2..];
        } else {
            bytes.push(*first);
            rest = tail;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_upstream_is_appended_to_and_a_destination_is_used_as_it_stands() {
        let url = destination("http://app:8080/base/", Kind::Upstream).expect("an upstream");
        assert_eq!((url.host.as_str(), url.port), ("app", 8080));
        assert_eq!(
            url.target,
            TargetRule::Append {
                prefix: "/base".to_owned()
            }
        );
        let url = destination("https://app/base/", Kind::Upstream).expect("an upstream");
        assert_eq!((url.secure, url.port), (true, 443));
        let url = destination("http://[::1]/in?a=b", Kind::Destination).expect("a destination");
        assert_eq!(
            (url.host.as_str(), url.port, url.authority.as_bytes()),
            ("::1", 80, &b"[::1]"[..])
        );
        assert_eq!(
            url.target,
            TargetRule::Fixed {
                path: "/in".to_owned(),
                query: Some("a=b".to_owned())
            }
        );
    }

    #[test]
    fn traffic_to_loopback_stays_on_this_machine() {
        for near in [
            "127.0.0.1",
            "127.9.9.9",
            "::1",
            "::ffff:127.0.0.1",
            "0.0.0.0",
            "localhost",
            "App.LOCALHOST.",
        ] {
            assert!(is_loopback(near), "{near}");
        }
        for far in [
            "10.0.0.1",
            "fd00::1",
            "::ffff:10.0.0.1",
            "app",
            "localhost.example",
            "notlocalhost",
        ] {
            assert!(!is_loopback(far), "{far}");
        }
    }

    #[test]
    fn no_spelling_of_a_metadata_address_is_taken() {
        for bad in [
            "169.254.169.254",
            "[fe80::1]",
            "[::ffff:169.254.169.254]",
            "2852039166",
            "0xa9fea9fe",
            "169.254.43518",
            "0251.0376.0251.0376",
            "metadata.google.internal",
            "metadata.google.internal.",
            "100.100.100.200",
            "[fd00:ec2::254]",
            "224.0.0.1",
        ] {
            assert!(
                destination(&format!("http://{bad}/latest"), Kind::Destination).is_err(),
                "{bad}"
            );
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_a_reader_panic(text in "(http|rediss?|unix|redis\\+unix)?(://)?/?\\PC{0,24}") {
            let _ = (destination(&text, Kind::Upstream), destination(&text, Kind::Destination), redis::server(&text), public(&text));
        }
    }
}
