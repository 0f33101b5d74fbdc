//! The gate: what passes is within every limit, has one Host, one length and one path, and is read again as the same request.

use crate::head;
use hookward::server::gate::{self, GateRefusal};
use http::{HeaderMap, HeaderName, HeaderValue, Version, request::Parts, uri::Authority};

pub fn check(data: &[u8]) {
    let Some((head, _)) = head::of(data) else { return };
    let mut asked = Vec::new();
    let verdict = gate::judge(&head, |host| {
        asked.push(host.to_owned());
        true
    });
    // Whose Host it is decides no more than that.
    let foreign = gate::judge(&head, |_| false);
    match verdict {
        Ok(()) => {
            assert!(
                matches!(foreign, Err(GateRefusal::HostForeign | GateRefusal::HostMissing)),
                "{foreign:?}"
            );
            assert_eq!(asked.len(), 1);
            let mut head = head;
            gate::to_origin_form(&mut head);
            accepted(&head, &asked[0]);
            if head.version != Version::HTTP_2 {
                assert_eq!(target(&head), raw_target(data), "not as it was sent");
                read_again(&head);
            }
        }
        Err(refusal) => {
            assert!(refusal.status().is_client_error() || refusal.status() == 501);
            assert!(!refusal.reason().is_empty());
            assert!(foreign == Err(refusal) || !asked.is_empty());
            if refusal == GateRefusal::TargetBytes {
                assert!(!is_plain(&head), "{}", target(&head));
            }
        }
    }
}

fn target(head: &Parts) -> &str {
    head.uri.path_and_query().map_or("", |target| target.as_str())
}

/// The second word of the first line, in origin form. Without a fragment, which `http::Uri` leaves out: the connection
/// refuses one before the gate is asked.
fn raw_target(data: &[u8]) -> &str {
    let line = data.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let target = line.split(|byte| *byte == b' ').nth(1).unwrap_or_default();
    let target = target.split(|byte| *byte == b'#').next().unwrap_or_default();
    let target = std::str::from_utf8(target).expect("what passed is ASCII");
    match target.split_once("://") {
        Some((scheme, rest)) if !scheme.contains(['/', '?']) => rest.find('/').map_or("/", |path| &rest[path..]),
        _ => target,
    }
}

fn accepted(head: &Parts, host: &str) {
    let headers = &head.headers;
    assert!(matches!(
        head.version,
        Version::HTTP_10 | Version::HTTP_11 | Version::HTTP_2
    ));
    let method = head.method.as_str();
    assert!(
        !method.is_empty()
            && method
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    );
    assert!(method != "CONNECT" && method != "TRACE");
    let is_h2 = head.version == Version::HTTP_2;
    assert!(is_h2 || (head.uri.scheme().is_none() && head.uri.authority().is_none()));
    assert!(target(head).starts_with('/') && target(head).bytes().all(|byte| byte.is_ascii_graphic()));
    assert!(target(head).len() <= gate::MAX_TARGET_BYTES);
    assert!(is_plain(head), "{}", target(head));

    assert!(headers.len() <= gate::MAX_HEADERS);
    let bytes: usize = headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + 4)
        .sum();
    assert!(bytes <= gate::MAX_HEADER_BYTES);
    hosts(head, host);

    let (codings, lengths) = (all(headers, "transfer-encoding"), all(headers, "content-length"));
    assert!(codings.len() + lengths.len() <= 1);
    assert!(codings.iter().all(|coding| coding.eq_ignore_ascii_case(b"chunked")));
    assert!(codings.is_empty() || head.version == Version::HTTP_11);
    let has_body = !matches!(method, "GET" | "HEAD" | "DELETE" | "OPTIONS");
    assert!(head.version != Version::HTTP_10 || !has_body || lengths.len() == 1);
    let expects = all(headers, "expect");
    assert!(
        expects.len() <= 1
            && expects
                .iter()
                .all(|expect| expect.eq_ignore_ascii_case(b"100-continue"))
    );
}

/// One Host, which is asked for in lower case and which `http`'s own parser reads alike.
fn hosts(head: &Parts, asked: &str) {
    let hosts = all(&head.headers, "host");
    assert!(hosts.len() <= 1);
    let authority = head.uri.authority().map(|authority| authority.as_str().as_bytes());
    if let (Some(authority), Some(host)) = (authority, hosts.first()) {
        assert!(authority.eq_ignore_ascii_case(host));
    }
    let Some(named) = hosts.first().copied().or(authority) else {
        assert_eq!((head.version, asked), (Version::HTTP_10, ""));
        return;
    };
    let named = std::str::from_utf8(named).expect("a Host is ASCII");
    let authority: Authority = named.parse().expect("an authority");
    assert!(!named.contains('@'));
    let name = authority.host();
    let name = name
        .strip_prefix('[')
        .and_then(|name| name.strip_suffix(']'))
        .unwrap_or(name);
    let name = if name.contains(':') {
        name
    } else {
        name.strip_suffix('.').unwrap_or(name)
    };
    assert_eq!(name.to_ascii_lowercase(), asked);
    assert!(!asked.is_empty());
}

fn all<'a>(headers: &'a HeaderMap, name: &str) -> Vec<&'a [u8]> {
    headers.get_all(name).iter().map(HeaderValue::as_bytes).collect()
}

/// By another way than the gate's: all of the path is decoded at once, and what comes out must have the segments that the
/// raw path has, none of which an app could take for another. No unreserved character may be escaped.
fn is_plain(head: &Parts) -> bool {
    let (path, query) = (head.uri.path(), head.uri.query().unwrap_or_default());
    let Some(decoded) = decoded(path.as_bytes()) else {
        return false;
    };
    let normal = |segment: &[u8]| {
        let name = segment.split(|byte| *byte == b';').next().unwrap_or_default();
        name != b"." && name != b".."
    };
    let needless = path.as_bytes().windows(3).any(|escape| {
        let digits = std::str::from_utf8(&escape[1..]).unwrap_or_default();
        let byte = u8::from_str_radix(digits, 16).unwrap_or_default();
        escape[0] == b'%' && (byte.is_ascii_alphanumeric() || b"-._~".contains(&byte))
    });
    let segments: Vec<&[u8]> = decoded.split(|byte| *byte == b'/').collect();
    let inside = &segments[1..segments.len() - 1];
    path.bytes().chain(query.bytes()).all(|byte| byte.is_ascii_graphic())
        && !path.contains(['\\', '#'])
        && !decoded.iter().any(|byte| byte.is_ascii_control() || *byte == b'\\')
        && !needless
        && segments.len() == path.split('/').count()
        && segments.iter().all(|segment| normal(segment))
        && inside.iter().all(|segment| !segment.is_empty())
}

fn decoded(path: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let mut bytes = path.iter().copied();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let digits = [bytes.next()?, bytes.next()?];
        let digits = std::str::from_utf8(&digits)
            .ok()
            .filter(|text| text.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
        out.push(u8::from_str_radix(digits, 16).ok()?);
    }
    Some(out)
}

/// Written as HTTP/1 it is the same request to the parser that hyper has, and passes again.
fn read_again(head: &Parts) {
    let minor = u8::from(head.version == Version::HTTP_11);
    let mut text = format!("{} {} HTTP/1.{minor}\r\n", head.method, target(head)).into_bytes();
    for (name, value) in &head.headers {
        text.extend_from_slice(&[name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
    }
    text.extend_from_slice(b"\r\n");
    let mut fields = [httparse::EMPTY_HEADER; gate::MAX_HEADERS];
    let mut request = httparse::Request::new(&mut fields);
    let status = request
        .parse(&text)
        .unwrap_or_else(|error| panic!("{error}: {}", text.escape_ascii()));
    assert_eq!(status, httparse::Status::Complete(text.len()));
    let line = (request.method, request.path, request.version);
    assert_eq!(line, (Some(head.method.as_str()), Some(target(head)), Some(minor)));
    let mut again = head.clone();
    again.headers = HeaderMap::new();
    for field in request.headers.iter() {
        again.headers.append(
            HeaderName::from_bytes(field.name.as_bytes()).expect("a name"),
            HeaderValue::from_bytes(field.value).expect("a value"),
        );
    }
    assert_eq!(again.headers, head.headers);
    again.uri = request.path.expect("a path").parse().expect("a target");
    assert_eq!(again.uri, head.uri);
    assert_eq!(gate::judge(&again, |_| true), Ok(()));
}
