//! TLS as configured: certificates and keys that were read and proven, and the rustls configurations made of them.
//!
//! One crypto provider (aws-lc-rs) for the whole process. What is kept is the PEM text, because clients of others
//! (Redis) take that; two settings are equal if their texts are, so a reload sees a rotated certificate.

mod pinned;

use crate::event::Secret;
use rustls::{
    ClientConfig, RootCertStore, ServerConfig, SignatureScheme,
    crypto::CryptoProvider,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
    server::WebPkiClientVerifier,
    sign::CertifiedKey,
};
use std::{
    fmt,
    sync::{Arc, LazyLock},
};

/// What can be wrong with certificates and keys.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TlsError {
    /// No `BEGIN CERTIFICATE` in it, or one that cannot be read.
    #[error("it holds no certificate in PEM form")]
    NoCertificate,
    /// No private key in it.
    #[error("it holds no private key in PEM form (PKCS#8, PKCS#1 or SEC1, not encrypted)")]
    NoKey,
    /// The key belongs to another certificate.
    #[error("the key does not belong to the certificate")]
    Mismatch,
    /// Not a name that a certificate can be for.
    #[error("it is neither a host name nor an address")]
    ServerName,
    /// rustls refuses it.
    #[error("{0}")]
    Refused(String),
}

/// One certificate or a chain of them, leaf first, or a bundle of authorities.
#[derive(Clone)]
pub struct Certificates {
    pem: Arc<[u8]>,
    list: Arc<[CertificateDer<'static>]>,
}

/// A certificate chain and the private key of its leaf, which belong together.
#[derive(Clone)]
pub struct Identity {
    chain: Certificates,
    key: Secret,
    certified: Arc<CertifiedKey>,
}

/// How we are a client: towards destinations and Redis.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ClientTls {
    /// Authorities that are believed; `None`: those of the system, or else those built in.
    pub roots: Option<Certificates>,
    /// Who we say we are.
    pub identity: Option<Identity>,
    /// The name that the certificate must be for; `None`: the host of the URL.
    pub server_name: Option<String>,
}

/// How we are a server: towards senders.
#[derive(Clone, PartialEq, Eq)]
pub struct ServerTls {
    /// Who we are.
    pub identity: Identity,
    /// Senders must show a certificate of one of these authorities; `None`: they need none.
    pub clients: Option<Certificates>,
}

/// The crypto provider of the process.
pub fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: LazyLock<Arc<CryptoProvider>> =
        LazyLock::new(|| Arc::new(rustls::crypto::aws_lc_rs::default_provider()));
    Arc::clone(&PROVIDER)
}

impl Certificates {
    /// Reads every certificate of a PEM text; at least one.
    pub fn parse(pem: &[u8]) -> Result<Self, TlsError> {
        let list = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
        let list = list.map_err(|_| TlsError::NoCertificate)?;
        if list.is_empty() {
            return Err(TlsError::NoCertificate);
        }
        Ok(Self {
            pem: pem.into(),
            list: list.into(),
        })
    }

    /// The text it was read from.
    pub fn pem(&self) -> &[u8] {
        &self.pem
    }

    /// The certificates, in order.
    pub fn list(&self) -> &[CertificateDer<'static>] {
        &self.list
    }

    fn roots(&self) -> Result<Arc<RootCertStore>, TlsError> {
        let mut roots = RootCertStore::empty();
        for certificate in self.list.iter() {
            roots.add(certificate.clone()).map_err(|error| refused(&error))?;
        }
        Ok(Arc::new(roots))
    }
}

impl PartialEq for Certificates {
    fn eq(&self, other: &Self) -> bool {
        self.pem == other.pem
    }
}

impl Eq for Certificates {}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Certificates({})", self.list.len())
    }
}

impl Identity {
    /// Takes a chain and the PEM text of the leaf's key; an error if they do not belong together.
    pub fn new(chain: Certificates, key: Secret) -> Result<Self, TlsError> {
        let der = PrivateKeyDer::from_pem_slice(key.expose()).map_err(|_| TlsError::NoKey)?;
        let signing = provider().key_provider.load_private_key(der);
        let certified = CertifiedKey::new(chain.list.to_vec(), signing.map_err(|_| TlsError::NoKey)?);
        match certified.keys_match() {
            Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => {}
            Err(rustls::Error::InconsistentKeys(_)) => return Err(TlsError::Mismatch),
            Err(error) => return Err(refused(&error)),
        }
        Ok(Self {
            chain,
            key,
            certified: Arc::new(certified),
        })
    }

    /// The chain, leaf first.
    pub fn chain(&self) -> &Certificates {
        &self.chain
    }

    /// The PEM text of the key.
    pub fn key(&self) -> &Secret {
        &self.key
    }

    /// Both, as rustls takes them.
    pub fn certified(&self) -> &Arc<CertifiedKey> {
        &self.certified
    }
}

impl PartialEq for Identity {
    fn eq(&self, other: &Self) -> bool {
        self.chain == other.chain && self.key == other.key
    }
}

impl Eq for Identity {}

impl ClientTls {
    /// The name that the certificate of `host` must be for.
    pub fn name_for(&self, host: &str) -> Result<ServerName<'static>, TlsError> {
        let name = self.server_name.as_deref().unwrap_or(host);
        ServerName::try_from(name.to_owned()).map_err(|_| TlsError::ServerName)
    }

    /// For connections that speak one of `alpn`, in order of preference; empty: nothing is offered.
    pub fn config(&self, alpn: &[&[u8]]) -> Result<Arc<ClientConfig>, TlsError> {
        let roots = match &self.roots {
            Some(given) => given.roots()?,
            None => system_roots(),
        };
        let builder = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|error| refused(&error))?
            .with_root_certificates(roots);
        let mut config = match &self.identity {
            None => builder.with_no_client_auth(),
            Some(identity) => builder.with_client_cert_resolver(Arc::new(Shown(Arc::clone(&identity.certified)))),
        };
        config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
        Ok(Arc::new(config))
    }
}

impl ServerTls {
    /// TLS 1.2 and 1.3, for connections that speak one of `alpn`.
    pub fn config(&self, alpn: &[&[u8]]) -> Result<Arc<ServerConfig>, TlsError> {
        let builder = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|error| refused(&error))?;
        let builder = match &self.clients {
            None => builder.with_no_client_auth(),
            Some(clients) => {
                let verifier = WebPkiClientVerifier::builder_with_provider(clients.roots()?, provider()).build();
                builder.with_client_cert_verifier(verifier.map_err(|error| TlsError::Refused(error.to_string()))?)
            }
        };
        let mut config = builder.with_cert_resolver(Arc::new(Shown(Arc::clone(&self.identity.certified))));
        config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
        Ok(Arc::new(config))
    }
}

/// Those of the system where there are any (`SSL_CERT_FILE` and `SSL_CERT_DIR` count), else Mozilla's, built in: an
/// image from scratch has none.
fn system_roots() -> Arc<RootCertStore> {
    static ROOTS: LazyLock<Arc<RootCertStore>> = LazyLock::new(|| {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if roots.is_empty() {
            roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        }
        Arc::new(roots)
    });
    Arc::clone(&ROOTS)
}

fn refused(error: &rustls::Error) -> TlsError {
    TlsError::Refused(error.to_string())
}

/// One identity for everybody who asks.
struct Shown(Arc<CertifiedKey>);

impl fmt::Debug for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shown")
    }
}

impl rustls::client::ResolvesClientCert for Shown {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

impl rustls::server::ResolvesServerCert for Shown {
    fn resolve(&self, _: rustls::server::ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::generate_simple_self_signed;

    fn signed(name: &str) -> (Vec<u8>, Vec<u8>) {
        let made = generate_simple_self_signed([name.to_owned()]).expect("a certificate");
        (
            made.cert.pem().into_bytes(),
            made.signing_key.serialize_pem().into_bytes(),
        )
    }

    #[test]
    fn a_key_must_belong_to_its_certificate() {
        let (cert, key) = signed("localhost");
        let chain = Certificates::parse(&cert).expect("a certificate");
        let identity = Identity::new(chain.clone(), Secret::new(key.clone())).expect("they belong together");
        assert_eq!(identity.chain().list().len(), 1);
        let (_, other) = signed("localhost");
        let error = |key: &[u8]| Identity::new(chain.clone(), Secret::new(key.to_vec())).err();
        assert_eq!(error(&other), Some(TlsError::Mismatch));
        assert_eq!(error(b"no key"), Some(TlsError::NoKey));
        assert_eq!(error(&cert), Some(TlsError::NoKey));
        assert_eq!(Certificates::parse(&key).err(), Some(TlsError::NoCertificate));
        assert_eq!(Certificates::parse(b"").err(), Some(TlsError::NoCertificate));
    }

    #[test]
    fn both_sides_make_a_configuration() {
        let (cert, key) = signed("localhost");
        let chain = Certificates::parse(&cert).expect("a certificate");
        let identity = Identity::new(chain.clone(), Secret::new(key)).expect("they belong together");
        let client = ClientTls {
            roots: Some(chain.clone()),
            identity: Some(identity.clone()),
            server_name: None,
        };
        let config = client.config(&[b"http/1.1"]).expect("a client");
        assert_eq!(config.alpn_protocols, [b"http/1.1".to_vec()]);
        assert!(client.name_for("app.internal").is_ok() && client.name_for("127.0.0.1").is_ok());
        assert_eq!(client.name_for("not a name").err(), Some(TlsError::ServerName));
        for clients in [None, Some(chain)] {
            let server = ServerTls {
                identity: identity.clone(),
                clients,
            };
            assert!(server.config(&[b"h2", b"http/1.1"]).is_ok());
        }
        assert!(ClientTls::default().config(&[]).is_ok());
    }
}
