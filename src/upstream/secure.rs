//! TLS towards a destination: made once for all of its connections, and its failures in words.

use crate::tls::{ClientTls, TlsError};
use rustls::pki_types::ServerName;
use std::{
    io,
    sync::atomic::{AtomicU64, Ordering},
};
use tokio::{io::AsyncWriteExt, net::TcpStream};
use tokio_rustls::{TlsConnector, client::TlsStream};

/// TLS towards one destination. Clones share its sessions, so that a new connection resumes an old one's.
#[derive(Clone)]
pub struct Secure {
    settings: ClientTls,
    name: ServerName<'static>,
    connector: TlsConnector,
    id: u64,
}

impl Secure {
    /// For connections to `host` (without brackets), whose certificate must be for `server_name` or else for it.
    ///
    /// An error if the name is none, or rustls refuses the settings.
    pub fn new(settings: ClientTls, host: &str) -> Result<Self, TlsError> {
        static MADE: AtomicU64 = AtomicU64::new(0);
        let name = settings.name_for(host)?;
        let connector = TlsConnector::from(settings.config(&[b"http/1.1"])?);
        Ok(Self {
            settings,
            name,
            connector,
            id: MADE.fetch_add(1, Ordering::Relaxed),
        })
    }

    /// What tells these settings from those of another reload: a later one has a larger number.
    pub(super) fn id(&self) -> u64 {
        self.id
    }

    /// Does the destination prove its name over this connection, which then ends? The error is a sentence for operators.
    pub async fn try_on(&self, stream: TcpStream) -> Result<(), String> {
        let mut stream = self.greet(stream).await?;
        // A polite end: it may log what ends otherwise.
        let _gone = stream.shutdown().await;
        Ok(())
    }

    /// A connection over which the destination has proven its name. The error is a sentence for operators.
    pub(super) async fn greet(&self, stream: TcpStream) -> Result<Box<TlsStream<TcpStream>>, String> {
        match self.connector.connect(self.name.clone(), stream).await {
            Ok(stream) => Ok(Box::new(stream)),
            Err(error) => Err(format!("TLS with {}: {}", self.name.to_str(), in_words(&error))),
        }
    }
}

/// Equal if the settings and the name are: what rustls made of them says nothing more.
impl PartialEq for Secure {
    fn eq(&self, other: &Self) -> bool {
        self.settings == other.settings && self.name == other.name
    }
}

impl Eq for Secure {}

fn in_words(error: &io::Error) -> String {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>());
    match cause {
        Some(rustls::Error::InvalidMessage(_)) => format!("{error} (does it speak plain http there?)"),
        None if error.kind() == io::ErrorKind::UnexpectedEof => {
            "the connection was closed during the handshake".to_owned()
        }
        _ => error.to_string(),
    }
}
