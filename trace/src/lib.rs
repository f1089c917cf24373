//! Typed trace items from the pure stages to whoever asks why.
//!
//! Match, build, schedule, override, render and prune are pure functions over a snapshot. Each takes a [`Sink`] and reports
//! to it every choice that it makes, as a value of its own item type. Controllers pass [`NoTrace`], which costs
//! nothing: the item is built inside a closure that is never called. `why` and `plan` pass a [`Recorder`].
//!
//! ```
//! use navarch_trace::{NoTrace, Recorder, Sink};
//!
//! #[derive(Debug, PartialEq)]
//! enum Item {
//!     Compared { left: u32, right: u32 },
//! }
//!
//! fn larger(left: u32, right: u32, sink: &mut impl Sink<Item>) -> u32 {
//!     sink.record(|| Item::Compared { left, right });
//!     left.max(right)
//! }
//!
//! assert_eq!(larger(1, 2, &mut NoTrace), 2);
//! let mut recorder = Recorder::default();
//! larger(1, 2, &mut recorder);
//! assert_eq!(recorder.items, [Item::Compared { left: 1, right: 2 }]);
//! ```

/// Receives the decisions of a stage, in the order in which they are made.
pub trait Sink<T> {
    /// Takes one item; an implementation that keeps nothing never calls `item`.
    fn record(&mut self, item: impl FnOnce() -> T);

    /// Whether items are kept. A stage asks before it computes something that only a reader of the trace needs.
    fn is_recording(&self) -> bool {
        true
    }
}

/// Keeps nothing and builds nothing.
#[derive(Debug, Default, Clone, Copy)]
pub struct NoTrace;

impl<T> Sink<T> for NoTrace {
    #[inline]
    fn record(&mut self, _item: impl FnOnce() -> T) {}

    #[inline]
    fn is_recording(&self) -> bool {
        false
    }
}

/// Keeps every item in order.
#[derive(Debug, Clone)]
pub struct Recorder<T> {
    pub items: Vec<T>,
}

impl<T> Default for Recorder<T> {
    fn default() -> Self {
        Self { items: Vec::new() }
    }
}

impl<T> Sink<T> for Recorder<T> {
    fn record(&mut self, item: impl FnOnce() -> T) {
        self.items.push(item());
    }
}

impl<T, S: Sink<T>> Sink<T> for &mut S {
    fn record(&mut self, item: impl FnOnce() -> T) {
        (**self).record(item);
    }

    fn is_recording(&self) -> bool {
        (**self).is_recording()
    }
}
