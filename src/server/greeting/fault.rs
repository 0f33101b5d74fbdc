//! Why TLS handshakes fail: a closed list of causes, for counters and summaries.

use super::Unwelcome;
use rustls::Error;
use std::io;

/// Why a TLS handshake failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandshakeFault {
    /// The bytes are not TLS: plain HTTP, mostly.
    NotTls,
    /// No TLS version, cipher suite or ALPN protocol in common.
    Incompatible,
    /// The client shows no certificate, or one that `client_ca` does not lead to.
    ClientCertificate,
    /// The client ended the handshake with an alert: it does not trust our certificate, mostly.
    Alert,
    /// Not within the header timeout.
    Timeout,
    /// The client left in the middle.
    Disconnected,
    /// Anything else.
    Other,
}

impl HandshakeFault {
    /// Every cause, in the order of [`Self::LABELS`].
    pub const ALL: [Self; 7] = [
        Self::NotTls,
        Self::Incompatible,
        Self::ClientCertificate,
        Self::Alert,
        Self::Timeout,
        Self::Disconnected,
        Self::Other,
    ];
    /// Every label, indexed by `fault as usize`.
    pub const LABELS: [&'static str; Self::ALL.len()] = [
        "not_tls",
        "incompatible",
        "client_certificate",
        "alert",
        "timeout",
        "disconnected",
        "other",
    ];

    fn of(error: &io::Error) -> Self {
        let tls = error.get_ref().and_then(|error| error.downcast_ref::<Error>());
        match (tls, error.kind()) {
            (Some(Error::InvalidMessage(_)), _) => Self::NotTls,
            (Some(Error::PeerIncompatible(_) | Error::NoApplicationProtocol), _) => Self::Incompatible,
            (Some(Error::NoCertificatesPresented | Error::InvalidCertificate(_)), _) => Self::ClientCertificate,
            (Some(Error::AlertReceived(_)), _) => Self::Alert,
            (None, io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe) => {
                Self::Disconnected
            }
            _ => Self::Other,
        }
    }
}

impl Unwelcome {
    /// The cause, if a TLS handshake failed. A connection that ends silently may have waited for its PROXY header.
    pub fn handshake_fault(&self) -> Option<HandshakeFault> {
        match self {
            Self::Handshake(error) => Some(HandshakeFault::of(error)),
            Self::TooSlow => Some(HandshakeFault::Timeout),
            Self::Header(_) | Self::Left => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_indexed_by_the_fault() {
        for (index, fault) in HandshakeFault::ALL.into_iter().enumerate() {
            assert_eq!(fault as usize, index);
        }
    }
}
