//! The allocator of static programs: musl's own holds one lock for all threads, and costs a sixth of the speed. Without huge pages, of which a program that does
//! nothing would hold four or five.

use mimalloc::MiMalloc;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;
