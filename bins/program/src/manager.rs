//! What a service manager hears of the program: systemd's notify protocol (sd_notify(3), `Type=notify`), which others speak as well. It names a
//! datagram socket in `NOTIFY_SOCKET`, by its path or, after an `@`, by a name without a file.

use std::ffi::OsStr;
use std::io;

/// How far the program is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// It does its work, and what depends on it may begin.
    Ready,
    /// It was told to end, and what runs finishes.
    Stopping,
}

impl Phase {
    const fn message(self) -> &'static str {
        match self {
            Self::Ready => "READY=1",
            Self::Stopping => "STOPPING=1",
        }
    }
}

/// Tells the service manager, if one asked for it. One that does not listen is no reason to end, and the log says so.
pub fn tell_manager(phase: Phase) {
    let Some(socket) = std::env::var_os("NOTIFY_SOCKET").filter(|socket| !socket.is_empty()) else {
        return;
    };
    if let Err(error) = send(&socket, phase.message()) {
        tracing::warn!(
            "can't tell the service manager {}: {error} (NOTIFY_SOCKET is {})",
            phase.message(),
            socket.display()
        );
    }
}

#[cfg(unix)]
fn send(socket: &OsStr, message: &str) -> io::Result<()> {
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::net::{SocketAddr, UnixDatagram};
    let address = match socket.as_bytes().strip_prefix(b"@") {
        Some(name) => without_file(name)?,
        None => SocketAddr::from_pathname(socket)?,
    };
    UnixDatagram::unbound()?.send_to_addr(message.as_bytes(), &address)?;
    Ok(())
}

#[cfg(target_os = "linux")]
fn without_file(name: &[u8]) -> io::Result<std::os::unix::net::SocketAddr> {
    use std::os::linux::net::SocketAddrExt;
    std::os::unix::net::SocketAddr::from_abstract_name(name)
}

#[cfg(all(unix, not(target_os = "linux")))]
fn without_file(_: &[u8]) -> io::Result<std::os::unix::net::SocketAddr> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(not(unix))]
fn send(_: &OsStr, _: &str) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}
