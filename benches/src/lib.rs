//! What Adit is measured with. Nothing here is part of the programs.
//!
//! [`bare`] is the least that an encrypted tunnel could do.

pub mod bare;
