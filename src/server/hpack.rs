//! Follows header compression (HPACK, RFC 7541) in what a client sends, for a `#` in `:path`: the parser of HTTP/2 drops it.
//!
//! The `#` becomes a `>`, which that parser refuses: the stream is reset as malformed (RFC 9113, section 8.1.1). Both
//! bytes are as long, in their Huffman codes too (12 bits that differ in the last one), so the parser's dynamic table and
//! the client's stay alike.

use std::collections::VecDeque;

/// Most bytes of the dynamic table: the initial value of `SETTINGS_HEADER_TABLE_SIZE`, which we don't change.
const MAX_TABLE_BYTES: usize = 4096;
/// Bytes of an entry beside its name and value (RFC 7541, section 4.1).
const ENTRY_BYTES: usize = 32;
/// Most bytes of an integer behind its first one: as many as the parser takes.
const MAX_INTEGER_BYTES: u32 = 4;
const NAME: &[u8] = b":path";
/// The same in Huffman codes.
const CODED_NAME: &[u8] = &[0xb9, 0x58, 0xd3, 0x3f];
/// The Huffman code of `#`; that of `>` is the next one.
const FRAGMENT_CODE: u32 = 0xffa;
/// How many codes there are of each length up to 30 bits (RFC 7541, appendix B). The code is canonical, so these numbers
/// alone tell where a code ends.
const CODES: [u32; 31] = [
    0, 0, 0, 0, 0, 10, 26, 32, 6, 0, 5, 3, 2, 6, 2, 3, 0, 0, 0, 3, 8, 13, 26, 29, 12, 4, 15, 19, 29, 0, 4,
];
/// The length of each name in the static table (RFC 7541, appendix A).
const STATIC_NAMES: [u8; 61] = [
    10, 7, 7, 5, 5, 7, 7, 7, 7, 7, 7, 7, 7, 7, 14, 15, 15, 13, 6, 27, 3, 5, 13, 13, 19, 16, 16, 14, 16, 13, 12, 6, 4,
    4, 6, 7, 4, 4, 8, 17, 13, 8, 19, 13, 4, 8, 12, 18, 19, 5, 7, 7, 11, 6, 10, 25, 17, 10, 4, 3, 16,
];

/// Where in the header blocks of one connection its bytes stand.
#[derive(Default)]
pub(super) struct Blocks {
    step: Step,
    table: Table,
    field: Field,
}

/// The field that is being read.
#[derive(Default)]
struct Field {
    /// Does it enter the dynamic table?
    indexed: bool,
    is_path: bool,
    name_bytes: usize,
}

#[derive(Default)]
enum Step {
    /// The next byte begins a field or changes the table's size.
    #[default]
    Begin,
    Integer(What, u32, u32),
    /// The next byte begins the length of a name or value.
    Length(Part),
    Text(Part, Text),
    /// The bytes are not valid HPACK: the parser ends the connection.
    Lost,
}

#[derive(Clone, Copy)]
enum What {
    Indexed,
    TableSize,
    NameIndex,
    Length(Part, bool),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Name,
    Value,
}

/// A name or value that is being read.
struct Text {
    is_coded: bool,
    left: u32,
    /// Its first bytes, as sent.
    begun: [u8; NAME.len()],
    /// Bytes as sent.
    sent: usize,
    /// Bytes as meant.
    bytes: usize,
    code: Code,
}

/// A Huffman code that is being read: its bits, their number, and the first code of that length.
#[derive(Default)]
struct Code {
    bits: u32,
    length: usize,
    first: u32,
}

impl Blocks {
    /// Takes a piece of a header block, in whatever pieces, and replaces each `#` in a `:path`.
    pub(super) fn follow(&mut self, mut bytes: &mut [u8]) {
        while !bytes.is_empty() {
            let taken = match &self.step {
                Step::Text(_, text) => bytes.len().min(text.left as usize),
                _ => 1,
            };
            let (piece, rest) = std::mem::take(&mut bytes).split_at_mut(taken);
            bytes = rest;
            match &mut self.step {
                Step::Text(part, text) => {
                    let is_path = *part == Part::Value && self.field.is_path;
                    text.follow(piece, is_path, self.field.indexed);
                    if text.left == 0 {
                        self.text_ends();
                    }
                }
                _ => self.byte(piece[0]),
            }
        }
    }

    /// Takes a byte of what is not text.
    fn byte(&mut self, byte: u8) {
        match &mut self.step {
            Step::Begin => {
                let (what, prefix) = match byte {
                    0x80.. => (What::Indexed, 7),
                    0x40.. => (What::NameIndex, 6),
                    0x20.. => (What::TableSize, 5),
                    _ => (What::NameIndex, 4),
                };
                self.field = Field {
                    indexed: prefix == 6,
                    ..Field::default()
                };
                self.integer_begins(what, byte, prefix);
            }
            Step::Length(part) => {
                let what = What::Length(*part, byte & 0x80 != 0);
                self.integer_begins(what, byte, 7);
            }
            Step::Integer(_, _, shift) if *shift >= 7 * MAX_INTEGER_BYTES => self.step = Step::Lost,
            Step::Integer(what, value, shift) => {
                *value += u32::from(byte & 0x7f) << *shift;
                *shift += 7;
                if byte & 0x80 == 0 {
                    let (what, value) = (*what, *value);
                    self.integer_ends(what, value);
                }
            }
            Step::Text(..) | Step::Lost => {}
        }
    }

    fn integer_begins(&mut self, what: What, first: u8, prefix: u32) {
        let most = (1 << prefix) - 1;
        let value = u32::from(first) & most;
        if value < most {
            self.integer_ends(what, value);
        } else {
            self.step = Step::Integer(what, value, 0);
        }
    }

    fn integer_ends(&mut self, what: What, value: u32) {
        self.step = match what {
            What::Indexed => Step::Begin,
            What::TableSize => {
                self.table.resize(value as usize);
                Step::Begin
            }
            What::NameIndex if value == 0 => Step::Length(Part::Name),
            What::NameIndex => {
                (self.field.name_bytes, self.field.is_path) = self.table.name(value as usize);
                Step::Length(Part::Value)
            }
            What::Length(part, is_coded) => Step::Text(part, Text::new(is_coded, value)),
        };
        if matches!(self.step, Step::Text(_, Text { left: 0, .. })) {
            self.text_ends();
        }
    }

    fn text_ends(&mut self) {
        let Step::Text(part, text) = std::mem::take(&mut self.step) else {
            return;
        };
        if part == Part::Name {
            let name = text.begun.get(..text.sent);
            self.field.is_path = name == Some(if text.is_coded { CODED_NAME } else { NAME });
            self.field.name_bytes = text.bytes;
            self.step = Step::Length(Part::Value);
        } else if self.field.indexed {
            let Field {
                is_path, name_bytes, ..
            } = self.field;
            self.table.insert(Entry {
                name_bytes,
                bytes: name_bytes + text.bytes + ENTRY_BYTES,
                is_path,
            });
        }
    }
}

impl Text {
    fn new(is_coded: bool, left: u32) -> Self {
        Self {
            is_coded,
            left,
            begun: [0; NAME.len()],
            sent: 0,
            bytes: 0,
            code: Code::default(),
        }
    }

    fn follow(&mut self, piece: &mut [u8], is_path: bool, counts: bool) {
        self.left -= u32::try_from(piece.len()).unwrap_or(self.left);
        if let Some(room) = self.begun.get_mut(self.sent..) {
            let fits = room.len().min(piece.len());
            room[..fits].copy_from_slice(&piece[..fits]);
        }
        self.sent += piece.len();
        if !self.is_coded {
            self.bytes += piece.len();
            if is_path {
                for byte in piece.iter_mut().filter(|byte| **byte == b'#') {
                    *byte = b'>';
                }
            }
        } else if is_path || counts {
            for byte in piece {
                for bit in [0x80, 0x40, 0x20, 0x10, 8, 4, 2, 1] {
                    let ended = self.code.follow(*byte & bit != 0);
                    self.bytes += usize::from(ended.is_some());
                    if is_path && ended == Some(FRAGMENT_CODE) {
                        *byte |= bit;
                    }
                }
            }
        }
    }
}

impl Code {
    /// Takes the next bit; the code, if it ends with it.
    fn follow(&mut self, bit: bool) -> Option<u32> {
        self.length += 1;
        self.bits = self.bits << 1 | u32::from(bit);
        let after = self.first + CODES.get(self.length)?;
        if self.bits < after {
            return Some(std::mem::take(self).bits);
        }
        self.first = after << 1;
        None
    }
}

/// The dynamic table: of each entry its size and whether its name is `:path`, the newest first.
struct Table {
    entries: VecDeque<Entry>,
    bytes: usize,
    most: usize,
}

struct Entry {
    name_bytes: usize,
    bytes: usize,
    is_path: bool,
}

impl Default for Table {
    fn default() -> Self {
        Self {
            entries: VecDeque::new(),
            bytes: 0,
            most: MAX_TABLE_BYTES,
        }
    }
}

impl Table {
    /// The length of the name at this index, and is it `:path`?
    fn name(&self, index: usize) -> (usize, bool) {
        if let Some(bytes) = STATIC_NAMES.get(index - 1) {
            return (usize::from(*bytes), matches!(index, 4 | 5));
        }
        let entry = self.entries.get(index - 1 - STATIC_NAMES.len());
        entry.map_or((0, false), |entry| (entry.name_bytes, entry.is_path))
    }

    fn insert(&mut self, entry: Entry) {
        self.shrink(self.most.saturating_sub(entry.bytes));
        if entry.bytes <= self.most {
            self.bytes += entry.bytes;
            self.entries.push_front(entry);
        }
    }

    fn resize(&mut self, most: usize) {
        self.most = most.min(MAX_TABLE_BYTES);
        self.shrink(self.most);
    }

    fn shrink(&mut self, most: usize) {
        while self.bytes > most {
            self.bytes -= self.entries.pop_back().map_or(self.bytes, |entry| entry.bytes);
        }
    }
}

#[cfg(test)]
mod tests;
