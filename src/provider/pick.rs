//! JSON pointers (RFC 6901, plus `*` for every element of a list) read from raw bytes in one pass, without recursion.
//!
//! A doubled key anywhere along a pointer is reported, because another parser may take the other value (every SDK seen takes
//! the last one). Numbers are never re-formatted: a value is the very bytes that were sent.

mod grammar;
mod scan;

use std::borrow::Cow;

/// Deeper documents count as unreadable: nothing a provider sends comes near.
pub const MAX_DEPTH: usize = 64;
/// Values that one pointer with `*` yields; further ones set [`Slot::cut`].
pub const MAX_VALUES: usize = 1024;

/// A set of compiled pointers, read together.
#[derive(Clone, Debug, Default)]
pub struct Pointers {
    // A trie; a set of nodes is a bit mask, hence at most 64 of them.
    nodes: Vec<Node>,
    slots: usize,
}

#[derive(Clone, Debug)]
struct Node {
    step: Step,
    slot: Option<usize>,
    children: u64,
    below: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Root,
    Key { name: String, index: Option<u64> },
    Every,
}

/// What the pointers found.
#[derive(Debug, Default)]
pub struct Picks<'a> {
    /// More pointers than this no preset has: its values cost no allocation.
    few: [Slot<'a>; 8],
    rest: Vec<Slot<'a>>,
    /// Is the whole document well-formed, within [`MAX_DEPTH`]? Where not, no slot has a value.
    pub well_formed: bool,
}

/// The values of one pointer.
#[derive(Clone, Debug, Default)]
pub struct Slot<'a> {
    first: Option<Value<'a>>,
    more: Vec<Value<'a>>,
    /// A key along the pointer came twice.
    pub doubled: bool,
    /// There were more than [`MAX_VALUES`].
    pub cut: bool,
}

/// A value as it stands in the document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Value<'a> {
    /// Its bytes, quotes included.
    pub raw: &'a [u8],
    /// What it is.
    pub kind: Kind,
}

/// The kinds of JSON values, whole numbers apart from others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A string.
    Text,
    /// A number without fraction and exponent.
    Integer,
    /// Any other number.
    Float,
    /// `true` or `false`.
    Truth,
    /// `null`.
    Null,
    /// An object or a list.
    Compound,
}

/// One JSON pointer (RFC 6901), compiled.
pub struct JsonPointer(Pointers);

impl JsonPointer {
    /// Compiles the pointer; the error says what is wrong with it.
    pub fn parse(pointer: &str) -> Result<Self, String> {
        let mut pointers = Pointers::default();
        pointers.add(pointer)?;
        Ok(Self(pointers))
    }

    /// The text (or whole number) that it points at; `None` if there is none, or if a key on the way came twice.
    pub fn text<'a>(&self, json: &'a [u8]) -> Option<Cow<'a, str>> {
        let picks = self.0.pick(json);
        let slot = picks.slot(0);
        slot.value().filter(|_| !slot.doubled)?.text()
    }
}

impl Pointers {
    /// Adds a pointer and returns its slot; the same pointer has the same slot.
    pub fn add(&mut self, pointer: &str) -> Result<usize, String> {
        if !pointer.is_empty() && !pointer.starts_with('/') {
            return Err(format!("`{pointer}` is not a JSON pointer: it must begin with `/`"));
        }
        if self.nodes.is_empty() {
            self.nodes.push(Node::new(Step::Root));
        }
        let mut path = vec![0];
        for token in pointer.split('/').skip(1) {
            let at = path[path.len() - 1];
            let next = self.child(at, Step::parse(token)?)?;
            path.push(next);
        }
        if path.len() > MAX_DEPTH {
            return Err(format!("`{pointer}` is deeper than {MAX_DEPTH}"));
        }
        let leaf = path[path.len() - 1];
        for (depth, node) in path.iter().enumerate() {
            for below in &path[depth..] {
                self.nodes[*node].below |= 1 << below;
            }
        }
        Ok(*self.nodes[leaf].slot.get_or_insert_with(|| {
            self.slots += 1;
            self.slots - 1
        }))
    }

    fn child(&mut self, at: usize, step: Step) -> Result<usize, String> {
        let known = Bits(self.nodes[at].children).find(|child| self.nodes[*child].step == step);
        if let Some(child) = known {
            return Ok(child);
        }
        let child = self.nodes.len();
        if child >= 64 {
            return Err("too many different JSON pointers".to_owned());
        }
        self.nodes.push(Node::new(step));
        self.nodes[at].children |= 1 << child;
        Ok(child)
    }

    /// Is there nothing to read?
    pub fn is_empty(&self) -> bool {
        self.slots == 0
    }

    /// Reads all pointers from `json`.
    pub fn pick<'a>(&self, json: &'a [u8]) -> Picks<'a> {
        let mut picks = Picks::default();
        if self.slots == 0 {
            return picks;
        }
        let rest = self.slots.saturating_sub(picks.few.len());
        picks.rest.resize_with(rest, Slot::default);
        picks.well_formed = scan::Scan::new(self, json, &mut picks).run().is_some();
        if !picks.well_formed {
            for slot in picks.few.iter_mut().chain(&mut picks.rest) {
                slot.first = None;
                slot.more.clear();
            }
        }
        picks
    }

    /// The children of `active` that an object's key selects.
    fn by_key(&self, active: u64, key: &[u8]) -> u64 {
        self.select(
            active,
            |step| matches!(step, Step::Key { name, .. } if name.as_bytes() == key),
        )
    }

    /// The children of `active` that a list's index selects.
    fn by_index(&self, active: u64, at: u64) -> u64 {
        self.select(active, |step| match step {
            Step::Every => true,
            Step::Key { index, .. } => *index == Some(at),
            Step::Root => false,
        })
    }

    fn select(&self, active: u64, takes: impl Fn(&Step) -> bool) -> u64 {
        Bits(active)
            .flat_map(|node| Bits(self.nodes[node].children))
            .filter(|child| takes(&self.nodes[*child].step))
            .fold(0, |mask, child| mask | 1 << child)
    }
}

impl Node {
    fn new(step: Step) -> Self {
        Self {
            step,
            slot: None,
            children: 0,
            below: 0,
        }
    }
}

impl Step {
    fn parse(token: &str) -> Result<Self, String> {
        if token == "*" {
            return Ok(Self::Every);
        }
        let mut name = String::with_capacity(token.len());
        let mut parts = token.split('~');
        name.push_str(parts.next().unwrap_or(""));
        for part in parts {
            let (escaped, rest) = match part.as_bytes().first() {
                Some(b'0') => ('~', &part[1..]),
                Some(b'1') => ('/', &part[1..]),
                _ => return Err(format!("`{token}` holds a `~` that is neither `~0` nor `~1`")),
            };
            name.push(escaped);
            name.push_str(rest);
        }
        // RFC 6901: an index has no leading zero.
        let plain = name == "0" || (!name.starts_with('0') && name.bytes().all(|byte| byte.is_ascii_digit()));
        let index = if plain { name.parse().ok() } else { None };
        Ok(Self::Key { name, index })
    }
}

/// The positions of the set bits of a mask.
struct Bits(u64);

impl Iterator for Bits {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        if self.0 == 0 {
            return None;
        }
        let at = self.0.trailing_zeros() as usize;
        self.0 &= self.0 - 1;
        Some(at)
    }
}

impl<'a> Picks<'a> {
    /// What the pointer of this slot found.
    pub fn slot(&self, slot: usize) -> &Slot<'a> {
        self.few.get(slot).unwrap_or_else(|| &self.rest[slot - self.few.len()])
    }

    fn slot_mut(&mut self, slot: usize) -> &mut Slot<'a> {
        let few = self.few.len();
        if slot < few {
            &mut self.few[slot]
        } else {
            &mut self.rest[slot - few]
        }
    }

    /// Did a key along any pointer come twice?
    pub fn any_doubled(&self) -> bool {
        self.few.iter().chain(&self.rest).any(|slot| slot.doubled)
    }
}

impl<'a> Slot<'a> {
    /// All values, in document order.
    pub fn values(&self) -> impl Iterator<Item = Value<'a>> + '_ {
        self.first.iter().chain(&self.more).copied()
    }

    /// The only (or first) value.
    pub fn value(&self) -> Option<Value<'a>> {
        self.first
    }

    fn push(&mut self, value: Value<'a>) {
        if self.first.is_none() {
            self.first = Some(value);
        } else if self.more.len() + 1 < MAX_VALUES {
            self.more.push(value);
        } else {
            self.cut = true;
        }
    }
}

impl<'a> Value<'a> {
    /// The text of a string (unescaped) or whole number (as written). A float is refused: another writer of the same number
    /// writes other bytes.
    pub fn text(&self) -> Option<Cow<'a, str>> {
        match self.kind {
            Kind::Text => grammar::unescape(&self.raw[1..self.raw.len() - 1]),
            Kind::Integer => std::str::from_utf8(self.raw).ok().map(Cow::Borrowed),
            _ => None,
        }
    }

    /// As [`Self::text`], with `true` and `false` too.
    pub fn text_or_truth(&self) -> Option<Cow<'a, str>> {
        match self.kind {
            Kind::Truth => std::str::from_utf8(self.raw).ok().map(Cow::Borrowed),
            _ => self.text(),
        }
    }
}

#[cfg(test)]
mod tests;
