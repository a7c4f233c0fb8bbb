//! The allocator of static programs: musl's own holds one lock for all threads, and costs a sixth of the speed.

use mimalloc::MiMalloc;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;
