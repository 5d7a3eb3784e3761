//!
//! It knows nothing of what is simulated, and can be used alone. The parts:
//!
//! - [`Time`] and [`Duration`]: instants and spans, in whole nanoseconds.
//! - [`EventQueue`]: the future-event list. It hands out events by time, first scheduled first out among equals.
//! - [`Random`]: draws that are identified by seed, [`Key`] and index, or as a sequential [`Stream`] of a key.
//! - [`Distribution`]: spans of time by inversion, monotone in the uniform number that is put in.
//!

mod heap;
mod queue;
mod random;
mod time;

pub use queue::{EventQueue, Timer};
pub use random::{Key, Random, Stream};
pub use time::{Duration, ParseDurationError, Time};
