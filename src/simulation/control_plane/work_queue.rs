//! The de-duplicating work queue of Kubernetes' controllers.
//!
//! Source: `k8s.io/client-go/util/workqueue/queue.go` (Add, Get, Done), `delaying_queue.go` (AddAfter) and
//! `default_rate_limiters.go` (v1.36).

use std::collections::VecDeque;

use crate::engine::{Duration, Time};
use crate::simulation::context::Context;
use crate::simulation::event::{Controller, Event};
use crate::simulation::latency::Hop;
use crate::simulation::observe::CauseId;

/// A queue of keys (indices of objects). A key is held once; one that is added while it is being processed is queued
/// again when its worker is done; so one key is never processed twice at once.
///
/// Workers are modelled as a number: [`take`](Self::take) hands out a key as long as fewer than `workers` are busy.
#[derive(Clone, Debug)]
pub struct WorkQueue {
    workers: usize,
    busy: usize,
    ready: VecDeque<u32>,
    keys: Vec<KeyState>,
    backoff_base: Duration,
    backoff_max: Duration,
}

#[derive(Clone, Copy, Debug, Default)]
struct KeyState {
    queued: bool,
    processing: bool,
    failures: u32,
    /// When a delayed add is due.
    waiting_until: Option<Time>,
    /// The note that made somebody add it first.
    cause: CauseId,
    /// How often it has been taken: tells the draws of its syncs apart.
    syncs: u64,
}

impl WorkQueue {
    /// A queue with this many workers whose failures back off from `backoff_base`, doubling up to `backoff_max`.
    #[must_use]
    pub fn new(workers: usize, backoff_base: Duration, backoff_max: Duration) -> Self {
        Self { workers, busy: 0, ready: VecDeque::new(), keys: Vec::new(), backoff_base, backoff_max }
    }

    /// The default rate limiter: 5 ms, doubling up to 1000 s.
    #[must_use]
    pub fn with_default_backoff(workers: usize) -> Self {
        Self::new(workers, Duration::from_millis(5), Duration::from_secs(1000))
    }

    fn key(&mut self, key: u32) -> &mut KeyState {
        let index = key as usize;
        if self.keys.len() <= index {
            self.keys.resize(index + 1, KeyState::default());
        }
        &mut self.keys[index]
    }

    /// Adds a key because of `cause`; of several adds before a sync the last one's cause stands, for the sync sees what it
    /// has done. The caller then calls [`pump`](Self::pump).
    pub fn add(&mut self, key: u32, cause: CauseId) {
        let state = self.key(key);
        state.cause = cause;
        if state.queued {
            return;
        }
        state.queued = true;
        if !state.processing {
            self.ready.push_back(key);
        }
    }

    /// A key for a free worker, if there are both, with the cause of its add.
    pub fn take(&mut self) -> Option<(u32, CauseId)> {
        if self.busy == self.workers {
            return None;
        }
        let key = self.ready.pop_front()?;
        self.busy += 1;
        let state = self.key(key);
        state.queued = false;
        state.processing = true;
        state.syncs += 1;
        let cause = state.cause;
        Some((key, cause))
    }

    /// Gives keys to free workers: each begins its sync after the controller's `hop`. `luck` is the luck of a key's object.
    pub fn pump(
        &mut self,
        ctx: &mut Context<'_>,
        controller: Controller,
        hop: Hop,
        luck: impl Fn(&Context<'_>, u32) -> u64,
    ) {
        while let Some((key, cause)) = self.take() {
            let delay = ctx.latency(hop, luck(ctx, key), self.key(key).syncs);
            let outer = std::mem::replace(&mut ctx.cause, cause);
            ctx.schedule(delay, Event::Sync(controller, key));
            ctx.cause = outer;
        }
    }

    /// The sync of a key begins to read: what was added since it was taken is covered by it. Sets the cause.
    pub fn begin(&mut self, ctx: &mut Context<'_>, key: u32) {
        let state = self.key(key);
        state.queued = false;
        ctx.cause = state.cause;
    }

    /// Adds a key after `delay` (by an [`Event::Requeue`], on which the controller calls [`due`](Self::due) and
    /// [`pump`](Self::pump)). If it is already waiting, the earlier time stands.
    pub fn add_after(&mut self, ctx: &mut Context<'_>, controller: Controller, key: u32, delay: Duration) {
        if let Some(at) = self.add_at(key, ctx.now() + delay) {
            ctx.schedule_at(at, Event::Requeue(controller, key));
        }
    }

    /// A worker is done with a key; if it was added meanwhile, it is queued again. The caller then calls
    /// [`pump`](Self::pump).
    pub fn done(&mut self, key: u32) {
        self.busy -= 1;
        let state = self.key(key);
        state.processing = false;
        if state.queued {
            self.ready.push_back(key);
        }
    }

    /// Registers that the key is to be added at `due`. An earlier due time stands; returns the time at which the caller is
    /// to call [`due`](Self::due), or `None` if that is already arranged.
    fn add_at(&mut self, key: u32, due: Time) -> Option<Time> {
        let state = self.key(key);
        if state.waiting_until.is_some_and(|earlier| earlier <= due) {
            return None;
        }
        state.waiting_until = Some(due);
        Some(due)
    }

    /// A delayed add is due at `now`: adds the key, unless an earlier one has done so.
    pub fn due(&mut self, key: u32, now: Time, cause: CauseId) {
        let state = self.key(key);
        if state.waiting_until.is_some_and(|at| at <= now) {
            state.waiting_until = None;
            self.add(key, cause);
        }
    }

    /// One more failure of a key: how long to wait before it is added again.
    pub fn fail(&mut self, key: u32) -> Duration {
        let (base, max) = (self.backoff_base, self.backoff_max);
        let state = self.key(key);
        let factor = 1u64 << state.failures.min(40);
        state.failures += 1;
        base.checked_mul(factor).map_or(max, |d| d.min(max))
    }

    /// How often the key has failed in a row.
    #[must_use]
    pub fn failures(&self, key: u32) -> u32 {
        self.keys.get(key as usize).map_or(0, |k| k.failures)
    }

    /// The key has succeeded: the next failure starts from the beginning.
    pub fn forget(&mut self, key: u32) {
        self.key(key).failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: CauseId = CauseId(0);

    #[test]
    fn adds_coalesce_and_a_key_is_never_processed_twice_at_once() {
        let mut queue = WorkQueue::with_default_backoff(5);
        queue.add(3, NONE);
        queue.add(3, NONE);
        assert_eq!(queue.take(), Some((3, NONE)));
        assert_eq!(queue.take(), None);
        queue.add(3, NONE);
        queue.add(3, NONE);
        assert_eq!(queue.take(), None, "still being processed");
        queue.done(3);
        assert_eq!(queue.take(), Some((3, NONE)), "once more for all adds meanwhile");
        queue.done(3);
        assert_eq!(queue.take(), None);
    }

    #[test]
    fn workers_are_limited() {
        let mut queue = WorkQueue::with_default_backoff(1);
        queue.add(1, NONE);
        queue.add(2, NONE);
        assert_eq!(queue.take(), Some((1, NONE)));
        assert_eq!(queue.take(), None);
        queue.done(1);
        assert_eq!(queue.take(), Some((2, NONE)));
    }

    #[test]
    fn the_earlier_of_two_delays_stands() {
        let mut queue = WorkQueue::with_default_backoff(1);
        assert_eq!(queue.add_at(1, Time::from_secs(5)), Some(Time::from_secs(5)));
        assert_eq!(queue.add_at(1, Time::from_secs(9)), None);
        assert_eq!(queue.add_at(1, Time::from_secs(2)), Some(Time::from_secs(2)));
        queue.due(1, Time::from_secs(2), NONE);
        assert_eq!(queue.take(), Some((1, NONE)));
        queue.done(1);
        queue.due(1, Time::from_secs(5), NONE);
        assert_eq!(queue.take(), None, "the later one has been overtaken");
    }

    #[test]
    fn failures_back_off() {
        let mut queue = WorkQueue::new(1, Duration::from_secs(1), Duration::from_secs(5));
        assert_eq!((0..4).map(|_| queue.fail(0).as_secs()).collect::<Vec<_>>(), [1, 2, 4, 5]);
        queue.forget(0);
        assert_eq!(queue.fail(0).as_secs(), 1);
    }
}
