//! A small discrete-event simulation engine: time, the event queue, keyed randomness and distributions.
//!
//! It knows nothing of what is simulated, and can be used alone. The parts:
//!
//! - [`Time`] and [`Duration`]: instants and spans, in whole nanoseconds.
//! - [`EventQueue`]: the future-event list. It hands out events by time, first scheduled first out among equals.
//! - [`Random`]: draws that are identified by seed, [`Key`] and index, or as a sequential [`Stream`] of a key.
//! - [`Distribution`]: spans of time by inversion, monotone in the uniform number that is put in; as a [`Sampler`], fast.
//!
//! Everything is deterministic: the same program with the same seed does the same on every platform, bit for bit.
//!
//! # Example: a queue with one server
//!
//! Customers arrive at random and are served one after another; both the times between arrivals and the times of
//! service are exponential (the M/M/1 queue). With the load ρ = arrival rate ÷ service rate, theory says that on average
//! ρ / (1 − ρ) customers are there, waiting or being served. The simulation should agree.
//!
//! ```
//! use drainsim::engine::{Distribution, Duration, EventQueue, Key, Random, Time};
//!
//! /// All that can happen: small, `Copy`, and matched in one place.
//! #[derive(Clone, Copy)]
//! enum Event {
//!     Arrival,
//!     Departure,
//!     EndOfBatch,
//! }
//!
//! const LOAD: f64 = 0.5;
//! let service = Distribution::exponential(Duration::from_millis(100))?;
//! let interval = Distribution::exponential(Duration::from_millis(200))?;
//!
//! // One stream for each purpose: a change to the server leaves the arrivals as they are.
//! let random = Random::new(2026);
//! let mut arrivals = random.stream(Key::new("arrivals"));
//! let mut services = random.stream(Key::new("services"));
//!
//! let mut queue = EventQueue::new();
//! queue.schedule(Time::ZERO, Event::Arrival);
//! let batch = Duration::from_secs(1000);
//! queue.schedule(Time::ZERO + batch, Event::EndOfBatch);
//!
//! let mut customers = 0u32; // present
//! let mut area = 0.0; // customers x seconds in this batch
//! let mut since = Time::ZERO; // the last event
//! let mut means = Vec::new(); // mean number of customers in each batch
//! while means.len() < 31 {
//!     let (now, event) = queue.pop().expect("there is always another arrival");
//!     area += f64::from(customers) * now.since(since).as_secs_f64();
//!     since = now;
//!     match event {
//!         Event::Arrival => {
//!             customers += 1;
//!             if customers == 1 {
//!                 queue.schedule(now + service.sample(services.next_unit()), Event::Departure);
//!             }
//!             queue.schedule(now + interval.sample(arrivals.next_unit()), Event::Arrival);
//!         }
//!         Event::Departure => {
//!             customers -= 1;
//!             if customers > 0 {
//!                 queue.schedule(now + service.sample(services.next_unit()), Event::Departure);
//!             }
//!         }
//!         Event::EndOfBatch => {
//!             means.push(area / batch.as_secs_f64());
//!             area = 0.0;
//!             queue.schedule(now + batch, Event::EndOfBatch);
//!         }
//!     }
//! }
//!
//! // Batch means: the first one, which began with an empty queue, is dropped. A batch lasts 10 000 services, while the
//! // queue forgets its state in about 12 (the relaxation time 1/(1 - sqrt(LOAD))^2), so the other 30 are as good as
//! // independent, and their mean is within 3.66 standard errors of the truth with a probability of 99.9 %
//! // (Student's t with 29 degrees of freedom).
//! let means = &means[1..];
//! let n = means.len() as f64;
//! let mean = means.iter().sum::<f64>() / n;
//! let variance = means.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / (n - 1.0);
//! let standard_error = (variance / n).sqrt();
//! let theory = LOAD / (1.0 - LOAD);
//! assert!((mean - theory).abs() < 3.66 * standard_error, "{mean} ± {standard_error}, theory {theory}");
//! assert!(standard_error < 0.02 * theory, "precise enough to mean something");
//! # Ok::<(), drainsim::engine::DistributionError>(())
//! ```

mod distribution;
mod heap;
pub(crate) mod normal;
mod poisson;
mod queue;
mod random;
mod tally;
mod time;

pub use distribution::{Distribution, DistributionError, Histogram, LogNormal, Sampler};
pub use queue::{EventQueue, Timer};
pub use random::{Key, Random, Stream};
pub use tally::Tally;
pub use time::{Duration, ParseDurationError, Time};
