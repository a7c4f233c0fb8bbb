//! How the limits are chosen, and how to choose others.
//!
//! All of them are fields of [`Config`](crate::Config), with unit and reason. [`Config::validate`](crate::Config::validate) tells which two don't fit each other.
//!
//! # What a session costs
//!
//! [`Config::memory_bound`](crate::Config::memory_bound) adds up what can be held for one session at most:
//!
//! | what | how much |
//! | --- | --- |
//! | received and not read | `streams_max` × `stream_credit` + `session_pool`, each byte times [`HOLD_FACTOR`](crate::HOLD_FACTOR) |
//! | written and not sent, or sent and not acknowledged | `send_buffer_session` + [`SEND_FLOOR`](crate::SEND_FLOOR) for each stream + `replay`, each byte times [`SEND_HOLD_FACTOR`](crate::SEND_HOLD_FACTOR) |
//! | streams | [`STREAM_COST`](crate::STREAM_COST) each |
//!
//! It is a bound, not a need: a session with a thousand idle streams takes about a megabyte. Use it to decide how many sessions a machine may have, not how many it will have.
//!
//! # Credit
//!
//! Every stream may always have [`stream_credit`](crate::Config::stream_credit) under way; that is set apart, so that no other stream's appetite takes it. Beyond, windows grow for streams that use them up quickly, out of
//! [`session_pool`](crate::Config::session_pool) and out of a [`Budget`](crate::Budget) that all sessions of a process may share, by at most half of what is free each time. One stream is as fast as its window allows:
//!
//! > window = rate × round trip
//!
//! 100 Mbit/s over 80 ms is 1 MB; 1 Gbit/s over 100 ms is 12.5 MB. A window that is smaller caps the rate; one that is larger costs nothing until it is used.
//!
//! # Replay
//!
//! What was sent is kept until it was acknowledged, up to [`replay`](crate::Config::replay); beyond that, nothing is sent. So it caps the rate as a window does, for all streams together, and the larger of the two is wasted.
//! 0 keeps nothing, and sessions end with their carriers.
//!
//! # Detached sessions
//!
//! A session without a carrier holds what it held, for [`resume_window`](crate::Config::resume_window). An endpoint bounds them by number, by tunnel and in bytes ([`detached_bytes`](crate::Config::detached_bytes)); the one that has been without for
//! longest goes first. Count what detached sessions hold beside what sessions on carriers hold: after a network's outage all of them are detached at once.
//!
//! # Small devices
//!
//! Four streams of 1 KiB, no pool, 2 KiB to send, no replay: both ends of a session and two busy streams took 7 KiB of heap in the firmware among the examples, of which the handshake is the largest part.
