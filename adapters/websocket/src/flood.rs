//! A budget for frames that do no work.
//!
//! Empty data frames, pings and pongs cost the reader time and give the layer above nothing to
//! count. How many may follow each other is bounded here; a single byte of payload fills the budget
//! again, so traffic, however finely cut, never runs into it.

use crate::Error;

/// How many frames without payload may follow each other, unless
/// [`Config::flood_budget`](crate::Config::flood_budget) says otherwise.
///
/// A proxy that pings every 20 s would need more than five hours of a silent tunnel to use it up,
/// and a tunnel's own liveness check sends payload every few seconds.
pub const DEFAULT_FLOOD_BUDGET: u32 = 1_024;

/// Counts the frames that did no work.
#[derive(Debug)]
pub(crate) struct Flood {
    budget: u32,
    in_a_row: u32,
    total: u64,
}

impl Flood {
    pub(crate) fn new(budget: u32) -> Self {
        Self {
            budget,
            in_a_row: 0,
            total: 0,
        }
    }

    /// A frame came that has no payload for the layer above.
    pub(crate) fn idle_frame(&mut self) -> Result<(), Error> {
        self.total = self.total.saturating_add(1);
        if self.in_a_row >= self.budget {
            return Err(Error::Flood {
                budget: self.budget,
            });
        }
        self.in_a_row += 1;
        Ok(())
    }

    /// At least one byte of payload came.
    pub(crate) fn worked(&mut self) {
        self.in_a_row = 0;
    }

    /// All frames without payload since the beginning.
    pub(crate) fn total(&self) -> u64 {
        self.total
    }
}
