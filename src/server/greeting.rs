//! What comes before HTTP: a PROXY header of a trusted peer, a TLS handshake; both within the header timeout.

mod fault;
mod proxy;

use super::{
    Peer,
    watch::Watch,
    wire::{Moving, Wire},
};
use rustls::ServerConfig;
use std::{io, net::SocketAddr, sync::Arc};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

pub use fault::HandshakeFault;
pub use proxy::HeaderFault;
#[cfg(fuzzing)]
pub use proxy::proxy_header_of;

/// How a connection begins.
#[derive(Clone, Debug, Default)]
pub struct Welcome {
    /// It begins with a PROXY header, which is believed; without one it is closed.
    pub proxy_header: bool,
    /// Then TLS, with this configuration for as long as the connection lives; `None`: plain HTTP.
    pub tls: Option<Arc<ServerConfig>>,
}

/// Why a connection ended before HTTP began.
#[derive(Debug, thiserror::Error)]
pub enum Unwelcome {
    /// A trusted peer did not begin with a PROXY header.
    #[error("PROXY header: {0}")]
    Header(#[from] HeaderFault),
    /// No TLS, or none that both sides want.
    #[error("TLS handshake: {0}")]
    Handshake(io::Error),
    /// Not within the header timeout.
    #[error("PROXY header or TLS handshake: not within the header timeout")]
    TooSlow,
    /// The peer left before it had said anything, as a probe does.
    #[error("the peer left")]
    Left,
}

/// A connection on which HTTP may begin.
pub(super) struct Received {
    pub wire: Wire,
    pub peer: Peer,
}

/// The end of a greeting that went wrong; with a socket, if the peer should still hear why.
pub(super) struct Parted {
    pub why: Unwelcome,
    pub socket: Option<TcpStream>,
}

/// Reads the PROXY header and shakes hands, as far as `welcome` asks for it.
pub(super) async fn receive(
    mut stream: TcpStream,
    address: SocketAddr,
    welcome: Welcome,
    watch: Arc<Watch>,
) -> Result<Received, Parted> {
    let mut peer = Peer { address, tls: false };
    if welcome.proxy_header {
        match proxy::read(&mut stream).await {
            Ok(Some(said)) => peer.address = said,
            Ok(None) => {}
            Err(why) => return Err(Parted { why, socket: None }),
        }
    }
    let Some(config) = welcome.tls else {
        let wire = Wire::Plain(stream);
        return Ok(Received { wire, peer });
    };
    let handshake = TlsAcceptor::from(config).accept(Moving::new(stream, watch));
    match handshake.into_fallible().await {
        Ok(stream) => {
            peer.tls = true;
            let wire = Wire::secured(stream);
            Ok(Received { wire, peer })
        }
        Err((error, moving)) if error.kind() == io::ErrorKind::UnexpectedEof => Err(Parted {
            why: if moving.has_read() {
                Unwelcome::Handshake(error)
            } else {
                Unwelcome::Left
            },
            socket: None,
        }),
        // An alert is on its way, and a socket that is closed on unread bytes would reset it.
        Err((error, moving)) => Err(Parted {
            why: Unwelcome::Handshake(error),
            socket: Some(moving.into_stream()),
        }),
    }
}
