//! A source as the ledgers tell it from others.

use crate::event::SourceName;

/// A source's name, which its records in Redis bear, and 64 bits of a digest of namespace and name, by which an
/// in-process ledger tells it and by which a record says whose it is where several namespaces share a Redis. The same
/// after a reload. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceTag {
    name: SourceName,
    digest: u64,
}

impl SourceTag {
    /// The tag of a source without a namespace.
    pub fn of(source: &SourceName) -> Self {
        Self::within("", source)
    }

    /// The tag of a source within `redis.namespace`.
    pub fn within(namespace: &str, source: &SourceName) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("hookward 2026-11 source of a record");
        hasher.update(&(namespace.len() as u64).to_le_bytes());
        hasher.update(namespace.as_bytes());
        hasher.update(source.as_str().as_bytes());
        let mut digest = [0; 8];
        hasher.finalize_xof().fill(&mut digest);
        Self {
            name: source.clone(),
            digest: u64::from_le_bytes(digest),
        }
    }

    /// The source's name.
    pub fn name(&self) -> &SourceName {
        &self.name
    }

    pub(super) fn digest(&self) -> u64 {
        self.digest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn namespaces_and_names_do_not_run_into_each_other() {
        let tag = |namespace: &str, name: &str| {
            let name = SourceName::parse(name).expect("a name");
            SourceTag::within(namespace, &name).digest()
        };
        assert_eq!(tag("a", "bc"), tag("a", "bc"));
        assert_ne!(tag("a", "bc"), tag("ab", "c"));
        assert_ne!(tag("", "bc"), tag("a", "bc"));
    }
}
