//! A whole connection: an input is a seed and a list of operations, four bytes each, that a session must live through.

use adit_core::Side;

use crate::life::{Life, Op};

/// Operations of one input at most.
const OPS_MAX: usize = 400;

/// Lives through what an input says; see [`Life`] for what is checked.
pub(super) fn connection(input: &[u8]) {
    let Some((&seed, rest)) = input.split_first() else {
        return;
    };
    let (ops, _) = rest.as_chunks::<4>();
    let ops: Vec<Op> = ops.iter().take(OPS_MAX).map(op).collect();
    Life::new(seed.into()).live(&ops);
}

fn op(&[kind, pick, high, low]: &[u8; 4]) -> Op {
    let side = if kind & 0x80 == 0 {
        Side::Client
    } else {
        Side::Server
    };
    let number = u16::from_be_bytes([high, low]);
    let (pick, len) = (usize::from(pick), usize::from(number) + 1);
    match kind & 0x0f {
        0 | 1 => Op::Open(side),
        2..=4 => Op::Write { side, pick, len },
        5 | 6 => Op::Read { side, pick, len },
        7 => Op::Finish { side, pick },
        8 => Op::Reset { side, pick },
        9 => Op::GoAway(side),
        10 => Op::Nonsense { side, pick },
        11 => Op::Cut {
            way: pick as u8 % 5,
            down: number,
            up: number.rotate_left(8),
        },
        12 => Op::Dial,
        13 => Op::Exchange,
        _ => Op::Run(u32::from(number) + 1),
    }
}
