//! The PROXY header before everything else.

use super::*;

#[test]
fn a_proxy_header_says_who_the_peer_is() {
    let house = proxied();
    let ask = post("/peer", "");
    let mut v2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec();
    v2.extend_from_slice(&[192, 0, 2, 9, 198, 51, 100, 1, 0x10, 0xe1, 0x01, 0xbb]);
    for (header, says) in [
        (
            &b"PROXY TCP4 192.0.2.7 198.51.100.1 4321 443\r\n"[..],
            "192.0.2.7:4321 tls=false",
        ),
        (
            b"PROXY TCP6 2001:db8::7 ::1 4321 443\r\n",
            "[2001:db8::7]:4321 tls=false",
        ),
        (&v2, "192.0.2.9:4321 tls=false"),
    ] {
        // At once, and byte by byte.
        let mut client = house.connect();
        client.send([header, ask.as_bytes()].concat());
        assert_eq!(client.answer().expect("an answer").body, says.as_bytes());
        client.send(&ask);
        assert_eq!(client.answer().expect("kept alive").body, says.as_bytes());
        let mut client = house.connect();
        client.0.set_nodelay(true).expect("a socket");
        for byte in header {
            client.send([*byte]);
        }
        client.send(&ask);
        assert_eq!(client.answer().expect("an answer").body, says.as_bytes());
    }
    for header in [&b"PROXY UNKNOWN\r\n"[..], b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"] {
        let mut client = house.connect();
        let own = client.0.local_addr().expect("connected");
        client.send([header, ask.as_bytes()].concat());
        let body = client.answer().expect("an answer").body;
        assert_eq!(body, format!("{own} tls=false").as_bytes(), "the peer itself");
    }
    assert_eq!(house.close(), 0);
}

#[test]
fn without_its_proxy_header_a_connection_is_closed() {
    let house = proxied();
    for (count, bytes) in [
        post("/read", "ZZ").as_bytes(),
        b"PROXY TCP4 192.0.2.7 4321 443\r\nPOST / HTTP/1.1\r\nHost: h\r\n\r\n",
        b"PROXY UNKNOWN but the line does not end and does not end and does not end and does not end and does not end ..",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff",
    ]
    .into_iter()
    .enumerate()
    {
        let mut client = house.connect();
        client.send(bytes);
        let mut rest = Vec::new();
        // A reset is an end too: there may be bytes that nobody read.
        let _reset = client.0.read_to_end(&mut rest);
        assert_eq!(rest, b"", "closed without a word");
        until(|| turned_away(&house).len() == count + 1, || format!("{:?}", house.notes()));
    }
    let (mut silent, mut slow) = (house.connect(), house.connect());
    slow.send("PROXY TCP4 192.0.2.7");
    house.until_census(|census| census.greeting == 2);
    house.tick(HEAD);
    assert_eq!(house.census().greeting, 2, "not before its time");
    house.tick(1);
    for client in [&mut silent, &mut slow] {
        assert_eq!(client.answers(), [], "closed without a word");
    }
    assert_eq!(house.asked(), [""; 0]);
    assert_eq!(house.close(), 0);
}

#[test]
fn a_proxy_header_comes_before_tls() {
    let pki = pki();
    let welcome = Welcome {
        proxy_header: true,
        ..welcome(&pki.server)
    };
    let house = House::welcoming(timeouts(), 100, welcome);
    let mut plain = house.connect();
    plain.send("PROXY TCP4 192.0.2.7 198.51.100.1 4321 443\r\n");
    let mut client = over(plain.0, &pki, &[]);
    client.write_all(post("/peer", "").as_bytes()).expect("sent");
    let mut answer = [0; 512];
    let length = client.read(&mut answer).expect("an answer");
    assert!(String::from_utf8_lossy(&answer[..length]).ends_with("192.0.2.7:4321 tls=true"));
    drop(client);
    let mut bare = secure(&house, &pki, &[]);
    bare.write_all(b"x").expect_err("no header, no handshake");
    assert_eq!(house.close(), 0);
}
