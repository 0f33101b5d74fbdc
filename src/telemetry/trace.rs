//! Ids of a request: request id, W3C `traceparent`, and the nonces of ledger claims, from one generator a thread.

use crate::event::Nonce;
use data_encoding::HEXLOWER;
use http::{HeaderMap, HeaderName, HeaderValue};
use std::{cell::RefCell, fmt};

/// The header that carries a trace from hop to hop (<https://www.w3.org/TR/trace-context/>).
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// Runs `f` with the calling thread's own [`Entropy`], seeded from the operating system at the first call.
pub fn entropy<R>(f: impl FnOnce(&mut Entropy) -> R) -> R {
    thread_local! {
        static ENTROPY: RefCell<Entropy> = RefCell::new(Entropy::from_os());
    }
    ENTROPY.with_borrow_mut(f)
}

/// Unpredictable bytes without a system call each: the output of BLAKE3 under a secret key.
pub struct Entropy {
    stream: blake3::OutputReader,
    ready: [u8; 256],
    used: usize,
}

impl Entropy {
    /// Seeded with 32 bytes of the operating system.
    pub fn from_os() -> Self {
        let mut seed = [0; 32];
        // Not the crypto library's generator: its first call seeds itself from CPU jitter, which takes 20 ms of the first request.
        getrandom::fill(&mut seed).expect("the operating system gives random bytes");
        Self::from_seed(&seed)
    }

    /// Seeded by hand, so that a test can expect what comes.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self {
            stream: blake3::Hasher::new_keyed(seed).finalize_xof(),
            ready: [0; 256],
            used: 256,
        }
    }

    /// The next `N` bytes.
    pub fn bytes<const N: usize>(&mut self) -> [u8; N] {
        const { assert!(N <= 256, "one refill must satisfy one call") };
        if self.used + N > self.ready.len() {
            // 256 bytes are four BLAKE3 blocks: one refill lasts for several requests.
            self.stream.fill(&mut self.ready);
            self.used = 0;
        }
        let mut out = [0; N];
        let taken = &mut self.ready[self.used..self.used + N];
        out.copy_from_slice(taken);
        // What was handed out must not be found in memory again.
        taken.fill(0);
        self.used += N;
        out
    }

    /// The name of one claim attempt in the ledger.
    pub fn nonce(&mut self) -> Nonce {
        Nonce::from_bytes(self.bytes())
    }

    /// A new request id.
    pub fn request_id(&mut self) -> RequestId {
        // Crockford's alphabet in lower case: no letter that is misread when an operator types an id off a screen.
        const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
        let mut bits = u128::from_be_bytes(self.bytes());
        let mut id = RequestId {
            text: [0; RequestId::LONGEST],
            len: 26,
        };
        for place in id.text[..26].iter_mut().rev() {
            *place = ALPHABET[(bits & 31) as usize];
            bits >>= 5;
        }
        id
    }
}

/// Names one HTTP request, in answers, logs and towards the app (`X-Request-Id`).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct RequestId {
    text: [u8; RequestId::LONGEST],
    len: u8,
}

impl RequestId {
    const LONGEST: usize = 64;

    /// Takes over the id that a trusted hop gave; `None` unless it is 1 to 64 letters, digits and `-_.:=+/@`.
    pub fn accept(given: &[u8]) -> Option<Self> {
        let fits = (1..=Self::LONGEST).contains(&given.len())
            && given
                .iter()
                .all(|b| b.is_ascii_alphanumeric() || b"-_.:=+/@".contains(b));
        fits.then(|| {
            let mut text = [0; Self::LONGEST];
            text[..given.len()].copy_from_slice(given);
            let len = u8::try_from(given.len()).expect("at most 64 bytes");
            Self { text, len }
        })
    }

    /// The id as text: 26 characters, or what a trusted hop gave.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.text[..usize::from(self.len)]).expect("ids are ASCII")
    }

    /// The id as a header's value.
    pub fn to_header(&self) -> HeaderValue {
        HeaderValue::from_str(self.as_str()).expect("ids are printable ASCII")
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The trace that a request belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceParent {
    value: HeaderValue,
    minted: bool,
}

impl TraceParent {
    /// The request's own `traceparent` if there is exactly one and it is valid, else a new one.
    pub fn of(headers: &HeaderMap, entropy: &mut Entropy) -> Self {
        let mut given = headers.get_all(TRACEPARENT).iter();
        match (given.next(), given.next()) {
            (Some(value), None) if is_valid(value.as_bytes()) => Self {
                value: value.clone(),
                minted: false,
            },
            _ => Self::mint(entropy),
        }
    }

    /// The root of a new trace.
    pub fn mint(entropy: &mut Entropy) -> Self {
        // The specification forbids ids of zeros; setting one bit costs nothing and rules them out.
        let mut trace: [u8; 16] = entropy.bytes();
        let mut parent: [u8; 8] = entropy.bytes();
        trace[15] |= 1;
        parent[7] |= 1;
        let mut text = *b"00-................................-................-00";
        HEXLOWER.encode_mut(&trace, &mut text[3..35]);
        HEXLOWER.encode_mut(&parent, &mut text[36..52]);
        // Not sampled: nothing here records a span, so an app that samples would hang its spans on one that is missing.
        Self {
            value: HeaderValue::from_bytes(&text).expect("hex and dashes"),
            minted: true,
        }
    }

    /// What is sent to the app.
    pub fn value(&self) -> &HeaderValue {
        &self.value
    }

    /// The trace's id, 32 hex digits.
    pub fn trace_id(&self) -> &str {
        &self.value.to_str().expect("a valid traceparent is ASCII")[3..35]
    }

    /// It was made here: a `tracestate` that came in belongs to no valid trace and must not be passed on.
    pub fn is_minted(&self) -> bool {
        self.minted
    }
}

/// Section 3.2 of the specification: lower-case hex, no ids of zeros, version `ff` forbidden, and a version above `00`
/// may go on after a dash.
fn is_valid(text: &[u8]) -> bool {
    let hex = |part: &[u8]| part.iter().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let nonzero = |part: &[u8]| hex(part) && part.iter().any(|b| *b != b'0');
    let Some((head, tail)) = text.split_at_checked(55) else {
        return false;
    };
    let version = &head[..2];
    let tail_fits = tail.is_empty() || (version != b"00" && tail[0] == b'-' && tail.len() <= 200 && tail.is_ascii());
    tail_fits
        && hex(version)
        && version != b"ff"
        && (head[2], head[35], head[52]) == (b'-', b'-', b'-')
        && nonzero(&head[3..35])
        && nonzero(&head[36..52])
        && hex(&head[53..])
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    const GIVEN: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn headers(values: &[&str]) -> HeaderMap {
        values
            .iter()
            .map(|v| (TRACEPARENT, HeaderValue::from_str(v).expect("a header value")))
            .collect()
    }

    #[test]
    fn a_valid_traceparent_is_passed_on() {
        for given in [
            GIVEN,
            &GIVEN.replacen("00", "cc", 1),
            &format!("cc{}-more", &GIVEN[2..]),
        ] {
            let trace = TraceParent::of(&headers(&[given]), &mut Entropy::from_seed(&[1; 32]));
            assert_eq!(trace.value(), given);
            assert_eq!(trace.trace_id(), &GIVEN[3..35]);
            assert!(!trace.is_minted());
        }
    }

    #[test]
    fn a_broken_or_doubled_traceparent_is_replaced() {
        let mut entropy = Entropy::from_seed(&[2; 32]);
        let broken = [
            "",
            "00",
            &GIVEN[..54],
            &format!("{GIVEN}-more"),
            &format!("{GIVEN}x"),
            &GIVEN.to_uppercase(),
            &GIVEN.replacen("00", "ff", 1),
            &GIVEN.replace('-', "_"),
            &GIVEN.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)),
            &GIVEN.replace("00f067aa0ba902b7", &"0".repeat(16)),
            &GIVEN.replace("4bf9", "4bg9"),
        ];
        for given in broken {
            let trace = TraceParent::of(&headers(&[given]), &mut entropy);
            assert!(trace.is_minted(), "{given}");
            assert!(is_valid(trace.value().as_bytes()), "{trace:?}");
        }
        // The flag says that no span of ours was recorded.
        assert!(
            TraceParent::mint(&mut entropy)
                .value()
                .to_str()
                .is_ok_and(|text| text.ends_with("-00"))
        );
        assert!(TraceParent::of(&headers(&[GIVEN, GIVEN]), &mut entropy).is_minted());
        assert!(TraceParent::of(&headers(&[]), &mut entropy).is_minted());
    }

    #[test]
    fn ids_are_distinct_and_of_fixed_shape() {
        let mut seen = HashSet::new();
        for seed in 0..4 {
            let mut entropy = Entropy::from_seed(&[seed; 32]);
            for _ in 0..1000 {
                let id = entropy.request_id();
                assert_eq!(id.as_str().len(), 26);
                assert!(seen.insert(id.as_str().to_owned()), "{id} came twice");
                assert!(seen.insert(entropy.nonce().to_text()));
            }
        }
        assert_eq!(seen.len(), 8000);
        assert!(entropy(Entropy::request_id) != entropy(Entropy::request_id));
        let elsewhere = std::thread::spawn(|| entropy(Entropy::request_id))
            .join()
            .expect("no panic");
        assert!(elsewhere != entropy(Entropy::request_id));
    }

    #[test]
    fn only_harmless_ids_are_taken_over() {
        let uuid = "0191e7d0-6b1c-7cc0-98a5-7f2f3e9b0c11";
        assert_eq!(RequestId::accept(uuid.as_bytes()).expect("a uuid").as_str(), uuid);
        assert!(RequestId::accept(&[b'a'; 64]).is_some());
        for bad in ["", "a b", "a\nb", "é", "a\"b", &"a".repeat(65)] {
            assert!(RequestId::accept(bad.as_bytes()).is_none(), "{bad:?}");
        }
    }
}
