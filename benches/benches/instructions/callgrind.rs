//! Runs this program under callgrind and reads what it counted.

use std::io;
use std::process::Command;

/// Instructions of one row at one size, for each of its units.
pub(crate) fn count(row: &str, size: usize) -> io::Result<f64> {
    let own = std::env::current_exe()?;
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .args(["--collect-atstart=no", "--toggle-collect=*counted*"])
        .arg(own)
        .args([row, &size.to_string()])
        .output()
        .map_err(|error| io::Error::new(error.kind(), format!("valgrind can't be run: {error}")))?;
    let said = String::from_utf8_lossy(&output.stderr);
    // "==123== Collected : 456"
    let mut lines = said.lines();
    let collected = lines.find_map(|line| line.split("Collected :").nth(1));
    let collected: Option<f64> = collected.and_then(|number| number.trim().parse().ok());
    let units: Option<f64> = String::from_utf8_lossy(&output.stdout).trim().parse().ok();
    match (output.status.success(), collected, units) {
        (true, Some(collected), Some(units)) if collected > 0.0 => Ok(collected / units),
        _ => Err(io::Error::other(format!("{row}, {size}: {said}"))),
    }
}
