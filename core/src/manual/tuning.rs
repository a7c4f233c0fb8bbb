//! What to look at, and what to turn, when something is slow.
//!
//! # One stream is slower than the path
//!
//! - Its window: [`stream_window_max`](crate::Config::stream_window_max), then [`session_pool`](crate::Config::session_pool) and the [`Budget`](crate::Budget), then [`replay`](crate::Config::replay), each against rate × round trip
//!   ([`limits`](super::limits)). The receiving side's window counts, and the sending side's replay.
//! - The reader: credit is given as bytes are taken ([`Session::consume`](crate::Session::consume)). Take them when they have really gone on, and not before: that is what pushes back on whoever sends too much.
//! - The carrier's own buffers, which no window of ours sees: a TCP connection with a small buffer is a small window.
//!
//! # Small requests wait behind bulk
//!
//! Frames are made as late as [`Session::poll_transmit`](crate::Session::poll_transmit) is called, so that a request that comes now goes out before data that came earlier. Ask for a frame when the carrier takes it, not before; what lies in a buffer
//! below can't be overtaken. On Linux, `TCP_NOTSENT_LOWAT` keeps the kernel's share small. What is under way is kept near what the path holds (delivery rate × round trip, spec section 6.6), for which
//! acknowledgements must be handed in when they come.
//!
//! # Broken carriers are noticed late
//!
//! [`ping_after`](crate::Config::ping_after) and [`dead_after`](crate::Config::dead_after) decide; any byte is a sign of life, also a part of a frame
//! ([`Session::handle_alive`](crate::Session::handle_alive) for what your layers below have read and not yet handed on). [`Session::suspect_at`](crate::Session::suspect_at) says earlier that an answer is overdue: time to dial a second carrier beside the first, not to leave it.
//! On slow lines both must be longer than it takes to send the longest frame.
//!
//! # Many wake-ups
//!
//! [`poll_timeout`](crate::Session::poll_timeout) moves with nearly every exchange. To leave a timer that fires earlier, and look at the new time then, is cheaper than to set it anew. After each call that hands something over, poll events and
//! frames once for all of them: batches are what makes bulk cheap. [`Session::has_output`](crate::Session::has_output) says whether asking for a frame is worth it.
//!
//! # Copies
//!
//! Payload comes in as slices of what you handed in, and goes out as slices of what was written, by reference. Below 2 KiB bytes are copied, where a slice would keep a whole buffer alive. Write in multiples of
//! [`DATA_FRAME_MAX`](crate::DATA_FRAME_MAX), and no frame is made of rests.
