//! Clients that speak TLS with rustls directly.

use super::wire::Connection;
use rustls::{
    ClientConfig, ClientConnection, StreamOwned,
    pki_types::{CertificateDer, pem::PemObject},
};
use std::{
    net::{SocketAddr, TcpStream},
    sync::Arc,
    time::Duration,
};

/// The name that the sidecar's certificates are for.
pub const NAME: &str = "hooks.example.com";

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
