//! The JSON scanner (RFC 8259) behind the pointers: one loop with a stack of at most 64 frames.

use super::{Bits, Kind, MAX_DEPTH, Pointers, Slot, Value};
use std::borrow::Cow;

/// One open object or list.
#[derive(Clone, Copy, Default)]
struct Frame {
    /// Trie nodes that this value is.
    active: u64,
    /// Children that an earlier key of this object selected.
    seen: u64,
    start: usize,
    index: u64,
    object: bool,
}

/// What follows a value.
enum Next {
    /// Another value, which is these nodes.
    Value(u64),
    /// The end of the document.
    End,
}

pub(super) struct Scan<'p, 'a, 's> {
    pointers: &'p Pointers,
    json: &'a [u8],
    at: usize,
    slots: &'s mut [Slot<'a>],
    stack: [Frame; MAX_DEPTH],
    depth: usize,
}

impl<'p, 'a, 's> Scan<'p, 'a, 's> {
    pub(super) fn new(pointers: &'p Pointers, json: &'a [u8], slots: &'s mut [Slot<'a>]) -> Self {
        Self {
            pointers,
            json,
            at: 0,
            slots,
            stack: [Frame::default(); MAX_DEPTH],
            depth: 0,
        }
    }

    /// Reads the document; `None` if it is not one.
    pub(super) fn run(mut self) -> Option<()> {
        // The root is node 0.
        let mut active = 1;
        loop {
            if self.open_or_scalar(active)? {
                active = self.first_inside()?;
                continue;
            }
            match self.next_value()? {
                Next::Value(next) => active = next,
                Next::End => return Some(()),
            }
        }
    }

    /// Reads a scalar or an empty container, or opens a container that has something in it (true).
    fn open_or_scalar(&mut self, active: u64) -> Option<bool> {
        self.skip_blanks();
        let start = self.at;
        let kind = match self.peek()? {
            opening @ (b'{' | b'[') => {
                let object = opening == b'{';
                self.at += 1;
                self.skip_blanks();
                if self.peek()? != closing(object) {
                    let frame = Frame {
                        active,
                        start,
                        object,
                        ..Frame::default()
                    };
                    *self.stack.get_mut(self.depth)? = frame;
                    self.depth += 1;
                    return Some(true);
                }
                // Even an empty container is one level.
                if self.depth >= MAX_DEPTH {
                    return None;
                }
                self.at += 1;
                Kind::Compound
            }
            b'"' => {
                self.string()?;
                Kind::Text
            }
            b't' => self.word(b"true", Kind::Truth)?,
            b'f' => self.word(b"false", Kind::Truth)?,
            b'n' => self.word(b"null", Kind::Null)?,
            _ => self.number()?,
        };
        self.record(active, start, kind);
        Some(false)
    }

    fn first_inside(&mut self) -> Option<u64> {
        let frame = self.stack[self.depth - 1];
        if frame.object {
            self.key()
        } else {
            Some(self.pointers.by_index(frame.active, 0))
        }
    }

    /// After a value: closes what ends here and moves to the next value.
    fn next_value(&mut self) -> Option<Next> {
        loop {
            self.skip_blanks();
            let Some(top) = self.depth.checked_sub(1) else {
                return (self.at == self.json.len()).then_some(Next::End);
            };
            let frame = self.stack[top];
            let byte = self.peek()?;
            self.at += 1;
            if byte == b',' {
                if frame.object {
                    self.skip_blanks();
                    return self.key().map(Next::Value);
                }
                let index = frame.index + 1;
                self.stack[top].index = index;
                return Some(Next::Value(self.pointers.by_index(frame.active, index)));
            }
            if byte != closing(frame.object) {
                return None;
            }
            self.depth = top;
            self.record(frame.active, frame.start, Kind::Compound);
        }
    }

    /// Reads `"key" :` and returns the nodes that its value is.
    fn key(&mut self) -> Option<u64> {
        if self.peek()? != b'"' {
            return None;
        }
        let start = self.at + 1;
        self.string()?;
        let raw = &self.json[start..self.at - 1];
        self.skip_blanks();
        if self.peek()? != b':' {
            return None;
        }
        self.at += 1;
        let top = self.depth - 1;
        let frame = self.stack[top];
        if frame.active == 0 {
            return Some(0);
        }
        // A key that cannot be unescaped is no key of ours.
        let active = unescape(raw).map_or(0, |key| self.pointers.by_key(frame.active, &key));
        for node in Bits(active & frame.seen) {
            for below in Bits(self.pointers.nodes[node].below) {
                if let Some(slot) = self.pointers.nodes[below].slot {
                    self.slots[slot].doubled = true;
                }
            }
        }
        self.stack[top].seen |= active;
        Some(active)
    }

    fn record(&mut self, active: u64, start: usize, kind: Kind) {
        let raw = &self.json[start..self.at];
        for node in Bits(active) {
            if let Some(slot) = self.pointers.nodes[node].slot {
                self.slots[slot].push(Value { raw, kind });
            }
        }
    }

    fn peek(&self) -> Option<u8> {
        self.json.get(self.at).copied()
    }

    fn skip_blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn word(&mut self, word: &[u8], kind: Kind) -> Option<Kind> {
        self.json.get(self.at..)?.starts_with(word).then(|| {
            self.at += word.len();
            kind
        })
    }

    /// Moves past a string that begins here.
    fn string(&mut self) -> Option<()> {
        self.at += 1;
        loop {
            match self.peek()? {
                b'"' => {
                    self.at += 1;
                    return Some(());
                }
                b'\\' => match self.json.get(self.at + 1)? {
                    b'u' => {
                        let digits = self.json.get(self.at + 2..self.at + 6)?;
                        if !digits.iter().all(u8::is_ascii_hexdigit) {
                            return None;
                        }
                        self.at += 6;
                    }
                    b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => self.at += 2,
                    _ => return None,
                },
                0..0x20 => return None,
                _ => self.at += 1,
            }
        }
    }

    fn digits(&mut self) -> Option<()> {
        let from = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        (self.at > from).then_some(())
    }

    fn number(&mut self) -> Option<Kind> {
        let mut kind = Kind::Integer;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        if self.peek()? == b'0' {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
            kind = Kind::Float;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
            kind = Kind::Float;
        }
        Some(kind)
    }
}

fn closing(object: bool) -> u8 {
    if object { b'}' } else { b']' }
}

/// The text between the quotes of a well-formed string; `None` where it is not UTF-8 or holds half a surrogate pair.
pub(super) fn unescape(raw: &[u8]) -> Option<Cow<'_, str>> {
    let text = std::str::from_utf8(raw).ok()?;
    if !raw.contains(&b'\\') {
        return Some(Cow::Borrowed(text));
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        let escape = rest.as_bytes().get(at + 1)?;
        rest = &rest[at + 2..];
        out.push(match escape {
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let unit = unit(rest)?;
                rest = &rest[4..];
                if (0xd800..0xdc00).contains(&unit) {
                    let low = unit_after_escape(rest)?;
                    rest = &rest[6..];
                    char::decode_utf16([unit, low]).next()?.ok()?
                } else {
                    char::from_u32(u32::from(unit))?
                }
            }
            other => char::from(*other),
        });
    }
    out.push_str(rest);
    Some(Cow::Owned(out))
}

fn unit(text: &str) -> Option<u16> {
    u16::from_str_radix(text.get(..4)?, 16).ok()
}

fn unit_after_escape(text: &str) -> Option<u16> {
    unit(text.strip_prefix("\\u")?)
}
