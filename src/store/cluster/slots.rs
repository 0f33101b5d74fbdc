//! Which node of a Cluster serves which of its 16384 slots.

use super::super::target::Server;
use redis::Value;

/// So many there are.
pub(super) const SLOTS: u16 = 16_384;

/// The slot of a key, or of its hash tag: what stands between the first `{` and the next `}`.
pub(super) fn slot(key: &[u8]) -> u16 {
    let tag = key.iter().position(|byte| *byte == b'{').and_then(|open| {
        let rest = &key[open + 1..];
        let close = rest.iter().position(|byte| *byte == b'}')?;
        (close > 0).then(|| &rest[..close])
    });
    crc16(tag.unwrap_or(key)) % SLOTS
}

/// CRC-16/XMODEM, by nibbles.
fn crc16(bytes: &[u8]) -> u16 {
    const TABLE: [u16; 16] = {
        let mut table = [0; 16];
        let (mut n, mut place) = (0_u16, 0);
        while place < 16 {
            let mut crc = n << 12;
            let mut bit = 0;
            while bit < 4 {
                crc = if crc & 0x8000 == 0 {
                    crc << 1
                } else {
                    (crc << 1) ^ 0x1021
                };
                bit += 1;
            }
            table[place] = crc;
            (n, place) = (n + 1, place + 1);
        }
        table
    };
    let step = |crc: u16, nibble: u8| (crc << 4) ^ TABLE[usize::from((crc >> 12) ^ u16::from(nibble))];
    bytes.iter().fold(0, |crc, byte| step(step(crc, byte >> 4), byte & 15))
}

/// A run of slots and their master.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) first: u16,
    pub(super) last: u16,
    pub(super) master: Server,
}

/// Reads the answer to `CLUSTER SLOTS` of the node at `asked`, in order of slots; `None` if it is none.
pub(super) fn ranges(answer: &Value, asked: &Server) -> Option<Vec<Range>> {
    let Value::Array(entries) = answer else { return None };
    let mut ranges = Vec::with_capacity(entries.len());
    for entry in entries {
        let Value::Array(entry) = entry else { return None };
        let [first, last, Value::Array(master), ..] = entry.as_slice() else {
            return None;
        };
        let host = match master.first()? {
            // Nameless: it is at the address at which it was asked.
            Value::Nil => asked.host.clone(),
            Value::BulkString(host) => match std::str::from_utf8(host).ok()? {
                "" => asked.host.clone(),
                // It does not know that node's name yet.
                "?" => continue,
                host => host.to_owned(),
            },
            _ => return None,
        };
        let (first, last) = (number(first)?, number(last)?);
        let port = number(master.get(1)?)?;
        if first > last || last >= SLOTS {
            return None;
        }
        ranges.push(Range {
            first,
            last,
            master: Server { host, port },
        });
    }
    ranges.sort_by_key(|range| range.first);
    Some(ranges)
}

fn number(value: &Value) -> Option<u16> {
    match value {
        Value::Int(number) => u16::try_from(*number).ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn keys_have_the_slots_that_redis_gives_them() {
        // From the specification, and `CLUSTER KEYSLOT` of a server.
        assert_eq!(crc16(b"123456789"), 0x31C3);
        for (key, expected) in [
            (&b"foo"[..], 12_182),
            (b"bar", 5061),
            (b"hw:{foo}", 12_182),
            (b"{user1000}.following", slot(b"user1000")),
            (b"foo{}{bar}", slot(b"foo{}{bar}")),
            (b"foo{{bar}}zap", slot(b"{bar")),
            (b"foo{bar}{zap}", 5061),
            (b"", 0),
        ] {
            assert_eq!(slot(key), expected, "{}", String::from_utf8_lossy(key));
        }
        assert_eq!(slot(b"foo{}{bar}"), crc16(b"foo{}{bar}") % SLOTS);
    }

    fn node(host: Value, port: i64) -> Value {
        Value::Array(vec![host, Value::Int(port), Value::BulkString(b"id".to_vec())])
    }

    #[test]
    fn an_answer_is_read_in_order_with_its_nameless_nodes() {
        let text = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        let entry = |first, last, node| Value::Array(vec![Value::Int(first), Value::Int(last), node]);
        let asked = Server::new("seed", 7000);
        let answer = Value::Array(vec![
            entry(101, 16_383, node(Value::Nil, 7001)),
            entry(50, 100, node(text("?"), 7002)),
            entry(0, 49, node(text("10.0.0.1"), 7000)),
        ]);
        let read = ranges(&answer, &asked).expect("an answer");
        let read: Vec<_> = read
            .iter()
            .map(|range| (range.first, range.last, range.master.to_string()))
            .collect();
        assert_eq!(
            read,
            [
                (0, 49, "10.0.0.1:7000".to_owned()),
                (101, 16_383, "seed:7001".to_owned())
            ]
        );
        for wrong in [
            Value::Nil,
            Value::Array(vec![Value::Int(1)]),
            Value::Array(vec![entry(5, 4, node(text("h"), 1))]),
            Value::Array(vec![entry(0, 16_384, node(text("h"), 1))]),
            Value::Array(vec![entry(0, 1, node(text("h"), 70_000))]),
            Value::Array(vec![entry(0, 1, Value::Array(vec![]))]),
        ] {
            assert_eq!(ranges(&wrong, &asked), None, "{wrong:?}");
        }
    }

    proptest! {
        #[test]
        fn every_key_has_a_slot(key in proptest::collection::vec(any::<u8>(), 0..64)) {
            prop_assert!(slot(&key) < SLOTS);
        }
    }
}
