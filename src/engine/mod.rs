//! A small discrete-event simulation engine: time, the event queue, keyed randomness and distributions.
//!
//! It knows nothing of what is simulated, and can be used alone. The parts:
//!
//! - [`Time`] and [`Duration`]: instants and spans, in whole nanoseconds.
//! - [`EventQueue`]: the future-event list. It hands out events by time, first scheduled first out among equals.
//! - [`Random`]: draws that are identified by seed, [`Key`] and index, or as a sequential [`Stream`] of a key.
//! - [`Distribution`]: spans of time by inversion, monotone in the uniform number that is put in.
//!
//! Everything is deterministic: the same program with the same seed does the same on every platform, bit for bit.

mod distribution;
mod heap;
pub(crate) mod normal;
mod queue;
mod random;
mod time;

pub use distribution::{Distribution, DistributionError, Histogram, LogNormal};
pub use queue::{EventQueue, Timer};
pub use random::{Key, Random, Stream};
pub use time::{Duration, ParseDurationError, Time};
