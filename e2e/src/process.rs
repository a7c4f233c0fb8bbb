//! A program that runs beside a scenario: its output goes to a file, it can be
//! killed and started again, and it never outlives the scenario.

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

/// Lines of a log that a failing scenario shows.
const TAIL: usize = 30;

/// What to run: kept, so that it can run again.
#[derive(Clone, Debug)]
pub struct Recipe {
    program: PathBuf,
    args: Vec<String>,
    envs: Vec<(String, String)>,
    /// Runs as this user; needs root.
    user: Option<String>,
}

impl Recipe {
    /// A program, searched in `PATH` if it is a bare name.
    pub fn new(program: impl Into<PathBuf>) -> Self {
        Self {
            program: program.into(),
            args: Vec::new(),
            envs: Vec::new(),
            user: None,
        }
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<S: Into<String>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn env(mut self, key: &str, value: impl Into<String>) -> Self {
        self.envs.push((key.to_owned(), value.into()));
        self
    }

    /// Runs as another user (PostgreSQL refuses root).
    #[must_use]
    pub fn user(mut self, user: &str) -> Self {
        self.user = Some(user.to_owned());
        self
    }

    /// The command, not yet started.
    pub fn command(&self) -> Command {
        let mut command = match (&self.user, has_setpriv()) {
            (None, false) => Command::new(&self.program),
            (user, _) => {
                // The kernel ends the program if this process is killed and can't.
                let mut command = Command::new("setpriv");
                command.args(["--pdeathsig", "KILL"]);
                if let Some(user) = user {
                    command.args(["--reuid", user, "--regid", user, "--clear-groups"]);
                }
                command.arg("--").arg(&self.program);
                command
            }
        };
        command.args(&self.args);
        // What is set on the machine must not decide how a scenario ends.
        for (key, _) in std::env::vars_os() {
            let key = key.to_string_lossy().to_ascii_lowercase();
            if key.starts_with("adit_") || key.ends_with("_proxy") || key == "rust_log" {
                command.env_remove(key.to_ascii_uppercase());
                command.env_remove(key);
            }
        }
        command.envs(self.envs.iter().map(|(key, value)| (key, value)));
        command
    }
}

/// A running program and everything that it started.
#[derive(Debug)]
pub struct Process {
    recipe: Recipe,
    name: String,
    log: PathBuf,
    child: Child,
}

impl Process {
    /// Starts `recipe`; what it prints goes to `NAME.log` in `folder`.
    ///
    /// # Panics
    ///
    /// When it can't be started.
    pub fn start(folder: &Path, name: &str, recipe: Recipe) -> Self {
        let log = folder.join(format!("{name}.log"));
        let child = spawn(&recipe, &log)
            .unwrap_or_else(|e| panic!("{name}: can't start {}: {e}", recipe.program.display()));
        Self {
            recipe,
            name: name.to_owned(),
            log,
            child,
        }
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The name under which it was started.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How many threads it has now.
    ///
    /// # Panics
    ///
    /// When it has ended.
    pub fn threads(&self) -> usize {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.id()));
        tasks.expect("it runs").count()
    }

    /// Everything printed so far, by this run and those before it.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// How it ended, if it did.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// `kill -9`, for the program and whatever it started, and waits for the end.
    pub fn kill(&mut self) {
        if let Some(group) = self.pid() {
            // An error says that nobody is left, which is what is wanted.
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = self.child.wait();
    }

    /// Sends one signal to the program itself.
    pub fn signal(&self, signal: Signal) {
        if let Some(pid) = self.pid() {
            let _ = kill_process(pid, signal);
        }
    }

    /// Starts it again, killing it first if it still runs.
    ///
    /// # Panics
    ///
    /// When it can't be started.
    pub fn restart(&mut self) {
        self.kill();
        self.child = spawn(&self.recipe, &self.log)
            .unwrap_or_else(|e| panic!("{}: can't start it again: {e}", self.name));
    }

    fn pid(&self) -> Option<Pid> {
        Pid::from_raw(i32::try_from(self.child.id()).ok()?)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let ended = self.ended();
        self.kill();
        if thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            let tail = lines
                .get(lines.len().saturating_sub(TAIL)..)
                .unwrap_or(&lines);
            let state = ended.map_or("was running".to_owned(), |status| format!("{status}"));
            eprintln!("--- {} ({state})\n{}", self.name, tail.join("\n"));
        }
    }
}

/// Whether util-linux's setpriv is there; every Debian has it.
fn has_setpriv() -> bool {
    static HAS: OnceLock<bool> = OnceLock::new();
    *HAS.get_or_init(|| {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path).any(|folder| folder.join("setpriv").exists())
    })
}

fn spawn(recipe: &Recipe, log: &Path) -> io::Result<Child> {
    let out = OpenOptions::new().create(true).append(true).open(log)?;
    recipe
        .command()
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(out.try_clone()?)
        .stderr(out)
        .spawn()
}

/// Runs a program to its end and returns what it printed.
///
/// # Panics
///
/// When it can't be started, fails, or takes longer than `limit`.
pub fn run(what: &str, limit: Duration, recipe: &Recipe) -> String {
    attempt(what, limit, recipe).unwrap_or_else(|e| panic!("{e}"))
}

/// Runs a program to its end and returns what it printed.
///
/// # Errors
///
/// How it failed, and what it printed.
///
/// # Panics
///
/// When it can't be started or takes longer than `limit`.
pub fn attempt(what: &str, limit: Duration, recipe: &Recipe) -> Result<String, String> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut process = Process::start(folder.path(), what, recipe.clone());
    let status = crate::wait::until(&format!("{what} to end"), limit, || process.ended());
    let log = process.log();
    if status.success() {
        Ok(log)
    } else {
        Err(format!("{what} failed: {status}\n{log}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wait::until;

    const SOON: Duration = Duration::from_secs(30);

    fn alive(id: u32) -> bool {
        fs::read_to_string(format!("/proc/{id}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
    }

    #[test]
    fn a_dropped_process_and_its_children_are_gone() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let script = "sleep 600 & echo $!; wait";
        let process = Process::start(folder.path(), "sh", Recipe::new("sh").args(["-c", script]));
        let child: u32 = until("the child's id", SOON, || process.log().trim().parse().ok());
        assert!(alive(child));
        let parent = process.id();
        drop(process);
        assert!(!alive(parent));
        until("the child to end", SOON, || (!alive(child)).then_some(()));
    }

    #[test]
    fn a_restarted_process_has_another_id_and_the_same_log() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let recipe = Recipe::new("sh").args(["-c", "echo up; exec sleep 600"]);
        let mut process = Process::start(folder.path(), "sh", recipe);
        until("the first run", SOON, || {
            (process.log() == "up\n").then_some(())
        });
        let before = process.id();
        process.restart();
        until("the second run", SOON, || {
            (process.log() == "up\nup\n").then_some(())
        });
        assert_ne!(before, process.id());
    }

    #[test]
    #[should_panic(expected = "false failed")]
    fn running_a_program_that_fails_is_a_failure() {
        run("false", SOON, &Recipe::new("false"));
    }
}
