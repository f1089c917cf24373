//! The queues of bindings that wait for a decision, as plain data.
//!
//! Both queues hand a key to one worker at a time, so that several workers never decide on one binding together: a key that is
//! pushed while it is being processed comes back when it is [done](PriorityQueue::done). Time is the [`Duration`](std::time::Duration) since any fixed
//! instant; whoever owns a queue passes it in and wakes workers.

mod fifo;
mod priority;

pub use fifo::{RateLimits, WorkQueue};
pub use priority::{Item, Lengths, PriorityQueue, backoff};
