//! A certificate authority of a test's own, and clients that speak TLS with rustls directly.

use super::wire::Connection;
use rcgen::{CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use std::{
    net::{SocketAddr, TcpStream},
    sync::Arc,
    time::Duration,
};

/// The name that the sidecar's certificates are for.
pub const NAME: &str = "hooks.example.com";

/// Signs certificates.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key, PEM.
#[derive(Clone)]
pub struct Issued {
    pub cert: String,
    pub key: String,
}

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::new([]).expect("no names");
        params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params
            .distinguished_name
            .push(rcgen::DnType::CommonName, "a test's authority");
        let key = KeyPair::generate().expect("a key");
        Self(CertifiedIssuer::self_signed(params, key).expect("an authority"))
    }

    pub fn pem(&self) -> String {
        self.0.pem()
    }

    pub fn issue(&self, name: &str) -> Issued {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new([name.to_owned()]).expect("a name");
        Issued {
            cert: params.signed_by(&key, &self.0).expect("a certificate").pem(),
            key: key.serialize_pem(),
        }
    }

    /// A configuration of a client that believes this authority.
    pub fn client(&self, alpn: &[&[u8]], identity: Option<&Issued>) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        let root = CertificateDer::from_pem_slice(self.pem().as_bytes()).expect("PEM");
        roots.add(root).expect("an authority");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("TLS 1.2 and 1.3")
            .with_root_certificates(roots);
        let mut config = match identity {
            None => builder.with_no_client_auth(),
            Some(issued) => {
                let cert = CertificateDer::from_pem_slice(issued.cert.as_bytes()).expect("PEM");
                let key = PrivateKeyDer::from_pem_slice(issued.key.as_bytes()).expect("PEM");
                builder.with_client_auth_cert(vec![cert], key).expect("they match")
            }
        };
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        Arc::new(config)
    }
}

/// A connection over TLS after its handshake, and the certificate that the other side showed (DER).
pub fn connect(to: SocketAddr, config: &Arc<ClientConfig>) -> std::io::Result<(Connection, Vec<u8>)> {
    shake_hands(TcpStream::connect(to)?, config)
}

/// The same over a connection on which something was sent before.
pub fn shake_hands(mut socket: TcpStream, config: &Arc<ClientConfig>) -> std::io::Result<(Connection, Vec<u8>)> {
    socket.set_nodelay(true)?;
    socket.set_read_timeout(Some(Duration::from_secs(30)))?;
    let name = NAME.try_into().expect("a name");
    let mut session = ClientConnection::new(config.clone(), name).expect("a client");
    while session.is_handshaking() {
        session.complete_io(&mut socket)?;
    }
    let shown = session
        .peer_certificates()
        .and_then(<[_]>::first)
        .map(|first| first.to_vec());
    let below = socket.try_clone()?;
    let stream = StreamOwned::new(session, socket);
    Ok((
        Connection::through(Box::new(stream), below),
        shown.expect("a server shows one"),
    ))
}

/// DER of a PEM certificate.
pub fn der(pem: &str) -> Vec<u8> {
    CertificateDer::from_pem_slice(pem.as_bytes()).expect("PEM").to_vec()
}
