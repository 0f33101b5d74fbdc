//! The presets that the cases are read with: those of the binary.

use hookward::config::{Embedded, Presets};

/// What the cases are read with.
pub fn presets() -> Box<dyn Presets> {
    Box::new(Embedded)
}
