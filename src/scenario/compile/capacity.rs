//! How much an application can do at a time.

use crate::scenario::compile::Compiler;
use crate::scenario::diagnostic::Diagnostic;
use crate::scenario::file::AppEntry;
use crate::simulation::setup::{Capacity, WarmUp};

/// What an entry says of it.
pub(super) fn capacity(entry: &AppEntry) -> Capacity {
    Capacity {
        concurrency: entry.concurrency.as_ref().map(|c| c.value),
        queue: entry.queue.as_ref().map(|q| q.value),
        warm_up: entry.warm_up.as_ref().map(|w| WarmUp { span: w.span.value, factor: w.factor.value }),
    }
}

impl Compiler<'_> {
    /// Whether it makes sense.
    pub(super) fn check_capacity(&mut self, entry: &AppEntry) {
        if let Some(concurrency) = &entry.concurrency
            && concurrency.value == 0
        {
            let problem = Diagnostic::error("a process that works on no request answers none");
            self.push(problem.at(&concurrency.span, "expected 1 or more"));
        }
        if let (Some(queue), None) = (&entry.queue, &entry.concurrency) {
            self.push(
                Diagnostic::error("nobody waits in this queue")
                    .at(&queue.span, "the process works on all requests at once")
                    .help("add `concurrency`: how many it works on at a time"),
            );
        }
        if let Some(warm_up) = &entry.warm_up
            && !(warm_up.factor.value.is_finite() && (1.0..=1e6).contains(&warm_up.factor.value))
        {
            let problem = Diagnostic::error("a process that warms up is slower at first, not faster");
            self.push(problem.at(&warm_up.factor.span, "expected a number from 1 to 1000000, such as 5"));
        }
    }
}
