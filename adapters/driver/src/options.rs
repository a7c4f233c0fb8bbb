//! What every socket is set to, and how listeners are bound.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};

/// Connections that the kernel may hold for a listener that is slow to accept; it takes its own limit if that is lower, on Linux 4096.
///
/// Without room, Linux makes visitors wait for a second, and may reset some.
const BACKLOG: i32 = 4096;

/// Bytes not yet sent that the kernel may hold for one socket.
///
/// What lies there can't be overtaken by something more urgent, and is lost to the scheduler. 128 KiB
/// is enough to keep a fast link busy between two turns of the task.
#[cfg(any(target_os = "android", target_os = "linux"))]
const NOTSENT_LOWAT_BYTES: u32 = 128 * 1024;

/// How long a connection may be idle before the kernel asks the other end for a sign of life, and how
/// often it then asks. Where there is none, the connection fails after about two minutes: a visitor
/// whose machine is gone would otherwise keep its stream for ever.
const KEEPALIVE_AFTER: Duration = Duration::from_secs(60);
const KEEPALIVE_EVERY: Duration = Duration::from_secs(15);

/// Sets up a connected socket: what is written leaves at once, little of it waits in the kernel, and a
/// dead peer is noticed.
///
/// A socket that refuses an option works without it, so failures are of no interest.
pub(crate) fn tune(socket: &SockRef<'_>) {
    let _ = socket.set_tcp_nodelay(true);
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE_AFTER)
        .with_interval(KEEPALIVE_EVERY);
    let _ = socket.set_tcp_keepalive(&keepalive);
    #[cfg(any(target_os = "android", target_os = "linux"))]
    let _ = socket.set_tcp_notsent_lowat(NOTSENT_LOWAT_BYTES);
}

/// Makes the closing of `socket` a reset, whoever closes it, be it the system behind a process that was
/// killed: the peer must not mistake it for a proper end.
pub(crate) fn reset_on_close(socket: &SockRef<'_>) {
    let _ = socket.set_linger(Some(Duration::ZERO));
}

/// Makes the closing of `socket` a proper end again: what was written still arrives, and the FIN behind it.
pub(crate) fn finish_on_close(socket: &SockRef<'_>) {
    let _ = socket.set_linger(None);
}

/// Begins to connect, without waiting for it.
pub(crate) fn connect(addr: SocketAddr) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    match socket.connect(&addr.into()) {
        Err(error) if !is_under_way(&error) => Err(error),
        _ => Ok(socket.into()),
    }
}

fn is_under_way(error: &io::Error) -> bool {
    #[cfg(unix)]
    let under_way = error.raw_os_error() == Some(rustix::io::Errno::INPROGRESS.raw_os_error());
    #[cfg(not(unix))]
    let under_way = error.kind() == io::ErrorKind::WouldBlock;
    under_way
}

/// Binds a non-blocking listener. A port whose last connections still linger in the kernel can be taken again.
///
/// # Errors
///
/// What the system says; the usual ones are [`io::ErrorKind::AddrInUse`],
/// [`io::ErrorKind::AddrNotAvailable`] and [`io::ErrorKind::PermissionDenied`].
pub fn listen(addr: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    // Elsewhere this option would let two programs share a port.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_free_again_as_soon_as_its_listener_is_gone() {
        let first = listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let addr = first.local_addr().unwrap();
        assert_eq!(listen(addr).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        // A connection that the listening side ends first leaves a lingering entry on the port.
        let visitor = TcpStream::connect(addr).unwrap();
        first.set_nonblocking(false).unwrap();
        drop(first.accept().unwrap());
        drop(first);
        listen(addr).unwrap();
        drop(visitor);
    }
}
