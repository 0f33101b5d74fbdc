//! The JSON scanner behind the pointers: one loop with a stack of at most 64 frames.

use super::{
    Bits, Kind, MAX_DEPTH, Picks, Pointers, Value,
    grammar::{blanks, closing, colon, scalar, skip, string, unescape},
};

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
    picks: &'s mut Picks<'a>,
    stack: [Frame; MAX_DEPTH],
    depth: usize,
}

impl<'p, 'a, 's> Scan<'p, 'a, 's> {
    pub(super) fn new(pointers: &'p Pointers, json: &'a [u8], picks: &'s mut Picks<'a>) -> Self {
        Self {
            pointers,
            json,
            at: 0,
            picks,
            stack: [Frame::default(); MAX_DEPTH],
            depth: 0,
        }
    }

    /// Reads the document; `None` if it is not one.
    pub(super) fn run(&mut self) -> Option<()> {
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
        self.at = blanks(self.json, self.at);
        if active == 0 {
            self.at = skip(self.json, self.at, MAX_DEPTH - self.depth)?;
            return Some(false);
        }
        let start = self.at;
        let kind = if let opening @ (b'{' | b'[') = *self.json.get(self.at)? {
            let object = opening == b'{';
            self.at = blanks(self.json, self.at + 1);
            if *self.json.get(self.at)? != closing(object) {
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
        } else {
            let (end, kind) = scalar(self.json, self.at)?;
            self.at = end;
            kind
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
            self.at = blanks(self.json, self.at);
            let Some(top) = self.depth.checked_sub(1) else {
                return (self.at == self.json.len()).then_some(Next::End);
            };
            let frame = &mut self.stack[top];
            let byte = *self.json.get(self.at)?;
            self.at += 1;
            if byte == b',' {
                if frame.object {
                    self.at = blanks(self.json, self.at);
                    return self.key().map(Next::Value);
                }
                frame.index += 1;
                return Some(Next::Value(self.pointers.by_index(frame.active, frame.index)));
            }
            if byte != closing(frame.object) {
                return None;
            }
            let (active, start) = (frame.active, frame.start);
            self.depth = top;
            self.record(active, start, Kind::Compound);
        }
    }

    /// Reads `"key" :` and returns the nodes that its value is.
    fn key(&mut self) -> Option<u64> {
        let start = self.at + 1;
        let (end, escapes) = string(self.json, self.at)?;
        let raw = &self.json[start..end - 1];
        self.at = colon(self.json, end)?;
        let frame = &mut self.stack[self.depth - 1];
        let active = if escapes {
            // A key that cannot be unescaped is no key of ours.
            unescape(raw).map_or(0, |key| self.pointers.by_key(frame.active, key.as_bytes()))
        } else {
            self.pointers.by_key(frame.active, raw)
        };
        for node in Bits(active & frame.seen) {
            for below in Bits(self.pointers.nodes[node].below) {
                if let Some(slot) = self.pointers.nodes[below].slot {
                    self.picks.slot_mut(slot).doubled = true;
                }
            }
        }
        frame.seen |= active;
        Some(active)
    }

    fn record(&mut self, active: u64, start: usize, kind: Kind) {
        let raw = &self.json[start..self.at];
        for node in Bits(active) {
            if let Some(slot) = self.pointers.nodes[node].slot {
                self.picks.slot_mut(slot).push(Value { raw, kind });
            }
        }
    }
}
