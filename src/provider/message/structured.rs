//! Structured fields (RFC 9651) read strictly: bounded in number, and nothing in them twice.
//!
//! The grammar takes the last of two equal keys; another parser may take the first one, so here they are refused.

use http::{HeaderMap, HeaderName};
use sfv::{
    BareItem, BareItemFromInput, ItemSerializer, Key, KeyRef, ListSerializer, Parser,
    visitor::{DictionaryVisitor, EntryVisitor, InnerListVisitor, ItemVisitor, ParameterVisitor},
};
use std::cell::Cell;

/// Members of a dictionary: one signature each, and every proxy on the way may add its own.
pub const MAX_MEMBERS: usize = 16;
/// Items of an inner list: a webhook has not that many components worth covering.
pub const MAX_ITEMS: usize = 32;
/// Parameters of one item or list.
const MAX_PARAMS: usize = 16;

/// A value and its parameters.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// The value.
    pub value: BareItem,
    /// Its parameters, in order.
    pub params: Params,
}

/// Parameters, in order; no key comes twice.
pub type Params = Vec<(Key, BareItem)>;

/// A member of a dictionary.
#[derive(Clone, Debug, PartialEq)]
pub enum Member {
    /// One item.
    Item(Item),
    /// An inner list and its parameters.
    List(Vec<Item>, Params),
}

/// A dictionary, in order; no key comes twice.
pub type Dictionary = Vec<(Key, Member)>;

/// Why a field is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It does not follow the grammar.
    Malformed,
    /// A key comes twice.
    Doubled,
    /// It holds more than anybody needs.
    TooLong,
}

/// The lines of a field as one value, each without the blanks around it; `None`: there is none.
pub fn combined(headers: &HeaderMap, name: &HeaderName) -> Option<Vec<u8>> {
    let mut lines = headers.get_all(name).iter().map(|line| trimmed(line.as_bytes()));
    let mut text = lines.next()?.to_vec();
    for line in lines {
        text.extend_from_slice(b", ");
        text.extend_from_slice(line);
    }
    Some(text)
}

/// Without the optional white space (RFC 9110, 5.6.3) at both ends.
pub fn trimmed(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = text {
        text = rest;
    }
    text
}

/// Reads a dictionary.
pub fn dictionary(text: &[u8]) -> Result<Dictionary, Fault> {
    let fault = Cell::new(None);
    let members = Members {
        members: Vec::new(),
        fault: &fault,
    };
    let read = Parser::new(text).parse_dictionary_with_visitor(members);
    read.map_err(|_| fault.get().unwrap_or(Fault::Malformed))
}

/// Reads one item.
pub fn item(text: &[u8]) -> Result<Item, Fault> {
    let fault = Cell::new(None);
    let mut item = Item::blank();
    let into = IntoItem {
        item: &mut item,
        fault: &fault,
    };
    match Parser::new(text).parse_item_with_visitor(into) {
        Ok(()) => Ok(item),
        Err(_) => Err(fault.get().unwrap_or(Fault::Malformed)),
    }
}

impl Item {
    /// An item without parameters.
    pub fn of(value: impl Into<BareItem>) -> Self {
        Self {
            value: value.into(),
            params: Params::new(),
        }
    }

    // What a visitor fills.
    fn blank() -> Self {
        Self::of(true)
    }

    /// As RFC 9651 writes it.
    pub fn text(&self) -> String {
        let params = self.params.iter().map(|(key, value)| (key, value));
        ItemSerializer::new().bare_item(&self.value).parameters(params).finish()
    }
}

impl Member {
    /// As RFC 9651 writes it.
    pub fn text(&self) -> String {
        match self {
            Self::Item(item) => item.text(),
            Self::List(items, params) => list_text(items, params),
        }
    }
}

/// An inner list as RFC 9651 writes it.
pub fn list_text(items: &[Item], params: &Params) -> String {
    let mut list = ListSerializer::new();
    let mut inner = list.inner_list();
    for item in items {
        let params = item.params.iter().map(|(key, value)| (key, value));
        // What it returns would write further parameters.
        let _ = inner.bare_item(&item.value).parameters(params);
    }
    let _ = inner
        .finish()
        .parameters(params.iter().map(|(key, value)| (key, value)));
    list.finish().unwrap_or_default()
}

/// Ends a parse; which fault it was stands in the cell.
#[derive(Debug, thiserror::Error)]
#[error("refused")]
struct Refused;

fn refuse<T>(cell: &Cell<Option<Fault>>, fault: Fault) -> Result<T, Refused> {
    cell.set(Some(fault));
    Err(Refused)
}

struct Members<'f> {
    members: Dictionary,
    fault: &'f Cell<Option<Fault>>,
}

impl<'de> DictionaryVisitor<'de> for Members<'_> {
    type Out = Dictionary;
    type Error = Refused;

    fn entry(&mut self, key: &'de KeyRef) -> Result<impl EntryVisitor<'de>, Refused> {
        if self.members.iter().any(|(known, _)| known.as_str() == key.as_str()) {
            return refuse(self.fault, Fault::Doubled);
        }
        if self.members.len() == MAX_MEMBERS {
            return refuse(self.fault, Fault::TooLong);
        }
        self.members.push((key.to_owned(), Member::Item(Item::blank())));
        let (_, member) = self.members.last_mut().expect("one was just added");
        Ok(IntoMember {
            member,
            fault: self.fault,
        })
    }

    fn finish(self) -> Result<Dictionary, Refused> {
        Ok(self.members)
    }
}

struct IntoMember<'m, 'f> {
    member: &'m mut Member,
    fault: &'f Cell<Option<Fault>>,
}

impl<'de> EntryVisitor<'de> for IntoMember<'_, '_> {
    type Error = Refused;

    fn item(self) -> Result<impl ItemVisitor<'de>, Refused> {
        let Member::Item(item) = self.member else {
            return refuse(self.fault, Fault::Malformed);
        };
        Ok(IntoItem {
            item,
            fault: self.fault,
        })
    }

    fn inner_list(self) -> Result<impl InnerListVisitor<'de>, Refused> {
        *self.member = Member::List(Vec::new(), Params::new());
        let Member::List(items, params) = self.member else {
            return refuse(self.fault, Fault::Malformed);
        };
        Ok(IntoList {
            items,
            params,
            fault: self.fault,
        })
    }
}

struct IntoItem<'m, 'f> {
    item: &'m mut Item,
    fault: &'f Cell<Option<Fault>>,
}

impl<'de> ItemVisitor<'de> for IntoItem<'_, '_> {
    type Out = ();
    type Error = Refused;

    fn bare_item(self, value: BareItemFromInput<'de>) -> Result<impl ParameterVisitor<'de, Out = ()>, Refused> {
        self.item.value = value.into();
        Ok(IntoParams {
            params: &mut self.item.params,
            fault: self.fault,
        })
    }
}

struct IntoList<'m, 'f> {
    items: &'m mut Vec<Item>,
    params: &'m mut Params,
    fault: &'f Cell<Option<Fault>>,
}

impl<'de> InnerListVisitor<'de> for IntoList<'_, '_> {
    type Error = Refused;

    fn item(&mut self) -> Result<impl ItemVisitor<'de>, Refused> {
        if self.items.len() == MAX_ITEMS {
            return refuse(self.fault, Fault::TooLong);
        }
        self.items.push(Item::blank());
        Ok(IntoItem {
            item: self.items.last_mut().expect("one was just added"),
            fault: self.fault,
        })
    }

    fn finish(self) -> Result<impl ParameterVisitor<'de>, Refused> {
        Ok(IntoParams {
            params: self.params,
            fault: self.fault,
        })
    }
}

struct IntoParams<'m, 'f> {
    params: &'m mut Params,
    fault: &'f Cell<Option<Fault>>,
}

impl<'de> ParameterVisitor<'de> for IntoParams<'_, '_> {
    type Out = ();
    type Error = Refused;

    fn parameter(&mut self, key: &'de KeyRef, value: BareItemFromInput<'de>) -> Result<(), Refused> {
        if self.params.iter().any(|(known, _)| known.as_str() == key.as_str()) {
            return refuse(self.fault, Fault::Doubled);
        }
        if self.params.len() == MAX_PARAMS {
            return refuse(self.fault, Fault::TooLong);
        }
        self.params.push((key.to_owned(), value.into()));
        Ok(())
    }

    fn finish(self) -> Result<(), Refused> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn again(text: &str) -> Result<String, Fault> {
        let members = dictionary(text.as_bytes())?;
        let texts = members
            .iter()
            .map(|(key, member)| format!("{}={}", key.as_str(), member.text()));
        Ok(texts.collect::<Vec<_>>().join(", "))
    }

    #[test]
    fn a_dictionary_is_written_as_it_was_meant() {
        let plain = r#"sig1=("@method" "@query-param";name="a b");created=1618884473;keyid="k", b=:AQI=:"#;
        assert_eq!(again(plain).as_deref(), Ok(plain));
        let loose = "sig1=(  \"a\"   \"b\" ); created=1 ,  b=?0;x";
        assert_eq!(again(loose).as_deref(), Ok("sig1=(\"a\" \"b\");created=1, b=?0;x"));
        assert_eq!(again(""), Ok(String::new()));
    }

    #[test]
    fn what_comes_twice_or_too_often_is_refused() {
        for text in ["a=1, a=2", "a=();x=1;x=1", "a=(\"b\";x;x)", "a=1;x;x"] {
            assert_eq!(again(text), Err(Fault::Doubled), "{text}");
        }
        for text in ["a=", "a=(", "a=:*:", "A=1", "a=1,", "a=\"\u{e9}\"", "a=1 b=2"] {
            assert_eq!(again(text), Err(Fault::Malformed), "{text}");
        }
        let many = |count: usize, one: fn(usize) -> String| (0..count).map(one).collect::<Vec<_>>();
        let members = |count| many(count, |at| format!("k{at}=1")).join(", ");
        assert!(again(&members(MAX_MEMBERS)).is_ok());
        assert_eq!(again(&members(MAX_MEMBERS + 1)), Err(Fault::TooLong));
        let items = |count| format!("a=({})", many(count, |at| format!("\"x{at}\"")).join(" "));
        assert!(again(&items(MAX_ITEMS)).is_ok());
        assert_eq!(again(&items(MAX_ITEMS + 1)), Err(Fault::TooLong));
        let params = format!("a=1{}", many(MAX_PARAMS + 1, |at| format!(";p{at}")).concat());
        assert_eq!(again(&params), Err(Fault::TooLong));
    }

    #[test]
    fn lines_are_joined_without_the_blanks_around_them() {
        let mut headers = HeaderMap::new();
        let name = HeaderName::from_static("x-a");
        assert_eq!(combined(&headers, &name), None);
        for line in ["\t one ", "", "two,  three"] {
            headers.append(&name, http::HeaderValue::from_str(line).expect("a value"));
        }
        assert_eq!(combined(&headers, &name), Some(b"one, , two,  three".to_vec()));
    }
}
