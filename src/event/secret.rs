//! Secret bytes: zeroed on drop, compared in constant time, and without any way to be printed.

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// The bytes of a secret. No `Debug`, no `Display`, no `Serialize`: it cannot reach a log by accident.
#[derive(Clone)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Takes the bytes over.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The bytes, for an engine that computes with them.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for Secret {}
