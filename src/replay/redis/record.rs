//! A record as Redis keeps it: its name, and its text, which `claim.lua` describes.

use super::{MAX_MILLIS, millis};
use crate::{
    event::{Clock, DeliveryKey, DestinationName, IdDigest, LabelDigest, MacDigest, UnsignedValues, Values, Variant},
    replay::{Delivered, Grant, Marks, Settlement, SourceTag, Succeeded, lately},
};
use std::{io::Write, time::Duration};

/// The name of a record: a name of the configuration and a digest, never text from outside, and one slot of a Cluster.
pub(super) fn name(source: &SourceTag, key: &DeliveryKey) -> String {
    let source = source.name().as_str();
    let mut record = String::with_capacity(source.len() + 49);
    record.push_str("hw:{");
    record.push_str(source);
    record.push('/');
    key.write_text(&mut record);
    record.push('}');
    record
}

/// What the names of a source's records begin with, and those of no other's.
pub(super) fn prefix(source: &SourceTag) -> String {
    format!("hw:{{{}/", source.name())
}

/// A claim as it was granted: the record, and Redis's time (ms) by which it was.
pub(super) fn granted(record: &[u8], lease: Duration) -> Option<(Grant, i64)> {
    let mut parts = std::str::from_utf8(record).ok()?.strip_prefix("P ")?.split(' ');
    let mut number = || parts.next()?.parse::<i64>().ok();
    let (fence, attempt, until) = (number()?, number()?, number()?);
    let (_owner, _marks, redelivery) = Marks::read(parts.next()?.as_bytes())?;
    let delivered = parts.map(|name| DestinationName::parse(name).ok());
    let grant = Grant {
        fence: fence.try_into().ok()?,
        attempt: attempt.try_into().ok()?,
        delivered: delivered.collect::<Option<Vec<_>>>()?,
        redelivery,
    };
    Some((grant, until.checked_sub_unsigned(millis(lease))?))
}

/// What a delivered record says; `left`: how long it lives still.
pub(super) fn delivered(record: &[u8], left: Duration) -> Option<Delivered> {
    // D fence n at again tail; the tail may hold any byte.
    let mut parts = record.splitn(6, |&byte| byte == b' ');
    let attempts = (parts.next()? == b"D").then(|| parts.nth(1))??;
    let (_again, marks, _) = Marks::read(parts.nth(1)?)?;
    let tail = Tail::read(parts.next()?)?;
    Some(Delivered {
        values: tail.values,
        marks,
        mac: tail.mac,
        attempts: std::str::from_utf8(attempts).ok()?.parse().ok()?,
        left,
    })
}

/// The record of a delivery once all have had it.
pub(super) fn write_delivered(settlement: &Settlement, clock: &dyn Clock) -> Vec<u8> {
    let at = match settlement.succeeded {
        // A fence is Redis's time, µs, or a few more.
        Succeeded::AfterClaim(time) => (settlement.fence / 1000).saturating_add(whole_millis(time)),
        // Redis was not asked when it began: its time is not known.
        Succeeded::Ago(time) => {
            let now = u64::try_from(clock.wall().as_millis()).unwrap_or_default();
            now.saturating_sub(whole_millis(time))
        }
    };
    let mut record = Vec::with_capacity(128);
    let (fence, attempt) = (settlement.fence, settlement.attempt.max(1));
    write!(record, "D {fence} {attempt} {at} 0").expect("writing to a Vec cannot fail");
    if let Some(variant) = settlement.values.pending() {
        // settle.lua takes it out of the variants that came before the delivery, and off the record.
        let mut own = String::from("?");
        variant.write_text(&mut own);
        record.extend_from_slice(own.as_bytes());
    }
    record.push(b' ');
    Tail::write(settlement, &mut record);
    record
}

fn whole_millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(MAX_MILLIS).min(MAX_MILLIS)
}

/// The tail of a delivered record: 8 bytes of its source's digest, one byte that says which parts follow, these parts, and
/// the event's name.
pub(super) struct Tail<'a> {
    values: Values,
    mac: Option<MacDigest>,
    event: &'a [u8],
}

const HAS_ID: u8 = 1;
const HAS_MAC: u8 = 2;
const HAS_EVENT: u8 = 4;
const HAS_TENANT: u8 = 8;
const HAS_TIME: u8 = 16;

impl<'a> Tail<'a> {
    pub(super) fn read(tail: &'a [u8]) -> Option<Self> {
        let (_source, rest) = tail.split_first_chunk::<8>()?;
        let (&kinds, mut rest) = rest.split_first()?;
        let all = HAS_ID | HAS_MAC | HAS_EVENT | HAS_TENANT | HAS_TIME;
        let kinds = kinds.checked_sub(b'0').filter(|kinds| *kinds <= all)?;
        let id = part::<16>(&mut rest, kinds, HAS_ID)?.map(IdDigest::from_bytes);
        let mac = part::<16>(&mut rest, kinds, HAS_MAC)?.map(MacDigest::from_bytes);
        let event = part::<8>(&mut rest, kinds, HAS_EVENT)?.map(LabelDigest::from_bytes);
        let tenant = part::<8>(&mut rest, kinds, HAS_TENANT)?.map(LabelDigest::from_bytes);
        let time = part::<8>(&mut rest, kinds, HAS_TIME)?.map(Variant::from_bytes);
        Some(Self {
            values: time.map_or(Values::Unsigned(UnsignedValues { id, event, tenant }), Values::Time),
            mac,
            event: rest,
        })
    }

    /// The event, if it is known.
    pub(super) fn event(&self) -> Option<&'a str> {
        let event = std::str::from_utf8(self.event).ok()?;
        (!event.is_empty()).then_some(event)
    }

    fn write(settlement: &Settlement, to: &mut Vec<u8>) {
        let (unsigned, time) = match &settlement.values {
            Values::Unsigned(unsigned) => (*unsigned, None),
            Values::Time(time) => (UnsignedValues::default(), Some(time.as_bytes())),
        };
        let parts: [(u8, Option<&[u8]>); 5] = [
            (HAS_ID, unsigned.id.as_ref().map(|id| &id.as_bytes()[..])),
            (HAS_MAC, settlement.mac.as_ref().map(|mac| &mac.as_bytes()[..])),
            (HAS_EVENT, unsigned.event.as_ref().map(|event| &event.as_bytes()[..])),
            (
                HAS_TENANT,
                unsigned.tenant.as_ref().map(|tenant| &tenant.as_bytes()[..]),
            ),
            (HAS_TIME, time.map(|time| &time[..])),
        ];
        to.extend_from_slice(&settlement.source.digest().to_le_bytes());
        let kinds = parts.iter().filter(|(_, part)| part.is_some()).map(|(kind, _)| kind);
        to.push(b'0' + kinds.sum::<u8>());
        for part in parts.into_iter().filter_map(|(_, part)| part) {
            to.extend_from_slice(part);
        }
        let event = lately::kept(settlement.event.as_ref());
        to.extend_from_slice(event.map_or(&[], |event| event.as_str().as_bytes()));
    }
}

/// Takes one part of `N` bytes off `rest` if `kinds` has its bit; `None` if the tail is too short.
#[expect(clippy::option_option, reason = "a broken tail is told from an absent part")]
fn part<const N: usize>(rest: &mut &[u8], kinds: u8, bit: u8) -> Option<Option<[u8; N]>> {
    if kinds & bit == 0 {
        return Some(None);
    }
    let (part, after) = rest.split_first_chunk::<N>()?;
    *rest = after;
    Some(Some(*part))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{EventName, SourceName, TestClock, Timestamp};

    fn settlement(id: Option<u8>, mac: Option<u8>, event: Option<&str>) -> Settlement {
        let id = id.map(|byte| IdDigest::from_bytes([byte; 16]));
        Settlement {
            key: DeliveryKey::from_bytes([7; 32]),
            source: SourceTag::of(&SourceName::parse("acme").expect("a name")),
            fence: 1_795_000_000_000_123,
            attempt: 2,
            keep: Duration::from_hours(1),
            open: Duration::from_hours(1),
            required: vec![DestinationName::upstream()],
            delivered: vec![DestinationName::upstream()],
            last: true,
            succeeded: Succeeded::AfterClaim(Duration::from_millis(250)),
            event: event.map(|event| EventName::parse(event).expect("an event")),
            values: id.map_or(Values::default(), Values::of_id),
            mac: mac.map(|byte| MacDigest::from_bytes([byte; 16])),
        }
    }

    #[test]
    fn a_record_s_name_begins_as_those_of_its_source_do_and_of_no_other() {
        let of = |source: &str| SourceTag::of(&SourceName::parse(source).expect("a name"));
        let name = name(&of("acme"), &DeliveryKey::from_bytes([7; 32]));
        let rest = name.strip_prefix(&prefix(&of("acme"))).expect("its own");
        assert!(rest.len() < name.len() && rest.ends_with('}') && !rest.contains('/'));
        assert!(
            ["acm", "acme-2", "stripe"]
                .iter()
                .all(|other| !name.starts_with(&prefix(&of(other))))
        );
    }

    #[test]
    fn what_was_delivered_is_read_as_it_was_written() {
        let clock = TestClock::at(Timestamp::from_secs(1_795_000_100));
        // Digests that look like the text around them.
        for (id, mac) in [
            (None, None),
            (Some(b' '), None),
            (None, Some(b'0')),
            (Some(0), Some(b'D')),
        ] {
            for event in [None, Some("push"), Some("a b")] {
                let wanted = settlement(id, mac, event);
                let record = write_delivered(&wanted, &clock);
                let read = delivered(&record, Duration::from_secs(9)).expect("it is one");
                assert_eq!((read.attempts, read.left), (2, Duration::from_secs(9)));
                assert!(read.values == wanted.values && read.mac == wanted.mac);
                let mut head = String::from("D 1795000000000123 2 1795000000250 0");
                if let Some(variant) = wanted.values.variant() {
                    head.push('?');
                    variant.write_text(&mut head);
                }
                head.push(' ');
                let tail = record
                    .strip_prefix(head.as_bytes())
                    .expect("its time is that of its fence");
                assert_eq!(Tail::read(tail).expect("a tail").event(), event);
            }
        }
        let mut late = settlement(None, None, None);
        late.succeeded = Succeeded::Ago(Duration::from_secs(40));
        let record = write_delivered(&late, &clock);
        assert!(record.starts_with(b"D 1795000000000123 2 1795000060000 0 "));
    }

    #[test]
    fn what_no_script_writes_is_no_record() {
        let lease = Duration::from_secs(30);
        let (grant, now) = granted(b"P 17 3 1795000030000 0abc a b-2", lease).expect("a claim");
        assert_eq!((grant.fence, grant.attempt, now), (17, 3, 1_795_000_000_000));
        assert_eq!(grant.delivered.len(), 2);
        for bad in [
            "",
            "P",
            "P 1 2 3",
            "F 1 2 0 - a",
            "P x 2 3 o",
            "P 1 -2 3 o",
            "P 1 2 3 o A",
            "P 1 2 3 o  a",
        ] {
            assert!(granted(bad.as_bytes(), lease).is_none(), "{bad:?}");
        }
        for bad in [
            &b"D 1 1 1 0 1234567"[..],
            b"D 1 1 1 0 12345678",
            b"D 1 1 1 0 12345678P",
            b"D 1 1 1 0+x 123456780",
            b"D 1 1 1 0 123456781short",
            b"D 1 x 1 0 123456780",
            b"F 1 1 0 - 123456780",
            b"D 1 1 1",
        ] {
            assert!(delivered(bad, lease).is_none(), "{bad:?}");
        }
        assert!(delivered(b"D 1 1 1 0 123456780", lease).is_some());
    }
}
