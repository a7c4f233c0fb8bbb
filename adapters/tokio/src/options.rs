//! What every socket is set to, and how listeners are bound.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::net::{TcpListener, TcpStream};

/// Connections that the kernel may hold for a listener that is slow to accept.
const BACKLOG: i32 = 1024;

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
pub(crate) fn tune(stream: &TcpStream) {
    let _ = stream.set_nodelay(true);
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE_AFTER)
        .with_interval(KEEPALIVE_EVERY);
    let _ = SockRef::from(stream).set_tcp_keepalive(&keepalive);
    #[cfg(any(target_os = "android", target_os = "linux"))]
    let _ = SockRef::from(stream).set_tcp_notsent_lowat(NOTSENT_LOWAT_BYTES);
}

/// Makes the closing of `stream` a reset, whoever closes it, be it the system behind a process that was
/// killed: the peer must not mistake it for a proper end.
pub(crate) fn reset_on_close<'a>(stream: impl Into<SockRef<'a>>) {
    let _ = stream.into().set_linger(Some(Duration::ZERO));
}

/// Makes the closing of `stream` a proper end again: what was written still arrives, and the FIN behind it.
pub(crate) fn finish_on_close(stream: &TcpStream) {
    let _ = SockRef::from(stream).set_linger(None);
}

/// Binds a listener. A port whose last connections still linger in the kernel can be taken again.
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
    TcpListener::from_std(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_port_is_free_again_as_soon_as_its_listener_is_gone() {
        let first = listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let addr = first.local_addr().unwrap();
        assert_eq!(listen(addr).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        // A connection that the listening side ends first leaves a lingering entry on the port.
        let (visitor, accepted) = tokio::join!(TcpStream::connect(addr), first.accept());
        drop(accepted);
        drop(first);
        listen(addr).unwrap();
        drop(visitor);
    }
}
