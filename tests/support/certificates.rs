//! An authority of one test, a server on 127.0.0.1 and a client that it vouches for.

use hookward::{
    event::Secret,
    tls::{Certificates, ClientTls, Identity},
};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use std::{
    fs,
    path::PathBuf,
    sync::atomic::{AtomicU32, Ordering},
};

/// Makes certificates.
pub struct Authority {
    pem: String,
    server: (String, String),
    client: (String, String),
    directory: PathBuf,
}

impl Authority {
    pub fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.distinguished_name.push(DnType::CommonName, "the authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).expect("a certificate");
        let issuer = Issuer::new(params, key);
        let made = |name: &str| {
            let key = KeyPair::generate().expect("a key");
            let mut params = CertificateParams::new([name.to_owned()]).expect("parameters");
            params.distinguished_name.push(DnType::CommonName, name);
            let certificate = params.signed_by(&key, &issuer).expect("a certificate");
            (certificate.pem(), key.serialize_pem())
        };
        Self {
            pem: certificate.pem(),
            server: made("127.0.0.1"),
            client: made("hookward"),
            directory: std::env::temp_dir().join(format!("hookward-tls-{}-{number}", std::process::id())),
        }
    }

    /// The files of a server: `ca.pem`, `server.pem`, `server.key`.
    pub fn write(&self) -> PathBuf {
        fs::create_dir_all(&self.directory).expect("a directory can be made");
        let files = [
            ("ca.pem", &self.pem),
            ("server.pem", &self.server.0),
            ("server.key", &self.server.1),
        ];
        for (name, text) in files {
            fs::write(self.directory.join(name), text).expect("a file can be written");
        }
        self.directory.clone()
    }

    /// Believes this authority, and shows a certificate of it.
    pub fn client(&self) -> ClientTls {
        let read = |pem: &str| Certificates::parse(pem.as_bytes()).expect("certificates");
        let (chain, key) = &self.client;
        let identity = Identity::new(read(chain), Secret::new(key.clone().into_bytes()));
        ClientTls {
            roots: Some(read(&self.pem)),
            identity: Some(identity.expect("they belong together")),
            server_name: None,
        }
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        let _already_removed = fs::remove_dir_all(&self.directory);
    }
}
