//! The admin address: `/healthz`, `/readyz` and `/metrics` for operators.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use adit_driver::{Clock, Runtime};
use adit_link::http::{Answer, Answers, Request};
use adit_relay::Counters;

use crate::{Failure, Role, metrics};

/// The content type of Prometheus's text format.
const METRICS_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What an admin address answers from.
pub struct Admin {
    /// Which program this is.
    pub role: Role,
    /// What it counted so far.
    pub counters: Box<dyn Fn() -> Counters + Send + Sync>,
    /// Whether it does its work now. On a server: it takes clients. On a client: it has a session.
    pub ready: Box<dyn Fn() -> bool + Send + Sync>,
}

/// `/healthz` comes with the listener that asks.
impl Answers for Admin {
    fn answer(&self, request: &Request<'_>) -> Option<Answer> {
        if !matches!(request.path(), "/metrics" | "/readyz") {
            return None;
        }
        if !matches!(request.method(), "GET" | "HEAD") {
            return Some(Answer::text(405, "use GET\n").with(&[("Allow", "GET, HEAD")]));
        }
        Some(match request.path() {
            "/metrics" => Answer {
                content_type: METRICS_TYPE,
                ..Answer::text(200, metrics(self.role, &(self.counters)()))
            },
            _ if (self.ready)() => Answer::text(200, "ready\n"),
            _ => Answer::text(503, "not ready\n"),
        })
    }
}

/// Answers on the admin address for the rest of the program's life; nothing if it is off.
///
/// # Errors
///
/// The address can't be listened on.
pub fn serve_admin(
    runtime: &impl Runtime,
    addr: Option<SocketAddr>,
    admin: Admin,
    clock: Clock,
) -> Result<(), Failure> {
    let Some(addr) = addr else { return Ok(()) };
    let listener = listen("--admin-addr", addr)?;
    let addr = listener.local_addr().unwrap_or(addr);
    tracing::info!("operators find /healthz, /readyz and /metrics at http://{addr}");
    let serving = adit_driver::serve_answers(runtime.clone(), listener, Arc::new(admin), clock);
    runtime.spawn_here(async move {
        if let Err(error) = serving.await {
            tracing::error!("nothing is answered at http://{addr}: {error}");
        }
    });
    Ok(())
}

/// Listens on the address of a flag.
///
/// # Errors
///
/// Says which flag, what the system says, and what to do.
pub fn listen(flag: &str, addr: SocketAddr) -> Result<TcpListener, Failure> {
    adit_driver::listen(addr).map_err(|error| {
        let advice = match error.kind() {
            std::io::ErrorKind::AddrInUse => {
                let other = SocketAddr::new(addr.ip(), addr.port().checked_add(1).unwrap_or(1024));
                format!("another program has this port, perhaps another Adit; choose another, as in {flag} {other}")
            }
            std::io::ErrorKind::PermissionDenied => {
                "ports below 1024 need special rights; choose a higher one".to_owned()
            }
            std::io::ErrorKind::AddrNotAvailable => {
                "this machine has no such address; 0.0.0.0 and [::] are all that it has".to_owned()
            }
            _ => "choose another address".to_owned(),
        };
        Failure::Runtime(format!("can't listen on {addr} ({flag}): {error}; {advice}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_told_with_the_flag_and_a_way_out() {
        let taken = listen("--x", "127.0.0.1:0".parse().unwrap()).unwrap();
        let addr = taken.local_addr().unwrap();
        let text = listen("--control-addr", addr).unwrap_err().to_string();
        assert!(
            text.contains(&addr.to_string()) && text.contains("as in --control-addr "),
            "{text}"
        );
    }
}
