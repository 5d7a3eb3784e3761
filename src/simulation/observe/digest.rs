//! A fingerprint of everything that happened in a run: equal runs have equal ones, on any machine.

use crate::engine::Time;
use crate::simulation::observe::trace::What;

/// FNV-1a, 64 bits, over the words of all notes (Fowler, Noll, Vo).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Digest(u64);

impl Default for Digest {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Digest {
    /// Adds one number, byte by byte.
    pub fn number(&mut self, number: u64) {
        for byte in number.to_le_bytes() {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }

    /// Adds one note.
    pub fn add(&mut self, time: Time, what: What) {
        self.number(time.as_nanos());
        for word in what.words() {
            self.number(u64::from(word));
        }
    }

    /// The digest so far, in hexadecimal.
    #[must_use]
    pub fn hex(self) -> String {
        format!("{:016x}", self.0)
    }
}
