//! The heap under the event queue: 16-byte keys, four children a node, one aligned cache line for the four.
//!
//! Why four: the tree is half as deep as a binary one, so a pop of a large heap waits for half as many cache misses,
//! and with the siblings in one line each level costs exactly one. See LaMarca and Ladner, "The influence of caches on
//! the performance of heaps", ACM JEA 1 (1996).
//!
//! Positions are counted from [`ROOT`] so that siblings share a line: the children of position `i` are line `i - 2`.
//!
//! ```text
//! line      0: [ -  -  -  root ]    1: [ 4 5 6 7 ] children of the root    2: [ 8 9 10 11 ] children of 4    ...
//! ```

use super::time::Time;

/// What the heap sorts: a time and, among equal times, a tie-breaker that makes the key unique.
///
/// One `u128`, time in the upper half, so that a comparison is one subtraction without a branch.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Key(u128);

impl Key {
    /// Greater than every key in use: fills the unused places of a line.
    const NONE: Key = Key(u128::MAX);

    /// `tie` must not be `u64::MAX`.
    #[inline]
    pub(super) fn new(time: Time, tie: u64) -> Key {
        Key(u128::from(time.as_nanos()) << 64 | u128::from(tie))
    }

    #[inline]
    pub(super) fn time(self) -> Time {
        Time::from_nanos((self.0 >> 64) as u64)
    }

    #[inline]
    pub(super) fn tie(self) -> u64 {
        self.0 as u64
    }
}

/// A min-heap of [`Key`]s.
#[derive(Clone)]
pub(super) struct Heap {
    lines: Vec<Line>,
    len: usize,
}

/// Four siblings.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Line([Key; 4]);

/// Position of the smallest key; the three before it are never used.
const ROOT: usize = 3;

impl Heap {
    pub(super) fn with_capacity(n: usize) -> Heap {
        Heap { lines: Vec::with_capacity((ROOT + n).div_ceil(4)), len: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    #[inline]
    pub(super) fn peek(&self) -> Option<Key> {
        (self.len > 0).then(|| self.get(ROOT))
    }

    #[inline]
    pub(super) fn push(&mut self, key: Key) {
        let position = ROOT + self.len;
        self.len += 1;
        if position / 4 == self.lines.len() {
            self.lines.push(Line([Key::NONE; 4]));
        }
        self.sift_up(position, key);
    }

    #[inline]
    pub(super) fn pop(&mut self) -> Option<Key> {
        let top = self.peek()?;
        self.len -= 1;
        let last = ROOT + self.len;
        let key = self.get(last);
        self.set(last, Key::NONE);
        if last > ROOT {
            self.sift_down(ROOT, key);
        }
        Some(top)
    }

    /// Moves the hole at `hole` towards the root until `key` fits, and fills it.
    #[inline]
    fn sift_up(&mut self, mut hole: usize, key: Key) {
        while hole > ROOT {
            let parent = hole / 4 + 2;
            let above = self.get(parent);
            if above <= key {
                break;
            }
            self.set(hole, above);
            hole = parent;
        }
        self.set(hole, key);
    }

    /// Moves the hole at `hole` towards the leaves until `key` fits, and fills it.
    #[inline]
    fn sift_down(&mut self, mut hole: usize, key: Key) {
        while let Some(children) = self.lines.get(hole - 2) {
            let (place, least) = children.least();
            if key <= least {
                break;
            }
            self.set(hole, least);
            hole = (hole - 2) * 4 + place;
        }
        self.set(hole, key);
    }

    #[inline]
    fn get(&self, position: usize) -> Key {
        self.lines[position / 4].0[position % 4]
    }

    #[inline]
    fn set(&mut self, position: usize, key: Key) {
        self.lines[position / 4].0[position % 4] = key;
    }
}

impl Line {
    /// The place of the smallest key, and that key; a knock-out of two rounds, which compiles without branches.
    #[inline]
    fn least(&self) -> (usize, Key) {
        let [a, b, c, d] = self.0;
        let left = if b < a { (1, b) } else { (0, a) };
        let right = if d < c { (3, d) } else { (2, c) };
        if right.1 < left.1 { right } else { left }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn four_keys_are_a_cache_line() {
        assert_eq!((size_of::<Line>(), align_of::<Line>()), (64, 64));
    }

    #[test]
    fn the_last_instant_is_not_taken_for_an_empty_place() {
        let mut heap = Heap::with_capacity(0);
        let last = Key::new(Time::MAX, u64::MAX - 1);
        heap.push(last);
        heap.push(Key::new(Time::MAX, 0));
        assert_eq!(heap.pop(), Some(Key::new(Time::MAX, 0)));
        assert_eq!(heap.pop(), Some(last));
        assert_eq!(heap.pop(), None);
        assert_eq!(heap.peek(), None);
    }

    proptest! {
        #[test]
        fn pops_in_order_while_it_grows_and_shrinks(rounds in prop::collection::vec((0..40u64, 0..40usize), 0..40)) {
            let (mut heap, mut model, mut tie) = (Heap::with_capacity(0), Vec::new(), 0);
            for (pushes, pops) in rounds {
                for i in 0..pushes {
                    tie += 1;
                    // A few times only, in no order, so that ties are common.
                    let key = Key::new(Time::from_nanos(i * 7919 % 13), tie);
                    heap.push(key);
                    model.push(key);
                }
                model.sort_by_key(|&key| std::cmp::Reverse(key));
                for _ in 0..pops {
                    prop_assert_eq!(heap.peek(), model.last().copied());
                    prop_assert_eq!(heap.pop(), model.pop());
                }
                prop_assert_eq!(heap.len(), model.len());
            }
        }
    }
}
