//! The JSON picker: `pointer LF json`; it finds what `serde_json` finds, and nothing where a key on the way came twice.
use bytes::Bytes;
use hookward::{event::Frames, provider::JsonPointer};
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// Deeper documents count as unreadable.
const MAX_DEPTH: usize = 64;

/// A document as `serde_json` reads it, with all of an object's keys.
enum Document {
    Text(String),
    /// A number of which `serde_json` keeps all digits.
    Whole(i128),
    Other,
    List(Vec<Document>),
    Object(Vec<(String, Document)>),
}

impl Document {
    fn depth(&self) -> usize {
        match self {
            Self::List(items) => 1 + items.iter().map(Self::depth).max().unwrap_or(0),
            Self::Object(members) => 1 + members.iter().map(|(_, member)| member.depth()).max().unwrap_or(0),
            _ => 0,
        }
    }

    /// The value at the pointer's tokens; `None` where there is none, or a key on the way comes twice.
    fn at(&self, tokens: &[String]) -> Option<&Self> {
        let Some((token, rest)) = tokens.split_first() else {
            return Some(self);
        };
        match self {
            Self::Object(members) => {
                let mut found = members.iter().filter(|(name, _)| name == token);
                let (_, member) = found.next()?;
                if found.next().is_some() { None } else { member.at(rest) }
            }
            Self::List(items) => {
                let index: usize = token.parse().ok().filter(|index: &usize| index.to_string() == *token)?;
                items.get(index)?.at(rest)
            }
            _ => None,
        }
    }
}

impl<'de> Deserialize<'de> for Document {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Document;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }
    fn visit_bool<E>(self, _: bool) -> Result<Document, E> {
        Ok(Document::Other)
    }
    fn visit_unit<E>(self) -> Result<Document, E> {
        Ok(Document::Other)
    }
    fn visit_f64<E>(self, _: f64) -> Result<Document, E> {
        Ok(Document::Other)
    }
    fn visit_i64<E>(self, value: i64) -> Result<Document, E> {
        Ok(Document::Whole(value.into()))
    }
    fn visit_u64<E>(self, value: u64) -> Result<Document, E> {
        Ok(Document::Whole(value.into()))
    }
    fn visit_str<E>(self, text: &str) -> Result<Document, E> {
        Ok(Document::Text(text.to_owned()))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Document, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element()? {
            items.push(item);
        }
        Ok(Document::List(items))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Document, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(Document::Object(members))
    }
}

pub fn check(data: &[u8]) {
    let Some(end) = data.iter().position(|byte| *byte == b'\n') else {
        return;
    };
    let (text, json) = (&data[..end], &data[end + 1..]);
    let Ok(text) = std::str::from_utf8(text) else { return };
    let Ok(pointer) = JsonPointer::parse(text) else {
        // Only for these reasons.
        let stray = text.split('~').skip(1).any(|after| !after.starts_with(['0', '1']));
        let tokens = text.split('/').skip(1);
        assert!(
            stray || tokens.count() >= 63 || !(text.is_empty() || text.starts_with('/')),
            "{text}"
        );
        return;
    };
    let found = pointer.text(json);
    let padded = [b" \t", json, b"\r\n "].concat();
    assert_eq!(found, pointer.text(&padded));

    // As it arrives, in frames of any size.
    let size = 1 + json.first().map_or(0, |byte| usize::from(*byte));
    let mut frames = Frames::default();
    json.chunks(size)
        .for_each(|piece| frames.push(Bytes::copy_from_slice(piece)));
    assert_eq!(frames.joined(), json);

    if serde_json::from_slice::<IgnoredAny>(json).is_err() {
        assert_eq!(found, None, "of no JSON");
    }
    let tokens: Vec<String> = text
        .split('/')
        .skip(1)
        .map(|token| token.replace("~1", "/").replace("~0", "~"))
        .collect();
    // A `*` takes the first of a list here, and no pointer of RFC 6901 has it.
    if text.split('/').any(|token| token == "*") {
        return;
    }
    // What serde_json does not read at all (halves of surrogate pairs, numbers beyond f64) may be read beside such values.
    let Ok(document) = serde_json::from_slice::<Document>(json) else {
        return;
    };
    if document.depth() > MAX_DEPTH {
        assert_eq!(found, None, "deeper than is read");
        return;
    }
    match document.at(&tokens) {
        Some(Document::Text(wanted)) => assert_eq!(found.as_deref(), Some(&**wanted)),
        Some(Document::Whole(wanted)) => assert_eq!(found.and_then(|text| text.parse().ok()), Some(*wanted)),
        // A float: refused, unless it is a whole number that is too long for serde_json (or -0).
        Some(Document::Other) => {
            let digits = |text: &str| text.trim_start_matches('-').bytes().all(|byte| byte.is_ascii_digit());
            assert!(found.as_deref().is_none_or(digits), "{found:?}");
        }
        Some(Document::List(_) | Document::Object(_)) | None => assert_eq!(found, None),
    }
}
