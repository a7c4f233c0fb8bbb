//! A service manager that waits for the programs to say that they are ready, as systemd does.

use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use crate::kit::{Program, Site, free, url_of};

/// A message is lost if it is not there by then.
const PATIENCE: Duration = Duration::from_secs(40);

/// Where a program tells how far it is.
struct Manager {
    socket: UnixDatagram,
    variable: String,
}

impl Manager {
    fn at_a_path(site: &Site) -> Self {
        let path = site.dir().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        Self::of(socket, path.to_str().unwrap().to_owned())
    }

    #[cfg(target_os = "linux")]
    fn without_a_file() -> Self {
        use std::os::linux::net::SocketAddrExt;
        use std::os::unix::net::SocketAddr;
        let name = format!("adit-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        Self::of(
            UnixDatagram::bind_addr(&address).unwrap(),
            format!("@{name}"),
        )
    }

    fn of(socket: UnixDatagram, variable: String) -> Self {
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { socket, variable }
    }

    fn variables(&self) -> [(&str, &str); 1] {
        [("NOTIFY_SOCKET", &self.variable)]
    }

    fn heard(&self) -> String {
        let mut bytes = [0; 256];
        let len = self.socket.recv(&mut bytes).unwrap();
        String::from_utf8(bytes[..len].to_vec()).unwrap()
    }

    fn hears_that_it_begins_and_ends(&self, mut program: Program) {
        assert_eq!(self.heard(), "READY=1");
        program.terminate();
        assert_eq!(self.heard(), "STOPPING=1");
        assert!(program.ended().success());
        assert!(!program.log().contains("service manager"));
    }
}

#[test]
fn a_server_tells_that_its_control_port_is_open_and_that_it_stops() {
    let site = Site::new();
    let manager = Manager::at_a_path(&site);
    let addr = free();
    let args = ["--control-addr", &addr.to_string()];
    let server = site.server_in(&args, &manager.variables());
    assert_eq!(manager.heard(), "READY=1");
    // No second try: who was told may connect.
    std::net::TcpStream::connect(addr).unwrap();
    server.terminate();
    assert_eq!(manager.heard(), "STOPPING=1");
}

#[test]
fn a_client_tells_that_it_runs_though_its_server_is_away() {
    let site = Site::new();
    let manager = Manager::at_a_path(&site);
    let args = ["--upstream", "0=127.0.0.1:9"];
    let client = site.client_in(&format!("wss://{}", free()), &args, &manager.variables());
    manager.hears_that_it_begins_and_ends(client);
}

#[test]
#[cfg(target_os = "linux")]
fn a_managers_socket_may_have_a_name_and_no_file() {
    let site = Site::new();
    let manager = Manager::without_a_file();
    let server = site.server(&[]);
    let args = ["--upstream", "0=127.0.0.1:9"];
    let client = site.client_in(&url_of(&server), &args, &manager.variables());
    manager.hears_that_it_begins_and_ends(client);
}

#[test]
fn a_manager_that_does_not_listen_is_told_in_the_log_and_the_program_goes_on() {
    let site = Site::new();
    let server = site.server_in(&[], &[("NOTIFY_SOCKET", "/nowhere/notify")]);
    assert!(
        server
            .logged("can't tell the service manager")
            .contains("/nowhere/notify")
    );
    std::net::TcpStream::connect(("127.0.0.1", crate::kit::port_of(&server))).unwrap();
}
