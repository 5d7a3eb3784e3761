//! The future-event list: events by time, first scheduled first out among equals.
//!
//! The [heap](super::heap) sorts 16-byte keys only; an event lies in a slab beside it, so that sifting never moves an
//! event, whatever its size. The lower half of a key is the [`Timer`] that the caller holds as well:
//!
//! ```text
//! | sequence number, 40 bits | slab slot, 24 bits |
//! ```
//!
//! The sequence number breaks ties in the order of scheduling, and serves as the generation of the slot: a slot
//! remembers the timer of its present tenant, so that a timer which has fired or was cancelled can never touch a later
//! event in the same slot.

use std::fmt;
use std::num::NonZeroU64;

use super::heap::{Heap, Key};
use super::time::Time;

/// Events at future instants, handed out in the order of time; ties in the order in which they were scheduled.
///
/// # Limits
///
/// At most 2²⁴ (16.7 million) events may be pending at once, cancelled ones included until their time comes, and at
/// most 2⁴⁰ − 2 (1.1 trillion) scheduled during the life of a queue. [`schedule`](EventQueue::schedule) panics beyond.
///
/// ```
/// use drainsim::engine::{EventQueue, Time};
///
/// let mut queue = EventQueue::new();
/// queue.schedule(Time::from_secs(2), "late");
/// let timeout = queue.schedule(Time::from_secs(1), "timeout");
/// queue.schedule(Time::from_secs(1), "early");
/// assert!(queue.cancel(timeout));
/// assert_eq!(queue.pop(), Some((Time::from_secs(1), "early")));
/// assert_eq!(queue.pop(), Some((Time::from_secs(2), "late")));
/// assert_eq!(queue.pop(), None);
/// ```
#[derive(Clone)]
pub struct EventQueue<E: Copy> {
    heap: Heap,
    slab: Vec<Slot<E>>,
    /// Slots that no key in the heap points to; the last one vacated is the first one let, while it is in the cache.
    free: Vec<u32>,
    /// Sequence number of the next event; from 1, so that a timer is never zero.
    sequence: u64,
    /// How many keys in the heap belong to a cancelled event.
    cancelled: usize,
    now: Time,
}

/// Names one scheduled event, for [`EventQueue::cancel`]. Never given out twice, so an outdated one does no harm.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Timer(NonZeroU64);

/// A place for an event. One without a tenant is free, or waits for its key to surface in the heap.
#[derive(Clone, Copy)]
struct Slot<E> {
    tenant: Option<Timer>,
    event: E,
}

impl<E: Copy> EventQueue<E> {
    /// An empty queue at [`Time::ZERO`].
    pub fn new() -> EventQueue<E> {
        EventQueue::with_capacity(0)
    }

    /// An empty queue with room for `n` pending events before it allocates again.
    pub fn with_capacity(n: usize) -> EventQueue<E> {
        EventQueue {
            heap: Heap::with_capacity(n),
            slab: Vec::with_capacity(n),
            free: Vec::with_capacity(n),
            sequence: 1,
            cancelled: 0,
            now: Time::ZERO,
        }
    }

    /// Puts `event` at `at`, behind whatever is already scheduled for that instant.
    ///
    /// An instant before [`now`](EventQueue::now) is a mistake of the caller: a debug build panics, a release build
    /// takes it as now.
    ///
    /// # Panics
    ///
    /// If one of the [limits](EventQueue#limits) is exceeded.
    #[inline]
    pub fn schedule(&mut self, at: Time, event: E) -> Timer {
        debug_assert!(at >= self.now, "event scheduled at {at}, before now, which is {}", self.now);
        let slot = match self.free.pop() {
            Some(slot) => slot as usize,
            None => self.slab.len(),
        };
        let timer = Timer::new(self.sequence, slot);
        self.sequence += 1;
        let let_to = Slot { tenant: Some(timer), event };
        match self.slab.get_mut(slot) {
            Some(vacant) => *vacant = let_to,
            None => self.slab.push(let_to),
        }
        self.heap.push(Key::new(at.max(self.now), timer.0.get()));
        timer
    }

    /// Takes the event of `timer` out of the queue, in constant time; says whether it was still there. `false` means
    /// that it was popped or cancelled before.
    #[inline]
    pub fn cancel(&mut self, timer: Timer) -> bool {
        let pending = self.is_pending(timer);
        if pending {
            self.slab[timer.slot()].tenant = None;
            self.cancelled += 1;
        }
        pending
    }

    /// Takes out all events that `is_void` names, in a time that grows with the number of events; says how many.
    pub fn cancel_all(&mut self, is_void: impl Fn(&E) -> bool) -> usize {
        let void: Vec<Timer> =
            self.slab.iter().filter(|slot| is_void(&slot.event)).filter_map(|slot| slot.tenant).collect();
        void.into_iter().filter(|timer| self.cancel(*timer)).count()
    }

    /// Whether the event of `timer` is still to come.
    #[inline]
    pub fn is_pending(&self, timer: Timer) -> bool {
        self.slab.get(timer.slot()).is_some_and(|slot| slot.tenant == Some(timer))
    }

    /// Takes out the next event and makes its time the present; `None` if there is none left.
    #[inline]
    pub fn pop(&mut self) -> Option<(Time, E)> {
        loop {
            let key = self.heap.pop()?;
            if let Some(event) = self.vacate(slot_of(key.tie())) {
                self.now = key.time();
                return Some((self.now, event));
            }
        }
    }

    /// The time of the next event; `None` if there is none left. Mutable since it clears away cancelled events.
    #[inline]
    pub fn peek_time(&mut self) -> Option<Time> {
        loop {
            let key = self.heap.peek()?;
            let slot = slot_of(key.tie());
            if self.slab[slot].tenant.is_some() {
                return Some(key.time());
            }
            self.heap.pop();
            self.vacate(slot);
        }
    }

    /// How many events are still to come; cancelled ones do not count.
    pub fn len(&self) -> usize {
        self.heap.len() - self.cancelled
    }

    /// Whether no event is left.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The present: the time of the last popped event, [`Time::ZERO`] before the first.
    pub fn now(&self) -> Time {
        self.now
    }

    /// Frees the slot of a key that has left the heap; returns its event unless that was cancelled.
    #[inline]
    fn vacate(&mut self, slot: usize) -> Option<E> {
        self.free.push(slot as u32);
        let Slot { tenant, event } = &mut self.slab[slot];
        match tenant.take() {
            Some(_) => Some(*event),
            None => {
                self.cancelled -= 1;
                None
            }
        }
    }
}

impl<E: Copy> Default for EventQueue<E> {
    fn default() -> EventQueue<E> {
        EventQueue::new()
    }
}

impl<E: Copy> fmt::Debug for EventQueue<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventQueue").field("now", &self.now).field("len", &self.len()).finish_non_exhaustive()
    }
}

const SLOT_BITS: u32 = 24;
const SLOTS: usize = 1 << SLOT_BITS;
/// The first sequence number that is not given out; one short of 40 bits, since a key's tie must not be `u64::MAX`.
const SEQUENCE_END: u64 = (1 << (u64::BITS - SLOT_BITS)) - 1;

impl Timer {
    #[inline]
    fn new(sequence: u64, slot: usize) -> Timer {
        assert!(slot < SLOTS, "more than 2^24 events are pending in one queue");
        assert!(sequence < SEQUENCE_END, "more than 2^40 events were scheduled in one queue");
        Timer(NonZeroU64::new(sequence << SLOT_BITS | slot as u64).expect("sequence numbers start at 1"))
    }

    #[inline]
    fn slot(self) -> usize {
        slot_of(self.0.get())
    }
}

/// The slot in the lower half of a key.
#[inline]
fn slot_of(tie: u64) -> usize {
    tie as usize % SLOTS
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::time::Duration;
    use proptest::prelude::*;

    #[test]
    fn all_events_of_a_kind_can_be_taken_out() {
        let mut queue = EventQueue::new();
        let gone = queue.schedule(Time::from_secs(1), 0);
        queue.cancel(gone);
        for event in 1..=10 {
            queue.schedule(Time::from_secs(2), event);
        }
        assert_eq!(queue.cancel_all(|event| event % 2 == 0), 5);
        assert_eq!(queue.len(), 5);
        let popped: Vec<_> = std::iter::from_fn(|| queue.pop()).map(|(_, event)| event).collect();
        assert_eq!(popped, [1, 3, 5, 7, 9]);
    }

    #[test]
    fn ties_run_in_the_order_of_scheduling() {
        let mut queue = EventQueue::new();
        for event in 0..100 {
            queue.schedule(Time::from_secs(1), event);
        }
        let popped: Vec<_> = std::iter::from_fn(|| queue.pop()).map(|(_, event)| event).collect();
        assert_eq!(popped, (0..100).collect::<Vec<_>>());
        assert_eq!(queue.now(), Time::from_secs(1));
    }

    #[test]
    fn an_outdated_timer_does_not_touch_the_next_tenant_of_its_slot() {
        let mut queue = EventQueue::new();
        let first = queue.schedule(Time::from_secs(1), 'a');
        assert!(queue.is_pending(first));
        queue.pop();
        let second = queue.schedule(Time::from_secs(2), 'b');
        assert_eq!(first.slot(), second.slot());
        assert!(!queue.is_pending(first));
        assert!(!queue.cancel(first));
        assert!(queue.cancel(second));
        assert!(!queue.cancel(second));
        assert!(queue.is_empty());
        assert_eq!(queue.pop(), None);
        assert_eq!(queue.now(), Time::from_secs(1), "a cancelled event does not move the present");
    }

    #[test]
    fn a_timer_is_a_word_even_if_there_may_be_none() {
        assert_eq!(size_of::<Option<Timer>>(), 8);
    }

    #[test]
    fn a_slot_is_used_again() {
        let mut queue = EventQueue::new();
        for round in 0..1000 {
            let timer = queue.schedule(Time::from_nanos(round), ());
            if round % 3 == 0 {
                queue.cancel(timer);
                assert_eq!(queue.peek_time(), None);
            } else {
                queue.pop();
            }
        }
        assert_eq!(queue.slab.len(), 1);
    }

    #[test]
    #[cfg_attr(debug_assertions, should_panic(expected = "before now"))]
    fn the_past_is_a_mistake() {
        let mut queue = EventQueue::new();
        queue.schedule(Time::from_secs(5), ());
        queue.pop();
        queue.schedule(Time::from_secs(4), ());
        assert_eq!(queue.pop(), Some((Time::from_secs(5), ())), "without debug assertions it is taken as now");
    }

    #[test]
    #[should_panic(expected = "more than 2^40 events")]
    fn the_sequence_does_not_wrap() {
        let mut queue = EventQueue::new();
        queue.sequence = SEQUENCE_END - 1;
        queue.schedule(Time::MAX, ());
        queue.schedule(Time::MAX, ());
    }

    #[test]
    #[should_panic(expected = "more than 2^24 events")]
    fn the_slots_do_not_wrap() {
        let mut queue = EventQueue::with_capacity(SLOTS);
        for _ in 0..=SLOTS {
            queue.schedule(Time::ZERO, ());
        }
    }

    /// What a test does to a queue.
    #[derive(Clone, Debug)]
    enum Step {
        /// Schedule so many nanoseconds from now; few, so that ties are common.
        Schedule(u64),
        /// Cancel one of all the timers there ever were.
        Cancel(prop::sample::Index),
        Pop,
        Peek,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (0..8u64).prop_map(Step::Schedule),
            2 => any::<prop::sample::Index>().prop_map(Step::Cancel),
            3 => Just(Step::Pop),
            1 => Just(Step::Peek),
        ]
    }

    proptest! {
        #[test]
        fn behaves_as_a_sorted_list(steps in prop::collection::vec(step(), 0..400)) {
            let mut queue = EventQueue::new();
            // The pending events, sorted by time and number; an event is its number.
            let mut model: Vec<(Time, usize)> = Vec::new();
            let mut timers = Vec::new();
            let mut now = Time::ZERO;
            for step in steps {
                match step {
                    Step::Schedule(nanos) => {
                        let entry = (now + Duration::from_nanos(nanos), timers.len());
                        timers.push(queue.schedule(entry.0, entry.1));
                        model.insert(model.partition_point(|other| *other < entry), entry);
                    }
                    Step::Cancel(index) if !timers.is_empty() => {
                        let event = index.index(timers.len());
                        let pending = model.iter().position(|entry| entry.1 == event);
                        prop_assert_eq!(queue.is_pending(timers[event]), pending.is_some());
                        prop_assert_eq!(queue.cancel(timers[event]), pending.is_some());
                        pending.map(|at| model.remove(at));
                    }
                    Step::Cancel(_) => {}
                    Step::Pop => {
                        let next = (!model.is_empty()).then(|| model.remove(0));
                        now = next.map_or(now, |entry| entry.0);
                        prop_assert_eq!(queue.pop(), next);
                    }
                    Step::Peek => prop_assert_eq!(queue.peek_time(), model.first().map(|entry| entry.0)),
                }
                prop_assert_eq!(queue.len(), model.len());
                prop_assert_eq!(queue.is_empty(), model.is_empty());
                prop_assert_eq!(queue.now(), now);
            }
        }
    }
}
