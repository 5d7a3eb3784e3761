//! The pods that wait for a node: active, backing off, or unschedulable until something changes.
//!
//! Source: `pkg/scheduler/backend/queue/{scheduling_queue,active_queue,backoff_queue}.go` (v1.36).

use std::collections::{BTreeMap, BTreeSet};

use crate::api::{PodId, Version};
use crate::engine::{Duration, Time};
use crate::simulation::observe::CauseId;

use super::filters::{Diagnosis, Plugins};

/// `podInitialBackoffSeconds`.
const INITIAL_BACKOFF: Duration = Duration::from_secs(1);
/// `podMaxBackoffSeconds`.
const MAX_BACKOFF: Duration = Duration::from_secs(10);
/// A pod for which nothing has happened for longer is tried again all the same (DefaultPodMaxInUnschedulablePodsDuration).
const MAX_IN_UNSCHEDULABLE: Duration = Duration::from_secs(5 * 60);
/// How often that is looked at; the first time at the start of the run.
const FLUSH_PERIOD: Duration = Duration::from_secs(30);

/// The three queues. No pod has a priority, so the order is that of time.
#[derive(Clone, Debug, Default)]
pub(super) struct SchedulingQueue {
    entries: BTreeMap<PodId, Entry>,
    active: BTreeSet<(Time, u64, PodId)>,
    back_off: BTreeSet<(Time, Time, u64, PodId)>,
    unschedulable: BTreeSet<PodId>,
    sequence: u64,
}

#[derive(Clone, Debug)]
struct Entry {
    place: Place,
    /// When it was added, or came back from its last attempt.
    timestamp: Time,
    sequence: u64,
    attempts: u64,
    unschedulable_count: u32,
    error_count: u32,
    cause: CauseId,
    plugins: Plugins,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Place {
    Active,
    BackOff,
    Unschedulable,
    /// Its cycle is under way, or its binding.
    InFlight,
}

/// A pod that has been taken for its cycle.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Popped {
    pub pod: PodId,
    /// The how-manyeth attempt, from 1.
    pub attempt: u64,
    /// Why it was in the queue.
    pub cause: CauseId,
}

impl SchedulingQueue {
    /// A new pod; no effect on one that is known.
    pub fn add(&mut self, pod: PodId, now: Time, cause: CauseId) {
        if self.entries.contains_key(&pod) {
            return;
        }
        self.sequence += 1;
        let entry = Entry {
            place: Place::InFlight,
            timestamp: now,
            sequence: self.sequence,
            attempts: 0,
            unschedulable_count: 0,
            error_count: 0,
            cause,
            plugins: Plugins::default(),
        };
        self.entries.insert(pod, entry);
        self.put(pod, Place::Active, Version::DEFAULT);
    }

    /// A pod that needs no node any more.
    pub fn remove(&mut self, pod: PodId) {
        self.take_out(pod);
        self.entries.remove(&pod);
    }

    /// The pod whose turn it is. If nobody is active, one that is backing off need not wait any longer (since 1.33), unless
    /// it is because of an error.
    pub fn pop(&mut self, version: Version) -> Option<Popped> {
        let early = || {
            let mut waiting = self.back_off.iter().map(|(_, _, _, pod)| *pod);
            waiting.find(|pod| self.entries[pod].error_count == 0).filter(|_| version.scheduler_pops_from_back_off())
        };
        let pod = self.active.first().map(|(_, _, pod)| *pod).or_else(early)?;
        self.take_out(pod);
        let entry = self.entries.get_mut(&pod)?;
        entry.place = Place::InFlight;
        entry.attempts += 1;
        Some(Popped { pod, attempt: entry.attempts, cause: entry.cause })
    }

    /// A cycle has found no node. With `hint`, something has happened meanwhile that could help. Returns when the pod is
    /// to be looked at again by [`due`](Self::due).
    pub fn failed(
        &mut self,
        pod: PodId,
        diagnosis: &Diagnosis,
        hint: bool,
        now: Time,
        cause: CauseId,
        version: Version,
    ) -> Option<Time> {
        let entry = self.entries.get_mut(&pod)?;
        entry.unschedulable_count += 1;
        entry.error_count = 0;
        entry.plugins = diagnosis.plugins;
        entry.timestamp = now;
        entry.cause = cause;
        if hint {
            return self.requeue(pod, now, cause, version);
        }
        self.put(pod, Place::Unschedulable, version);
        Some(flush_time(now))
    }

    /// A binding has failed, through no fault of the pod.
    pub fn error(&mut self, pod: PodId, now: Time, cause: CauseId, version: Version) -> Option<Time> {
        let entry = self.entries.get_mut(&pod)?;
        entry.error_count += 1;
        entry.plugins = Plugins::default();
        entry.timestamp = now;
        self.requeue(pod, now, cause, version)
    }

    /// Something has happened that may help those of the unschedulable pods that `worth` picks. Returns which of them are
    /// to be looked at again, and when.
    pub fn move_if(
        &mut self,
        now: Time,
        cause: CauseId,
        version: Version,
        mut worth: impl FnMut(PodId, Plugins) -> bool,
    ) -> Vec<(PodId, Time)> {
        let moved: Vec<_> =
            self.unschedulable.iter().copied().filter(|pod| worth(*pod, self.entries[pod].plugins)).collect();
        moved.into_iter().filter_map(|pod| Some((pod, self.requeue(pod, now, cause, version)?))).collect()
    }

    /// The time that was asked for has come.
    pub fn due(&mut self, pod: PodId, now: Time, cause: CauseId, version: Version) -> Option<Time> {
        let entry = self.entries.get(&pod)?;
        match entry.place {
            Place::BackOff if back_off_end(entry, version).1 <= now => {
                self.put(pod, Place::Active, version);
                None
            }
            Place::Unschedulable if flush_time(entry.timestamp) <= now => self.requeue(pod, now, cause, version),
            _ => None,
        }
    }

    /// To the active queue, or to the back-off queue if its time is not over.
    fn requeue(&mut self, pod: PodId, now: Time, cause: CauseId, version: Version) -> Option<Time> {
        let entry = self.entries.get_mut(&pod)?;
        entry.cause = cause;
        let (until, flush) = back_off_end(entry, version);
        if now < until {
            self.put(pod, Place::BackOff, version);
            Some(flush)
        } else {
            self.put(pod, Place::Active, version);
            None
        }
    }

    fn put(&mut self, pod: PodId, place: Place, version: Version) {
        self.take_out(pod);
        let Some(entry) = self.entries.get_mut(&pod) else { return };
        entry.place = place;
        match place {
            Place::Active => drop(self.active.insert((entry.timestamp, entry.sequence, pod))),
            Place::BackOff => {
                let (until, _) = back_off_end(entry, version);
                self.back_off.insert((until, entry.timestamp, entry.sequence, pod));
            }
            Place::Unschedulable => drop(self.unschedulable.insert(pod)),
            Place::InFlight => {}
        }
    }

    fn take_out(&mut self, pod: PodId) {
        let Some(entry) = self.entries.get(&pod) else { return };
        match entry.place {
            Place::Active => drop(self.active.remove(&(entry.timestamp, entry.sequence, pod))),
            Place::BackOff => self.back_off.retain(|(_, _, _, p)| *p != pod),
            Place::Unschedulable => drop(self.unschedulable.remove(&pod)),
            Place::InFlight => {}
        }
    }
}

/// When a pod is no longer backing off, and when the queue notices: it looks once a second. Since 1.33 times are cut to
/// whole seconds and the second that they fall into must be over.
fn back_off_end(entry: &Entry, version: Version) -> (Time, Time) {
    let failures = if entry.error_count > 0 { entry.error_count } else { entry.unschedulable_count };
    let Some(doublings) = failures.checked_sub(1) else { return (Time::ZERO, Time::ZERO) };
    let duration = INITIAL_BACKOFF.mul(1 << doublings.min(10)).min(MAX_BACKOFF);
    let second = Duration::from_secs(1);
    let end = entry.timestamp + duration;
    if version.scheduler_pops_from_back_off() {
        let over = end.truncate_to_second() + second;
        (over, over)
    } else {
        let whole = end.truncate_to_second();
        (end, if whole == end { whole } else { whole + second })
    }
}

/// The first look at which the pod has been unschedulable for more than five minutes.
fn flush_time(timestamp: Time) -> Time {
    let period = FLUSH_PERIOD.as_nanos();
    let due = (timestamp + MAX_IN_UNSCHEDULABLE).as_nanos();
    Time::from_nanos((due / period + 1) * period)
}

#[cfg(test)]
mod tests {
    use super::*;

    const POD: PodId = PodId(7);
    const NONE: CauseId = CauseId(0);

    fn fail(queue: &mut SchedulingQueue, now: Time, hint: bool, version: Version) -> Option<Time> {
        queue.failed(POD, &Diagnosis::default(), hint, now, NONE, version)
    }

    #[test]
    fn back_off_doubles_up_to_ten_seconds() {
        for (version, whole_seconds) in [(32, [1, 2, 4, 8, 10, 10]), (33, [2, 3, 5, 9, 11, 11])] {
            let version = Version::minor(version);
            let mut queue = SchedulingQueue::default();
            queue.add(POD, Time::ZERO, NONE);
            for seconds in whole_seconds {
                assert!(queue.pop(version).is_some());
                let due = fail(&mut queue, Time::ZERO, true, version);
                assert_eq!(due, Some(Time::from_secs(seconds)), "{version}");
                assert_eq!(queue.due(POD, Time::from_secs(seconds - 1), NONE, version), None);
                assert!(queue.active.is_empty(), "not yet");
                queue.due(POD, Time::from_secs(seconds), NONE, version);
            }
        }
    }

    #[test]
    fn an_idle_scheduler_does_not_let_pods_wait_since_1_33() {
        for (version, expected) in [(32, None), (33, Some(POD))] {
            let version = Version::minor(version);
            let mut queue = SchedulingQueue::default();
            queue.add(POD, Time::ZERO, NONE);
            queue.pop(version);
            fail(&mut queue, Time::ZERO, true, version);
            assert_eq!(queue.pop(version).map(|p| p.pod), expected);
        }
        // but after an error they do
        let version = Version::minor(36);
        let mut queue = SchedulingQueue::default();
        queue.add(POD, Time::ZERO, NONE);
        queue.pop(version);
        assert_eq!(queue.error(POD, Time::ZERO, NONE, version), Some(Time::from_secs(2)));
        assert_eq!(queue.pop(version), None);
    }

    #[test]
    fn the_unschedulable_wait_for_an_event_or_five_minutes() {
        let version = Version::DEFAULT;
        let mut queue = SchedulingQueue::default();
        queue.add(POD, Time::from_secs(3), NONE);
        queue.pop(version);
        let flush = fail(&mut queue, Time::from_secs(3), false, version);
        assert_eq!(flush, Some(Time::from_secs(330)), "303 s, at the next look");
        assert_eq!(queue.pop(version), None);
        assert_eq!(queue.move_if(Time::from_secs(60), NONE, version, |_, _| false), []);
        assert_eq!(queue.move_if(Time::from_secs(60), NONE, version, |_, _| true), [], "its back-off is over");
        assert_eq!(queue.pop(version).map(|p| (p.pod, p.attempt)), Some((POD, 2)));
    }
}
