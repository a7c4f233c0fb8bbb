//! What a signature can't say: the attacks that this crate has an answer to, how its limits are chosen, and what to turn when something is slow.
//!
//! There is no code in here.

pub mod limits;
pub mod threats;
pub mod tuning;
