//!
//! It knows nothing of what is simulated, and can be used alone. The parts:
//!
//! - [`Time`] and [`Duration`]: instants and spans, in whole nanoseconds.
//! - [`Random`]: draws that are identified by seed, [`Key`] and index, or as a sequential [`Stream`] of a key.
//! - [`Distribution`]: spans of time by inversion, monotone in the uniform number that is put in.
//!

mod time;

pub use time::{Duration, ParseDurationError, Time};
