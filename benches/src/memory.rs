//! An allocator that counts, when it is asked to.
//!
//! The crate that our tests count with counts always, through a thread-local cell, and turns every growing of a
//! buffer into a copy; here peers that allocate are timed, and it would be they who pay. This one costs a load of a
//! flag that stays as it is, and hands growing on to the system.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed};

#[global_allocator]
static COUNTER: Counter = Counter;

static COUNTING: AtomicBool = AtomicBool::new(false);
static CALLS: AtomicU64 = AtomicU64::new(0);
static LIVE: AtomicI64 = AtomicI64::new(0);
static PEAK: AtomicI64 = AtomicI64::new(0);

/// What was allocated while something ran.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Allocated {
    /// Calls that asked for memory, growing included.
    pub(crate) calls: u64,
    /// Bytes more than before, at its end.
    pub(crate) retained: i64,
    /// Bytes more than before, at most.
    pub(crate) peak: i64,
}

/// Runs `work` and counts. Nothing else of the process may run meanwhile.
pub(crate) fn counted<T>(work: impl FnOnce() -> T) -> (T, Allocated) {
    CALLS.store(0, Relaxed);
    LIVE.store(0, Relaxed);
    PEAK.store(0, Relaxed);
    COUNTING.store(true, Relaxed);
    let done = work();
    COUNTING.store(false, Relaxed);
    let (calls, retained, peak) = (CALLS.load(Relaxed), LIVE.load(Relaxed), PEAK.load(Relaxed));
    (done, Allocated { calls, retained, peak })
}

fn note(calls: u64, bytes: i64) {
    CALLS.fetch_add(calls, Relaxed);
    let live = LIVE.fetch_add(bytes, Relaxed) + bytes;
    PEAK.fetch_max(live, Relaxed);
}

struct Counter;

#[expect(unsafe_code, reason = "the trait is unsafe; every call is the system allocator's own")]
unsafe impl GlobalAlloc for Counter {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if COUNTING.load(Relaxed) {
            note(1, layout.size() as i64);
        }
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if COUNTING.load(Relaxed) {
            note(1, layout.size() as i64);
        }
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        if COUNTING.load(Relaxed) {
            note(0, -(layout.size() as i64));
        }
        unsafe { System.dealloc(place, layout) }
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if COUNTING.load(Relaxed) {
            note(1, size as i64 - layout.size() as i64);
        }
        unsafe { System.realloc(place, layout, size) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_counts_calls_bytes_and_the_peak() {
        let (kept, allocated) = counted(|| {
            drop(std::hint::black_box(vec![0_u8; 1_000]));
            std::hint::black_box(Box::new([1_u8; 100]))
        });
        assert_eq!((allocated.calls, allocated.retained, allocated.peak), (2, 100, 1_000));
        drop(kept);
    }
}
