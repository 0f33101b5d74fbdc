//! The PROXY protocol, versions 1 and 2: exactly the header's bytes are taken from the socket, and not one more.

use super::Unwelcome;
use proxy_header::{ParseConfig, Protocol, ProxyHeader};
use std::{io, net::SocketAddr};
use tokio::{io::AsyncReadExt, net::TcpStream};

/// What version 2 begins with.
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// Signature, version, family, length.
const FIXED: usize = 16;
/// The longest line of version 1.
const LONGEST_LINE: usize = 107;
/// Addresses take up to 216 bytes, what load balancers add some hundred; a certificate of the client fits too.
const LONGEST: usize = 4096;

/// What is wrong with a PROXY header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderFault {
    /// The first bytes are of neither version.
    #[error("the trusted peer did not begin with one (is it switched on at the load balancer?)")]
    Missing,
    /// It begins as one and goes on otherwise.
    #[error("garbled")]
    Garbled,
    /// Longer than anybody needs.
    #[error("too long")]
    TooLong,
}

/// Reads a header: the address that it says; `None` if the peer speaks for itself (`LOCAL`, `UNKNOWN`).
pub(super) async fn read(stream: &mut TcpStream) -> Result<Option<SocketAddr>, Unwelcome> {
    let mut seen = Vec::with_capacity(LONGEST_LINE);
    loop {
        match wanted(&seen)? {
            Wanted::Nothing => return Ok(parse(&seen)?),
            Wanted::Bytes(count) => take(stream, &mut seen, count).await?,
            // How long a line is can only be seen, so it is looked at before it is taken.
            Wanted::Line(most) => {
                let mut ahead = [0; LONGEST_LINE];
                let ahead = &mut ahead[..most];
                let there = stream.peek(ahead).await.map_err(left)?;
                let end = ahead[..there].iter().position(|&byte| byte == b'\n');
                let count = end.map_or(there, |at| at + 1);
                if count == 0 {
                    return Err(Unwelcome::Left);
                }
                take(stream, &mut seen, count).await?;
            }
        }
    }
}

async fn take(stream: &mut TcpStream, seen: &mut Vec<u8>, count: usize) -> Result<(), Unwelcome> {
    let before = seen.len();
    seen.resize(before + count, 0);
    stream.read_exact(&mut seen[before..]).await.map(drop).map_err(left)
}

fn left(_: io::Error) -> Unwelcome {
    Unwelcome::Left
}

#[derive(Debug, PartialEq, Eq)]
enum Wanted {
    /// It is whole.
    Nothing,
    /// So many bytes, all of the header.
    Bytes(usize),
    /// At most so many, up to the end of the line.
    Line(usize),
}

/// What of a header is still to be read after `seen`; the first byte tells the versions apart.
fn wanted(seen: &[u8]) -> Result<Wanted, HeaderFault> {
    match seen {
        [] => Ok(Wanted::Bytes(1)),
        [b'P', ..] => {
            let begins = b"PROXY ".iter().zip(seen).all(|(wanted, seen)| wanted == seen);
            match LONGEST_LINE - seen.len() {
                // `POST …` of somebody who speaks HTTP at once.
                _ if !begins => Err(HeaderFault::Missing),
                _ if seen.ends_with(b"\n") => Ok(Wanted::Nothing),
                0 => Err(HeaderFault::TooLong),
                most => Ok(Wanted::Line(most)),
            }
        }
        [b'\r', ..] if seen.len() < FIXED => {
            let begins = SIGNATURE.iter().zip(seen).all(|(wanted, seen)| wanted == seen);
            if begins {
                Ok(Wanted::Bytes(FIXED - seen.len()))
            } else {
                Err(HeaderFault::Missing)
            }
        }
        [b'\r', ..] => {
            let whole = FIXED + usize::from(u16::from_be_bytes([seen[14], seen[15]]));
            if !seen.starts_with(SIGNATURE) {
                Err(HeaderFault::Missing)
            } else if whole > LONGEST {
                Err(HeaderFault::TooLong)
            } else if whole > seen.len() {
                Ok(Wanted::Bytes(whole - seen.len()))
            } else {
                Ok(Wanted::Nothing)
            }
        }
        _ => Err(HeaderFault::Missing),
    }
}

/// A whole header.
fn parse(header: &[u8]) -> Result<Option<SocketAddr>, HeaderFault> {
    let config = ParseConfig {
        include_tlvs: false,
        ..ParseConfig::default()
    };
    if header.starts_with(b"P") && !line_is_plain(header) {
        return Err(HeaderFault::Garbled);
    }
    let (parsed, length) = ProxyHeader::parse(header, config).map_err(|_| HeaderFault::Garbled)?;
    if length != header.len() {
        return Err(HeaderFault::Garbled);
    }
    match parsed.proxied_address() {
        // A datagram does not arrive on a TCP connection.
        Some(address) if address.protocol != Protocol::Stream => Err(HeaderFault::Garbled),
        Some(address) => Ok(Some(SocketAddr::new(
            address.source.ip().to_canonical(),
            address.source.port(),
        ))),
        None => Ok(None),
    }
}

/// A header at the start of these bytes, which arrive in pieces of at most `piece`, and how many of them were taken;
/// `None`: it goes on after them.
#[cfg(fuzzing)]
pub fn proxy_header_of(bytes: &[u8], piece: usize) -> Option<(Result<Option<SocketAddr>, HeaderFault>, usize)> {
    let mut taken = 0;
    loop {
        let there = &bytes[taken..];
        taken += match wanted(&bytes[..taken]) {
            Err(fault) => return Some((Err(fault), taken)),
            Ok(Wanted::Nothing) => return Some((parse(&bytes[..taken]), taken)),
            Ok(Wanted::Bytes(count)) => (count <= there.len()).then_some(count)?,
            Ok(Wanted::Line(most)) => {
                let ahead = &there[..most.min(there.len()).min(piece.max(1))];
                let end = ahead.iter().position(|&byte| byte == b'\n');
                let count = end.map_or(ahead.len(), |at| at + 1);
                (count > 0).then_some(count)?
            }
        };
    }
}

/// What the parser lets pass and the specification does not: another byte for the first space, `+80` and `080` for a
/// port, `UNKNOWNX`, control characters.
fn line_is_plain(line: &[u8]) -> bool {
    let Some(line) = line.strip_suffix(b"\r\n") else {
        return false;
    };
    let mut words = line.split(|&byte| byte == b' ').skip(1);
    let family = words.next().unwrap_or_default();
    if !line.iter().all(|byte| (b' '..=b'~').contains(byte)) {
        return false;
    }
    match family {
        b"UNKNOWN" => return true,
        b"TCP4" | b"TCP6" => {}
        _ => return false,
    }
    let ports: Vec<&[u8]> = words.skip(2).collect();
    let is_port = |port: &&[u8]| {
        port.iter().all(u8::is_ascii_digit) && (port.len() == 1 || port.first().is_some_and(|first| *first != b'0'))
    };
    ports.len() == 2 && ports.iter().all(is_port)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// As [`read`] does it, with a peer whose bytes come in pieces of `piece`.
    fn fed(bytes: &[u8], piece: usize) -> (Result<Option<String>, HeaderFault>, usize) {
        let (mut seen, mut at) = (Vec::new(), 0);
        loop {
            let count = match wanted(&seen) {
                Err(fault) => return (Err(fault), at),
                Ok(Wanted::Nothing) => {
                    let parsed = parse(&seen);
                    return (parsed.map(|said| said.map(|address| address.to_string())), at);
                }
                Ok(Wanted::Bytes(count)) => count.min(piece),
                Ok(Wanted::Line(most)) => {
                    let ahead = &bytes[at..bytes.len().min(at + most.min(piece))];
                    let end = ahead.iter().position(|&byte| byte == b'\n');
                    end.map_or(ahead.len(), |end| end + 1)
                }
            };
            if count == 0 || at + count > bytes.len() {
                return (Ok(Some("more".to_owned())), at);
            }
            seen.extend_from_slice(&bytes[at..at + count]);
            at += count;
        }
    }

    fn v2(command: u8, family: u8, payload: &[u8]) -> Vec<u8> {
        let length = u16::try_from(payload.len()).expect("short").to_be_bytes();
        [SIGNATURE, &[command, family], &length, payload].concat()
    }

    const FOUR: &[u8] = &[192, 0, 2, 7, 198, 51, 100, 1, 0x10, 0xe1, 0x01, 0xbb];

    #[test]
    fn both_versions_say_who_the_client_is_and_nothing_after_them_is_taken() {
        let six: Vec<u8> = [
            &[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7][..],
            &[0; 16],
            &[0, 80, 0, 81],
        ]
        .concat();
        let mapped: Vec<u8> = [
            &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 7][..],
            &[0; 16],
            &[0, 80, 0, 81],
        ]
        .concat();
        let with_more = [FOUR, &[4, 0, 3, 0, 0, 0]].concat();
        for (header, says) in [
            (
                b"PROXY TCP4 192.0.2.7 198.51.100.1 4321 443\r\n".to_vec(),
                Some("192.0.2.7:4321"),
            ),
            (
                b"PROXY TCP6 2001:db8::7 2001:db8::1 65535 0\r\n".to_vec(),
                Some("[2001:db8::7]:65535"),
            ),
            (b"PROXY UNKNOWN\r\n".to_vec(), None),
            (b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n".to_vec(), None),
            (v2(0x21, 0x11, FOUR), Some("192.0.2.7:4321")),
            (v2(0x21, 0x21, &six), Some("[2001:db8::7]:80")),
            (v2(0x21, 0x21, &mapped), Some("192.0.2.7:80")),
            (v2(0x21, 0x11, &with_more), Some("192.0.2.7:4321")),
            (v2(0x20, 0x11, FOUR), None),
            (v2(0x20, 0x00, b""), None),
            (v2(0x21, 0x00, b""), None),
            (v2(0x21, 0x31, &[0; 216]), None),
        ] {
            let followed = [&header[..], b"POST / HTTP/1.1\r\n\r\n"].concat();
            for piece in [1, 7, 4096] {
                let expected = (Ok(says.map(str::to_owned)), header.len());
                assert_eq!(
                    fed(&followed, piece),
                    expected,
                    "{:?}",
                    header.escape_ascii().to_string()
                );
            }
        }
    }

    #[test]
    fn what_is_no_header_is_known_early() {
        let long_line = [b"PROXY UNKNOWN ".as_slice(), &[b'x'; 200], b"\r\n"].concat();
        for (bytes, fault) in [
            (&b"POST / HTTP/1.1\r\nHost: h\r\n\r\n"[..], HeaderFault::Missing),
            (b"GET / HTTP/1.1\r\n\r\n", HeaderFault::Missing),
            (b"\x16\x03\x01\x02\x00\x01\x00", HeaderFault::Missing),
            (b"\r\n\r\nPOST / HTTP/1.1\r\n", HeaderFault::Missing),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", HeaderFault::Missing),
            (&long_line, HeaderFault::TooLong),
            (&v2(0x21, 0x11, &[0; 5000]), HeaderFault::TooLong),
            (b"PROXY TCP4 192.0.2.7 198.51.100.1 4321\r\n", HeaderFault::Garbled),
            (
                b"PROXY TCP4 192.0.2.7 198.51.100.1 4321 443 x\r\n",
                HeaderFault::Garbled,
            ),
            (b"PROXY TCP4 192.0.2.7 198.51.100.1 +1 443\r\n", HeaderFault::Garbled),
            (b"PROXY TCP4 192.0.2.7 198.51.100.1 01 443\r\n", HeaderFault::Garbled),
            (b"PROXY TCP4 192.0.2.7 198.51.100.1 65536 1\r\n", HeaderFault::Garbled),
            (b"PROXY TCP4 192.0.2.256 198.51.100.1 1 1\r\n", HeaderFault::Garbled),
            (b"PROXY TCP4 2001:db8::7 2001:db8::1 1 1\r\n", HeaderFault::Garbled),
            (b"PROXY TCP6 192.0.2.7 198.51.100.1 1 1\r\n", HeaderFault::Garbled),
            (b"PROXY  TCP4 192.0.2.7 198.51.100.1 1 1\r\n", HeaderFault::Garbled),
            (b"PROXY TCP4 192.0.2.7 198.51.100.1 1 1\n", HeaderFault::Garbled),
            (b"PROXY UNKNOWNX\r\n", HeaderFault::Garbled),
            (b"PROXY unknown\r\n", HeaderFault::Garbled),
            // Found by fuzzing.
            (b"PROXY UNKNOWNTCP6 ::7 ::1 5 0\r\n", HeaderFault::Garbled),
            (b"PROXY UNKNOWN \x00\r\n", HeaderFault::Garbled),
            (b"PROXY UDP4 192.0.2.7 198.51.100.1 1 1\r\n", HeaderFault::Garbled),
            (&v2(0x31, 0x11, FOUR), HeaderFault::Garbled),
            (&v2(0x22, 0x11, FOUR), HeaderFault::Garbled),
            (&v2(0x21, 0x12, FOUR), HeaderFault::Garbled),
            (&v2(0x21, 0x11, &FOUR[1..]), HeaderFault::Garbled),
            (&v2(0x21, 0x21, FOUR), HeaderFault::Garbled),
        ] {
            for piece in [1, 4096] {
                let shown = bytes.escape_ascii().to_string();
                assert_eq!(fed(bytes, piece).0, Err(fault), "{shown}");
            }
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic_or_read_without_end(
            start in prop::sample::select(vec![&b"PROXY "[..], b"PROXY TCP4 ", b"\r\n\r\n\0\r\nQUIT\n", b""]),
            rest in prop::collection::vec(any::<u8>(), 0..300),
            piece in 1_usize..50,
        ) {
            let bytes = [start, &rest].concat();
            let (_, taken) = fed(&bytes, piece);
            prop_assert!(taken <= LONGEST);
        }
    }
}
