//! What processes cost, by the operating system's own accounting.

use std::fs;
use std::io;

/// The processor time that a process and those it started have used, in seconds, to a hundredth.
/// What a child used counts for as long as it lives.
pub fn cpu(pid: u32) -> f64 {
    let own = fs::read_to_string(format!("/proc/{pid}/stat"))
        .ok()
        .and_then(|stat| ticks(&stat))
        .unwrap_or_default();
    let own = own / rustix::param::clock_ticks_per_second() as f64;
    own + children(pid).into_iter().map(cpu).sum::<f64>()
}

/// User and system time in a line of `/proc/PID/stat`. The name of the program, in parentheses,
/// may hold anything.
fn ticks(stat: &str) -> Option<f64> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

fn children(pid: u32) -> Vec<u32> {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return Vec::new();
    };
    threads
        .flatten()
        .filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok())
        .flat_map(|line| {
            line.split_whitespace()
                .filter_map(|child| child.parse().ok())
                .collect::<Vec<u32>>()
        })
        .collect()
}

/// Resident memory of a process and those it started, in KiB.
pub fn resident(pid: u32) -> f64 {
    tree(pid, "VmRSS:")
}

/// The most resident memory since [`forget_peak`], in KiB, summed over a process and those it started.
pub fn peak(pid: u32) -> f64 {
    tree(pid, "VmHWM:")
}

fn tree(pid: u32, field: &str) -> f64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let own: f64 = status
        .lines()
        .find_map(|line| line.strip_prefix(field))
        .and_then(|rest| rest.split_whitespace().next())
        .and_then(|number| number.parse().ok())
        .unwrap_or_default();
    own + children(pid)
        .into_iter()
        .map(|child| tree(child, field))
        .sum::<f64>()
}

/// Makes [`peak`] begin anew.
///
/// # Errors
///
/// When the process is gone, or is another user's.
pub fn forget_peak(pid: u32) -> io::Result<()> {
    for child in children(pid) {
        forget_peak(child)?;
    }
    fs::write(format!("/proc/{pid}/clear_refs"), "5")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[test]
    fn a_name_with_parentheses_does_not_shift_the_fields() {
        let stat = "7 (a) b) S 1 2 3 4 5 6 7 8 9 10 250 50 0 0";
        assert_eq!(ticks(stat), Some(300.0));
        assert_eq!(ticks("nonsense"), None);
    }

    #[test]
    fn work_is_seen() {
        let pid = std::process::id();
        let (before, start) = (cpu(pid), Instant::now());
        while cpu(pid) - before < 0.05 {
            assert!(start.elapsed().as_secs() < 30, "no processor time is seen");
        }
        assert!(resident(pid) > 100.0);
        assert!(peak(pid) >= resident(pid) * 0.5);
    }
}
