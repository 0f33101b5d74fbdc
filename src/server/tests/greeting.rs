//! Before HTTP: TLS handshakes and PROXY headers, their deadline, and that the deadlines after them hold over TLS too.

use super::*;
use crate::tls::{Certificates, ClientTls, Identity, ServerTls};
use rustls::{ClientConnection, StreamOwned};
use std::io;

mod proxy;

const HEAD: u32 = 20;
const IDLE: u32 = 300;
const WRITE: u32 = 40;
const PARTING: u32 = 4;

/// What both sides of a handshake need.
struct Pki {
    server: ServerTls,
    client: ClientTls,
}

fn pki() -> Pki {
    let made = rcgen::generate_simple_self_signed(["hooks.example.com".to_owned()]).expect("a certificate");
    let chain = Certificates::parse(made.cert.pem().as_bytes()).expect("a certificate");
    let key = crate::event::Secret::new(made.signing_key.serialize_pem().into_bytes());
    Pki {
        server: ServerTls {
            identity: Identity::new(chain.clone(), key).expect("they belong together"),
            clients: None,
        },
        client: ClientTls {
            roots: Some(chain),
            identity: None,
            server_name: None,
        },
    }
}

fn welcome(tls: &ServerTls) -> Welcome {
    Welcome {
        proxy_header: false,
        tls: Some(tls.config(&[b"h2", b"http/1.1"]).expect("a configuration")),
    }
}

fn tls_house(pki: &Pki) -> House {
    House::welcoming(timeouts(), 100, welcome(&pki.server))
}

fn proxied() -> House {
    let welcome = Welcome {
        proxy_header: true,
        tls: None,
    };
    House::welcoming(timeouts(), 100, welcome)
}

/// A client over TLS that offers `alpn`.
fn secure(house: &House, pki: &Pki, alpn: &[&[u8]]) -> StreamOwned<ClientConnection, TcpStream> {
    over(house.connect().0, pki, alpn)
}

fn over(stream: TcpStream, pki: &Pki, alpn: &[&[u8]]) -> StreamOwned<ClientConnection, TcpStream> {
    let name = pki.client.name_for("hooks.example.com").expect("a name");
    let config = pki.client.config(alpn).expect("a configuration");
    StreamOwned::new(ClientConnection::new(config, name).expect("a client"), stream)
}

/// All that comes until the end; an end without `close_notify` is an error.
fn to_the_end(stream: &mut impl io::Read) -> String {
    let mut all = Vec::new();
    stream.read_to_end(&mut all).expect("an end in order");
    String::from_utf8_lossy(&all).into_owned()
}

fn turned_away(house: &House) -> Vec<String> {
    let said = |note| match note {
        Note::TurnedAway(why) => Some(why),
        _ => None,
    };
    house.notes().into_iter().filter_map(said).collect()
}

#[test]
fn http_1_over_tls_with_or_without_alpn_and_the_end_is_said() {
    let (pki, ask) = (pki(), "POST /peer HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n");
    let house = tls_house(&pki);
    for alpn in [&[][..], &[&b"http/1.1"[..]]] {
        let mut client = secure(&house, &pki, alpn);
        for _ in 0..2 {
            client.write_all(ask.as_bytes()).expect("sent");
            let mut answer = [0; 512];
            let length = client.read(&mut answer).expect("an answer");
            let text = String::from_utf8_lossy(&answer[..length]);
            assert!(text.starts_with("HTTP/1.1 200"), "{text}");
            assert!(text.ends_with("tls=true"), "{text}");
            house.until_census(|census| census.idle == 1);
        }
        house.tick(IDLE + 1);
        assert_eq!(to_the_end(&mut client), "", "closed, and told so");
        house.until_noted(&Note::Ended(ConnectionEnd::Idle));
    }
    // What was not agreed on is not guessed: no HTTP/2 without ALPN.
    let mut client = secure(&house, &pki, &[]);
    client.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").expect("sent");
    assert_eq!(to_the_end(&mut client), "", "hyper has no answer to it");
    house.until_noted(&Note::Ended(ConnectionEnd::Malformed));
    assert_eq!(turned_away(&house), [""; 0]);
    assert_eq!(house.close(), 0);
}

#[test]
fn http_2_is_agreed_on_by_alpn() {
    let pki = pki();
    let house = tls_house(&pki);
    runtime().block_on(async {
        let stream = tokio::net::TcpStream::connect(house.address).await.expect("a listener");
        let config = pki.client.config(&[b"h2", b"http/1.1"]).expect("a configuration");
        let name = pki.client.name_for("hooks.example.com").expect("a name");
        let stream = tokio_rustls::TlsConnector::from(config)
            .connect(name, stream)
            .await
            .expect("a handshake");
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        let io = hyper_util::rt::TokioIo::new(stream);
        let (mut sender, connection) = hyper::client::conn::http2::handshake(hyper_util::rt::TokioExecutor::new(), io)
            .await
            .expect("HTTP/2");
        let asking = async {
            let request = Request::post("https://h/peer")
                .body(Full::new(Bytes::new()))
                .expect("a request");
            let answer = sender.send_request(request).await.expect("an answer");
            assert_eq!(answer.status(), 200);
            let body = answer.into_body().frame().await.expect("a body").expect("a frame");
            assert!(body.into_data().expect("data").ends_with(b"tls=true"));
            drop(sender);
        };
        let (ended, ()) = tokio::join!(connection, asking);
        ended.expect("an end in order");
    });
    assert_eq!(house.close(), 0);
}

#[test]
fn what_is_no_handshake_is_closed_and_not_counted() {
    let pki = pki();
    let house = tls_house(&pki);
    let mut plain = house.connect();
    plain.send(post("/read", "ZZ"));
    let mut rest = Vec::new();
    plain.0.read_to_end(&mut rest).expect("an end");
    assert!(!rest.starts_with(b"HTTP/"), "an alert at most: {rest:?}");
    until(|| turned_away(&house).len() == 1, || format!("{:?}", house.notes()));
    // One that offers a protocol that we do not speak, and one that does not know our authority.
    for (pki, alpn) in [(&pki, &[&b"spdy/3"[..]][..]), (&self::pki(), &[][..])] {
        let mut client = secure(&house, pki, alpn);
        let before = turned_away(&house).len();
        client
            .write_all(post("/read", "ZZ").as_bytes())
            .expect_err("no handshake");
        drop(client);
        until(
            || turned_away(&house).len() == before + 1,
            || format!("{:?}", house.notes()),
        );
    }
    house.tick(PARTING + 1);
    house.until_census(|census| census == Census::default());
    assert_eq!(house.asked(), [""; 0]);
    let counted = |note: &Note| matches!(note, Note::Ended(_) | Note::Unasked(_) | Note::Refused(_));
    assert!(!house.notes().iter().any(counted), "{:?}", house.notes());
    assert_eq!(house.close(), 0);
}

#[test]
fn a_handshake_has_the_time_of_a_head_from_the_first_moment_on() {
    let pki = pki();
    let house = tls_house(&pki);
    // Silent, and with the beginning of a record.
    let (mut silent, mut slow) = (house.connect(), house.connect());
    slow.send(b"\x16\x03\x01\x02\x00\x01");
    house.until_census(|census| census.greeting == 2);
    house.tick(HEAD / 2);
    slow.send(b"\x00");
    house.tick(HEAD / 2);
    assert_eq!(house.census().greeting, 2, "not before its time");
    house.tick(1);
    for client in [&mut silent, &mut slow] {
        assert_eq!(client.answers(), [], "closed without a word");
    }
    until(|| turned_away(&house).len() == 2, || format!("{:?}", house.notes()));
    assert!(turned_away(&house)[0].contains("header timeout"));
    // Whoever has shaken hands has all the time of an idle connection.
    let mut patient = secure(&house, &pki, &[]);
    patient.conn.complete_io(&mut patient.sock).expect("a handshake");
    house.until_census(|census| census.idle == 1);
    house.tick(IDLE);
    patient.write_all(post("/read", "ZZ").as_bytes()).expect("sent");
    let mut answer = [0; 512];
    assert!(patient.read(&mut answer).expect("an answer") > 0);
    // And a head, over TLS as without it, its own.
    patient.write_all(b"POST /read HT").expect("sent");
    house.until_census(|census| census.head == 1);
    house.tick(HEAD + 1);
    assert!(to_the_end(&mut patient).starts_with("HTTP/1.1 408"));
    house.until_noted(&Note::Ended(ConnectionEnd::HeaderTimeout));
    assert_eq!(house.close(), 0);
}

#[test]
fn silent_handshakes_make_room_for_a_sender_and_do_not_hold_a_drain_up() {
    let pki = pki();
    let house = House::welcoming(timeouts(), 4, welcome(&pki.server));
    let silent: Vec<Client> = (0..4).map(|_| house.connect()).collect();
    house.until_census(|census| census.greeting == 4);
    let mut sender = secure(&house, &pki, &[]);
    until(|| house.occupancy.is_pressed(), || "nobody waits".into());
    house.tick(5);
    sender.write_all(post("/read", "ZZ").as_bytes()).expect("sent");
    let mut answer = [0; 512];
    assert!(sender.read(&mut answer).expect("an answer") > 0);
    assert!(house.census().greeting > 0, "others are still silent");
    assert_eq!(house.close(), 0);
    drop(silent);
}

#[test]
fn a_reader_that_stands_still_is_dropped_over_tls_too() {
    let pki = pki();
    let house = tls_house(&pki);
    let mut client = secure(&house, &pki, &[]);
    client.write_all(post("/big", "").as_bytes()).expect("sent");
    house.until_census(|census| census.stalled == 1);
    house.tick(WRITE);
    assert_eq!(house.census().stalled, 1, "not before its time");
    let mut some = vec![0; 8 << 20];
    client.read_exact(&mut some).expect("the answer begins");
    let dropped = Note::Ended(ConnectionEnd::WriteTimeout);
    until(
        || {
            house.tick(WRITE);
            house.notes().contains(&dropped)
        },
        || format!("{:?}", house.notes()),
    );
    assert_eq!(house.close(), 0);
}

#[test]
fn senders_show_a_certificate_where_one_is_asked_for() {
    let mut pki = pki();
    pki.server.clients = pki.client.roots.clone();
    let house = tls_house(&pki);
    let mut nobody = secure(&house, &pki, &[]);
    // TLS 1.3: the client is done first, and hears of it only when it reads.
    let _sent = nobody.write_all(post("/read", "ZZ").as_bytes());
    let error = nobody.read(&mut [0; 512]).expect_err("no certificate, no answer");
    assert!(error.to_string().contains("CertificateRequired"), "{error}");
    until(|| turned_away(&house).len() == 1, || format!("{:?}", house.notes()));
    drop(nobody);
    pki.client.identity = Some(pki.server.identity.clone());
    let mut known = secure(&house, &pki, &[]);
    known.write_all(post("/read", "ZZ").as_bytes()).expect("sent");
    let mut answer = [0; 512];
    let length = known.read(&mut answer).expect("an answer");
    assert!(answer[..length].starts_with(b"HTTP/1.1 200"));
    assert_eq!(house.asked(), ["/read"]);
    drop(known);
    assert_eq!(house.close(), 0);
}
