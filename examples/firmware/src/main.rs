//! Both ends of a session on a Cortex-M4: a handshake, two streams at once, and 8 KiB each way in both, in 32 KiB of heap.
//!
//! A real device has one of the ends, and a serial line or a radio where this has two function calls. `./run` builds it, starts it in
//! an emulator and says how much memory it took.

#![no_std]
#![no_main]

extern crate alloc;

mod heap;
mod session;

use core::panic::PanicInfo;

use cortex_m_rt::entry;
use cortex_m_semihosting::debug::{EXIT_FAILURE, EXIT_SUCCESS, exit};
use cortex_m_semihosting::hprintln;

#[entry]
fn main() -> ! {
    heap::init();
    match session::run() {
        Ok(bytes) => {
            hprintln!(
                "FIGURE firmware: {} bytes came whole through two streams",
                bytes
            );
            hprintln!(
                "FIGURE firmware: {} bytes of heap at most, of {}",
                heap::peak(),
                heap::BYTES
            );
            exit(EXIT_SUCCESS);
        }
        Err(error) => {
            hprintln!("failed: {}", error);
            exit(EXIT_FAILURE);
        }
    }
    loop {
        cortex_m::asm::wfi();
    }
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    hprintln!("{}", info);
    exit(EXIT_FAILURE);
    loop {
        cortex_m::asm::wfi();
    }
}
