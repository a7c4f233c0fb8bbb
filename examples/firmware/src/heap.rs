//! A heap of a fixed size that knows how full it ever was.
//!
//! The only unsafe code here, and what any firmware with a heap has: handing an allocator its memory, once.

use core::alloc::{GlobalAlloc, Layout};
use core::sync::atomic::{AtomicUsize, Ordering};

use embedded_alloc::LlffHeap;

/// Bytes of heap that there are.
pub const BYTES: usize = 32 * 1024;

struct Heap {
    inner: LlffHeap,
    peak: AtomicUsize,
}

#[global_allocator]
static HEAP: Heap = Heap {
    inner: LlffHeap::empty(),
    peak: AtomicUsize::new(0),
};

// SAFETY: every call goes to an allocator that keeps these rules itself.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise is passed on.
        let memory = unsafe { self.inner.alloc(layout) };
        self.peak.fetch_max(self.inner.used(), Ordering::Relaxed);
        memory
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is passed on.
        unsafe { self.inner.dealloc(memory, layout) }
    }
}

/// Gives the heap its memory. Called once, before anything is allocated.
pub fn init() {
    use core::mem::MaybeUninit;
    static mut MEMORY: [MaybeUninit<u8>; BYTES] = [MaybeUninit::uninit(); BYTES];
    // SAFETY: this is called once, and nobody else knows the memory.
    unsafe { HEAP.inner.init(&raw mut MEMORY as usize, BYTES) }
}

/// Bytes that were in use at most, with what the allocator needs for itself.
pub fn peak() -> usize {
    HEAP.peak.load(Ordering::Relaxed)
}
