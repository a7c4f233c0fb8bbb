//! Network namespaces of this machine: made, looked into, entered and removed, with iproute2. Needs root.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// Where iproute2 keeps namespaces that have a name.
const FOLDER: &str = "/run/netns";
/// What names of namespaces made here begin with; the maker's process id follows.
const OURS: &str = "adit-link-";

/// A network namespace. One that was made here goes with it.
#[derive(Debug)]
pub struct Namespace {
    name: String,
    made: bool,
}

impl Namespace {
    /// A new one, with nothing but loopback. Its name says which process made it.
    ///
    /// # Errors
    ///
    /// Without root, or without iproute2.
    pub fn make() -> io::Result<Self> {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let name = format!("{OURS}{}-{number}", std::process::id());
        ip(&["netns", "add", &name])?;
        let namespace = Self { name, made: true };
        namespace.ip(&["link", "set", "lo", "up"])?;
        Ok(namespace)
    }

    /// One that exists, and stays when this value goes.
    ///
    /// # Errors
    ///
    /// There is none of that name.
    pub fn existing(name: &str) -> io::Result<Self> {
        if Path::new(FOLDER).join(name).exists() {
            let name = name.to_owned();
            return Ok(Self { name, made: false });
        }
        let kind = io::ErrorKind::NotFound;
        Err(io::Error::new(kind, format!("{name} is no namespace")))
    }

    /// Its name for `ip netns`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A program to be run inside it. Its process becomes the program, under the same id.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name]).arg(program);
        command
    }

    /// Runs `ip` on it, and returns what it printed.
    ///
    /// # Errors
    ///
    /// What `ip` complained about.
    pub fn ip(&self, args: &[&str]) -> io::Result<String> {
        let mut all = vec!["-n", &self.name];
        all.extend(args);
        ip(&all)
    }

    /// Does something on a thread that is inside it.
    ///
    /// # Errors
    ///
    /// Of entering, or of what was done.
    pub fn enter<T: Send>(&self, work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
        let door = File::open(Path::new(FOLDER).join(&self.name))?;
        thread::scope(|scope| {
            let inside = scope.spawn(|| {
                let kind = Some(LinkNameSpaceType::Network);
                move_into_link_name_space(door.as_fd(), kind)?;
                work()
            });
            inside
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Sets what is below `/proc/sys/net` there.
    ///
    /// # Errors
    ///
    /// The kernel has no such setting, or refuses the value.
    pub fn set(&self, setting: &str, value: &str) -> io::Result<()> {
        let path = Path::new("/proc/sys/net").join(setting);
        self.enter(|| fs::write(&path, value))
            .map_err(|e| io::Error::new(e.kind(), format!("{setting} can't be {value:?}: {e}")))
    }

    /// Lets TCP connections over every route that it has now use this congestion control. (The
    /// setting of the namespace as a whole takes only what the machine allows everybody.)
    ///
    /// # Errors
    ///
    /// The kernel does not have it.
    pub fn congestion(&self, name: &str) -> io::Result<()> {
        for (table, kind) in [("local", "local"), ("main", "unicast")] {
            let routes = self.ip(&["route", "show", "table", table, "type", kind])?;
            for route in routes.lines() {
                let mut args = vec!["route", "change", "table", table];
                args.extend(route.split_whitespace().filter(|word| *word != "linkdown"));
                args.extend(["congctl", "lock", name]);
                self.ip(&args)?;
            }
        }
        Ok(())
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        if self.made {
            // Whoever made it can't do more about one that does not go; the next start tries again.
            let _ = ip(&["netns", "delete", &self.name]);
        }
    }
}

/// Removes what processes made that were killed before they could.
///
/// # Errors
///
/// Namespaces can't be listed.
pub fn remove_stale() -> io::Result<()> {
    let entries = match fs::read_dir(FOLDER) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let name = entry?.file_name();
        let Some(name) = name.to_str() else { continue };
        let maker = name
            .strip_prefix(OURS)
            .and_then(|rest| rest.split('-').next());
        if maker.is_some_and(|id| !Path::new("/proc").join(id).exists()) {
            // Another process may be doing the same at this moment.
            let _ = ip(&["netns", "delete", name]);
        }
    }
    Ok(())
}

fn ip(args: &[&str]) -> io::Result<String> {
    let said = Command::new("ip")
        .args(args)
        .stdin(Stdio::null())
        .output()
        .map_err(|e| io::Error::new(e.kind(), format!("ip (of iproute2) can't be run: {e}")))?;
    if said.status.success() {
        return Ok(String::from_utf8_lossy(&said.stdout).into_owned());
    }
    let complaint = String::from_utf8_lossy(&said.stderr);
    Err(io::Error::other(format!(
        "ip {} (needs root): {}",
        args.join(" "),
        complaint.trim()
    )))
}
