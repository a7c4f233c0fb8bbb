//! From a long list of operations that fails to a short one that still does.

/// Tries of [`shrink`] at most.
const TRIES_MAX: usize = 3_000;

/// The shortest list that was found by leaving out parts of `ops`, larger ones first, such that `fails` still holds. `ops` itself must fail.
#[must_use]
pub fn shrink<T: Clone>(ops: &[T], mut fails: impl FnMut(&[T]) -> bool) -> Vec<T> {
    let mut shortest = ops.to_vec();
    let mut tries = 0;
    loop {
        let before = shortest.len();
        let mut part = before.div_ceil(2);
        while part > 0 {
            let mut at = 0;
            while at < shortest.len() && tries < TRIES_MAX {
                let end = shortest.len().min(at + part);
                let without = [&shortest[..at], &shortest[end..]].concat();
                tries += 1;
                if fails(&without) {
                    shortest = without;
                } else {
                    at = end;
                }
            }
            part /= 2;
        }
        if shortest.len() == before || tries >= TRIES_MAX {
            return shortest;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_matters_is_left_and_in_order() {
        let ops: Vec<u32> = (0..1_000).collect();
        let matters = |ops: &[u32]| {
            let at = |op| ops.iter().position(|it| *it == op);
            matches!((at(17), at(400), at(999)), (Some(_), Some(_), Some(_)))
        };
        assert_eq!(shrink(&ops, matters), [17, 400, 999]);
    }

    #[test]
    fn what_fails_without_any_operation_shrinks_to_none() {
        assert_eq!(shrink(&[1, 2, 3], |_| true), [0_u32; 0]);
    }
}
