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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::timing;

    #[test]
    #[ignore = "a measurement; tests/timing/run"]
    fn secrets_are_compared_in_constant_time() {
        let right = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
        let secret = Secret::new(right.into());
        timing::holds(
            "Secret ==",
            right,
            |guess| Secret::new(guess.into()),
            |guess| *guess == secret,
        );
    }
}
