//! `X-Forwarded-For` and `Forwarded`: the client is whom trusted hops vouch for, whatever the client itself wrote before.
use hookward::server::{ClientIp, Peer};
use http::{HeaderMap, HeaderValue};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Hops that are looked at.
const MAX_HOPS: usize = 32;

pub fn check(data: &[u8]) {
    // Flags, a line that a client might have sent, and the lines that came.
    let [flags, rest @ ..] = data else { return };
    let plain = flags & 1 == 0;
    let resolver = ClientIp {
        trust: ["10.0.0.0/8", "2001:db8::/32"]
            .map(|net| net.parse().expect("a net"))
            .to_vec(),
        direct: false,
        header: if plain { "x-forwarded-for" } else { "forwarded" }
            .parse()
            .expect("a name"),
    };
    let ip = if flags & 2 == 0 {
        Ipv4Addr::new(10, 0, 0, 1)
    } else {
        Ipv4Addr::new(192, 0, 2, 1)
    };
    let peer = Peer {
        address: SocketAddr::new(IpAddr::V4(ip), 4321),
        tls: flags & 4 != 0,
    };
    let mut lines = rest
        .split(|byte| *byte == b'\n')
        .filter(|line| HeaderValue::from_bytes(line).is_ok());
    let Some(forged) = lines.next() else { return };
    let lines: Vec<Vec<u8>> = lines.map(<[u8]>::to_vec).collect();
    let resolve = |lines: &[Vec<u8>]| {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(&resolver.header, HeaderValue::from_bytes(line).expect("a value"));
        }
        resolver.resolve(peer, &headers)
    };

    let client = resolve(&lines);
    let believed = &client.believed;
    assert!(believed.len() <= MAX_HOPS + 1);
    assert_eq!(believed.last(), Some(&peer.address.ip()));
    assert_eq!(believed.first(), Some(&client.ip));
    assert_eq!(client.peer_trusted, resolver.trusts(peer.address.ip()));
    assert_eq!(client.tls, peer.tls);
    // Every hop but the client itself is trusted, so each stands there by the word of a trusted one.
    assert!(believed[1..].iter().all(|hop| resolver.trusts(*hop)) || believed.len() == 1);
    assert!(client.peer_trusted || believed.len() == 1);
    assert!(believed.iter().all(|hop| hop.to_canonical() == *hop));
    let told: Vec<IpAddr> = client
        .forwarded_for()
        .split(", ")
        .map(|hop| hop.parse().expect("an address"))
        .collect();
    assert_eq!(told, *believed);

    let walked = walk(&resolver, &lines, plain);
    if client.peer_trusted
        && let Some(walked) = walked
    {
        assert_eq!(believed[..believed.len() - 1], walked[..], "another walk");
    }

    // Where the walk ended at a client, that client cannot change it by what it sends itself.
    if believed.len() > 1 && !resolver.trusts(client.ip) {
        let earlier: Vec<Vec<u8>> = [forged.to_vec()].into_iter().chain(lines.iter().cloned()).collect();
        assert_eq!(resolve(&earlier), client, "an earlier line changed it");
        let mut same_line = lines.clone();
        same_line[0] = [forged, b",", &lines[0]].concat();
        assert_eq!(resolve(&same_line), client, "the beginning of its line changed it");
    }
}

/// The hops by another reading: from left to right, by the letter of the grammar; `None` where that does not fit all of it,
/// so that only the hops from the right are for certain.
fn walk(resolver: &ClientIp, lines: &[Vec<u8>], plain: bool) -> Option<Vec<IpAddr>> {
    let mut nodes = Vec::new();
    for line in lines {
        let line = std::str::from_utf8(line).ok()?;
        if plain {
            let parts = line.split(',').map(|part| part.trim_matches([' ', '\t']));
            nodes.extend(parts.filter(|part| !part.is_empty()).map(str::to_owned));
        } else {
            nodes.extend(elements(line)?);
        }
    }
    let mut hops = Vec::new();
    for node in nodes.iter().rev() {
        if hops.len() == MAX_HOPS {
            return Some(Vec::new());
        }
        let Some(hop) = address(node) else {
            return Some(Vec::new());
        };
        hops.insert(0, hop);
        if !resolver.trusts(hop) {
            break;
        }
    }
    Some(hops)
}

/// The `for` of every element of RFC 7239, section 4 (`?` where it has none); `None` where the text is not of its grammar.
fn elements(text: &str) -> Option<Vec<String>> {
    let mut nodes = Vec::new();
    let (mut node, mut pairs) = (None, 0);
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches([' ', '\t']);
        if !rest.is_empty() && !rest.starts_with([',', ';']) {
            let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
            let end = rest.find(|c| !is_token(c)).filter(|end| *end > 0)?;
            let name = rest[..end].to_ascii_lowercase();
            rest = rest[end..].strip_prefix('=')?;
            let value = if let Some(quoted) = rest.strip_prefix('"') {
                let mut inside = String::new();
                let mut chars = quoted.char_indices();
                loop {
                    match chars.next()? {
                        (at, '"') => {
                            rest = &quoted[at + 1..];
                            break;
                        }
                        (_, '\\') => {
                            inside.push('\\');
                            inside.push(chars.next()?.1);
                        }
                        (_, c) => inside.push(c),
                    }
                }
                inside
            } else {
                // Nodes with a colon have to be quoted, and some proxies do not.
                let end = rest.find([',', ';', ' ', '\t']).unwrap_or(rest.len());
                let value = rest[..end].to_owned();
                if value.is_empty() || value.contains(['"', '\\', '=']) {
                    return None;
                }
                rest = &rest[end..];
                value
            };
            pairs += 1;
            // Twice is as good as none.
            if name == "for" {
                node = Some(if node.is_none() { value } else { "?".to_owned() });
            }
            rest = rest.trim_start_matches([' ', '\t']);
        }
        let mut chars = rest.chars();
        match chars.next() {
            // An element, though an empty one.
            Some(';') => pairs += 1,
            end @ (Some(',') | None) => {
                if pairs > 0 {
                    nodes.push(node.take().unwrap_or_else(|| "?".to_owned()));
                }
                pairs = 0;
                if end.is_none() {
                    return Some(nodes);
                }
            }
            Some(_) => return None,
        }
        rest = chars.as_str();
    }
}

fn address(node: &str) -> Option<IpAddr> {
    let port = |port: &str| {
        let digits = (1..=5).contains(&port.len()) && port.bytes().all(|byte| byte.is_ascii_digit());
        let word = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        digits || (port.len() > 1 && port.starts_with('_') && port.bytes().all(word))
    };
    let ip: IpAddr = match node.strip_prefix('[') {
        Some(bracketed) => {
            let end = bracketed.find(']')?;
            let after = &bracketed[end + 1..];
            if !(after.is_empty() || after.strip_prefix(':').is_some_and(port)) {
                return None;
            }
            IpAddr::V6(bracketed[..end].parse().ok()?)
        }
        None => {
            if let Ok(ip) = node.parse() {
                ip
            } else {
                let (ip, after) = node.split_once(':')?;
                IpAddr::V4(ip.parse().ok().filter(|_| port(after))?)
            }
        }
    };
    Some(ip.to_canonical())
}
