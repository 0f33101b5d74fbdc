//! Against real TLS servers: whom we believe, whom we say we are, and what a failure is called.

use super::*;
use crate::{
    event::Secret,
    tls::{Certificates, ClientTls, Identity, ServerTls},
    upstream::Secure,
};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, date_time_ymd,
};
use rustls::HandshakeKind;
use tokio_rustls::TlsAcceptor;

/// An authority of the test's own.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::new([]).expect("no names");
        // Two of one name would be told apart only by their keys.
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        Self(CertifiedIssuer::self_signed(params, key).expect("an authority"))
    }

    fn believed(&self) -> Certificates {
        Certificates::parse(self.0.pem().as_bytes()).expect("a certificate")
    }

    fn identity(&self, name: &str) -> Identity {
        self.dated(name, 2099)
    }

    /// Valid until a year's first day.
    fn dated(&self, name: &str, until: i32) -> Identity {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new([name.to_owned()]).expect("a name");
        params.not_before = date_time_ymd(2001, 1, 1);
        params.not_after = date_time_ymd(until, 1, 1);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let chain = params.signed_by(&key, &self.0).expect("a certificate");
        let chain = Certificates::parse(chain.pem().as_bytes()).expect("a certificate");
        Identity::new(chain, Secret::new(key.serialize_pem().into_bytes())).expect("they belong together")
    }
}

/// An app that speaks TLS, and answers `ok`.
struct TlsApp {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<Vec<u8>>>>,
    /// How each handshake went.
    handshakes: Arc<Mutex<Vec<HandshakeKind>>>,
}

impl TlsApp {
    async fn start(tls: &ServerTls, alpn: &[&[u8]], after: After) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let acceptor = TlsAcceptor::from(tls.config(alpn).expect("a server"));
        let app = Self {
            address: listener.local_addr().expect("an address"),
            requests: Arc::default(),
            handshakes: Arc::default(),
        };
        let (requests, handshakes) = (app.requests.clone(), app.handshakes.clone());
        let tasks = TaskTracker::new();
        let inner = tasks.clone();
        tasks.spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.expect("a connection");
                let (acceptor, requests, handshakes) = (acceptor.clone(), requests.clone(), handshakes.clone());
                inner.spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else {
                        return;
                    };
                    let kind = stream.get_ref().1.handshake_kind().expect("it is over");
                    handshakes.lock().expect("no panic").push(kind);
                    serve(stream, &requests, &|_| (OK.into(), after)).await;
                });
            }
        });
        app
    }

    fn spec(&self, settings: ClientTls) -> DestinationSpec {
        https(self.address.port(), settings)
    }

    fn handshakes(&self) -> Vec<HandshakeKind> {
        self.handshakes.lock().expect("no panic").clone()
    }
}

/// `https://localhost:port`, without the names that this machine may have for `localhost`.
fn https(port: u16, settings: ClientTls) -> DestinationSpec {
    let mut spec = spec(&format!("https://127.0.0.1:{port}"));
    let name = settings.server_name.clone().unwrap_or_else(|| "localhost".to_owned());
    spec.tls = Some(Secure::new(settings, &name).expect("they are good"));
    spec
}

fn server(identity: Identity) -> ServerTls {
    let clients = None;
    ServerTls { identity, clients }
}

fn believing(authority: &Authority) -> ClientTls {
    ClientTls {
        roots: Some(authority.believed()),
        ..ClientTls::default()
    }
}

/// The reason for which the destination is out of reach, and whether a byte was sent.
fn unreachable(result: Result<Reply, DeliveryError>) -> (String, bool) {
    match result {
        Err(DeliveryError::Unreachable { reason, sent, .. }) => (reason, sent),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_request_arrives_byte_for_byte_and_its_connection_serves_again() {
    let authority = Authority::new("ours");
    let app = TlsApp::start(&server(authority.identity("localhost")), &[b"http/1.1"], After::Next).await;
    let (outbound, spec) = (outbound(), app.spec(believing(&authority)));
    let body = "{\"a\":1}\r\n\0\u{e9}";
    for _ in 0..2 {
        let reply = outbound.send(&spec, post(body), TIME, ANSWER).await.expect("an answer");
        assert_eq!((reply.status, &reply.body[..]), (StatusCode::OK, &b"ok"[..]));
    }
    assert_eq!(
        app.handshakes().len(),
        1,
        "the second one came over the same connection"
    );
    assert_eq!(outbound.idle(), 1);
    let requests = app.requests.lock().expect("no panic").clone();
    let length = body.len();
    let expected = format!("POST /h/%41?x=+ HTTP/1.1\r\nhost: app.example\r\ncontent-length: {length}\r\n\r\n{body}");
    assert_eq!(requests, [expected.as_bytes(), expected.as_bytes()]);
    outbound.shutdown().await;
}

#[tokio::test]
async fn a_new_connection_resumes_the_session_of_an_old_one() {
    let authority = Authority::new("ours");
    let app = TlsApp::start(&server(authority.identity("localhost")), &[], After::Close).await;
    let (outbound, spec) = (outbound(), app.spec(believing(&authority)));
    for _ in 0..3 {
        outbound.send(&spec, post("x"), TIME, ANSWER).await.expect("an answer");
    }
    let kinds = app.handshakes();
    assert_eq!(kinds.len(), 3);
    assert_eq!(kinds[0], HandshakeKind::Full);
    assert_eq!(kinds[1..], [HandshakeKind::Resumed, HandshakeKind::Resumed]);
}

#[tokio::test]
async fn a_certificate_that_is_not_believed_is_unreachable_at_once_and_says_why() {
    let (authority, other) = (Authority::new("ours"), Authority::new("another"));
    let good = || server(authority.identity("localhost"));
    let named = |name: &str| ClientTls {
        server_name: Some(name.to_owned()),
        ..believing(&authority)
    };
    for (tls, settings, words) in [
        (good(), believing(&other), "UnknownIssuer"),
        // Those of the system do not know an authority of this test.
        (good(), ClientTls::default(), "UnknownIssuer"),
        (good(), named("app.internal"), "not valid for name \"app.internal\""),
        (
            server(authority.identity("elsewhere")),
            believing(&authority),
            "not valid for name \"localhost\"",
        ),
        (
            server(authority.dated("localhost", 2002)),
            believing(&authority),
            "certificate expired",
        ),
    ] {
        let app = TlsApp::start(&tls, &[], After::Next).await;
        let patient = DestinationSpec {
            connect_wait: TIME * 10,
            ..app.spec(settings)
        };
        // The time is not used up by trying again: no certificate gets better by it.
        let result = tokio::time::timeout(TIME, outbound().send(&patient, post("x"), TIME * 10, ANSWER)).await;
        let (reason, sent) = unreachable(result.expect("it is not tried again"));
        assert!(
            reason.starts_with("TLS with ") && reason.contains(words),
            "{words}: {reason}"
        );
        assert!(!sent);
        assert!(app.requests.lock().expect("no panic").is_empty());
    }
    // The name that the URL does not have.
    let app = TlsApp::start(&server(authority.identity("app.internal")), &[], After::Next).await;
    let reply = outbound()
        .send(&app.spec(named("app.internal")), post("x"), TIME, ANSWER)
        .await;
    assert!(reply.is_ok(), "{reply:?}");
}

#[tokio::test]
async fn an_address_is_a_name_too() {
    let authority = Authority::new("ours");
    let app = TlsApp::start(&server(authority.identity("127.0.0.1")), &[], After::Next).await;
    let mut spec = app.spec(believing(&authority));
    spec.tls = Some(Secure::new(believing(&authority), &spec.url.host).expect("an address"));
    let reply = outbound().send(&spec, post("x"), TIME, ANSWER).await;
    assert!(reply.is_ok(), "{reply:?}");
}

#[tokio::test]
async fn a_destination_that_asks_who_we_are_is_told() {
    let (authority, other) = (Authority::new("ours"), Authority::new("another"));
    let asking = ServerTls {
        clients: Some(authority.believed()),
        ..server(authority.identity("localhost"))
    };
    let app = TlsApp::start(&asking, &[], After::Next).await;
    let showing = |identity| ClientTls {
        identity,
        ..believing(&authority)
    };
    let result = outbound()
        .send(
            &app.spec(showing(Some(authority.identity("us")))),
            post("x"),
            TIME,
            ANSWER,
        )
        .await;
    assert!(result.is_ok(), "{result:?}");
    for (shown, words) in [(None, "CertificateRequired"), (Some(other.identity("us")), "alert")] {
        let result = outbound()
            .send(&app.spec(showing(shown)), post("x"), TIME, ANSWER)
            .await;
        let (reason, _) = unreachable(result);
        assert!(reason.contains(words), "{words}: {reason}");
    }
    assert_eq!(app.requests.lock().expect("no panic").len(), 1);
}

#[tokio::test]
async fn a_handshake_that_hangs_is_a_timeout_within_the_time() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let spec = https(port, ClientTls::default());
    let time = Duration::from_millis(50);
    let outbound = outbound();
    let result = tokio::time::timeout(TIME, outbound.send(&spec, post("x"), time, ANSWER)).await;
    assert!(is_timeout(&result.expect("it ends")));
    drop(listener);
}

#[tokio::test]
async fn what_is_no_tls_is_called_so() {
    let plain = App::start(|_| (OK.into(), After::Next)).await;
    for (answer, words) in [
        ("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", "plain http"),
        ("", "closed during the handshake"),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let tasks = TaskTracker::new();
        tasks.spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            let mut hello = [0; 4096];
            let _read = stream.read(&mut hello).await.expect("a hello");
            stream.write_all(answer.as_bytes()).await.expect("an answer");
            stream.shutdown().await.expect("the end");
            while stream.read(&mut hello).await.is_ok_and(|read| read > 0) {}
        });
        let result = outbound()
            .send(&https(port, ClientTls::default()), post("x"), TIME, ANSWER)
            .await;
        let (reason, sent) = unreachable(result);
        assert!(reason.contains(words) && !sent, "{words}: {reason}");
    }
    // A real one waits for the end of the head.
    let spec = https(plain.address.port(), ClientTls::default());
    assert!(is_timeout(
        &outbound()
            .send(&spec, post("x"), Duration::from_millis(50), ANSWER)
            .await
    ));
    assert!(plain.requests().is_empty());
}

#[tokio::test]
async fn a_server_that_speaks_only_http2_is_unreachable() {
    let authority = Authority::new("ours");
    let app = TlsApp::start(&server(authority.identity("localhost")), &[b"h2"], After::Next).await;
    let result = outbound()
        .send(&app.spec(believing(&authority)), post("x"), TIME, ANSWER)
        .await;
    let (reason, sent) = unreachable(result);
    assert!(reason.contains("NoApplicationProtocol") && !sent, "{reason}");
}

#[tokio::test]
async fn other_settings_never_meet_the_connections_of_the_old_ones() {
    let (authority, other) = (Authority::new("ours"), Authority::new("another"));
    let app = TlsApp::start(&server(authority.identity("localhost")), &[], After::Next).await;
    let (outbound, old) = (outbound(), app.spec(believing(&authority)));
    outbound.send(&old, post("x"), TIME, ANSWER).await.expect("an answer");
    assert_eq!(outbound.idle(), 1);
    // A reload that believes somebody else: nothing of the old trust is left.
    let (reason, _) = unreachable(
        outbound
            .send(&app.spec(believing(&other)), post("x"), TIME, ANSWER)
            .await,
    );
    assert!(reason.contains("UnknownIssuer"), "{reason}");
    assert_eq!(outbound.idle(), 0);
    // A request that began before it may end, and leaves nothing behind.
    outbound.send(&old, post("x"), TIME, ANSWER).await.expect("an answer");
    assert_eq!(outbound.idle(), 0);
    // Nor is a plain connection to the same place one of these.
    let again = app.spec(believing(&authority));
    outbound.send(&again, post("x"), TIME, ANSWER).await.expect("an answer");
    assert_eq!((outbound.idle(), app.handshakes().len()), (1, 3));
    assert!(
        outbound
            .0
            .pool
            .take(&spec(&format!("http://{}", app.address)))
            .is_none()
    );
}
