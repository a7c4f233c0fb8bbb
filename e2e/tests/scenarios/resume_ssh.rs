//! An SSH session stays open through an outage of 20 s.

use adit_e2e::adit::{Server, client};
use adit_e2e::ports;
use adit_e2e::postgres::wait_listening;
use adit_e2e::process::{Process, Recipe, run};
use adit_e2e::relay::{Cut, Relay};
use adit_e2e::scene::Scene;
use adit_e2e::wait;
use std::env;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, ChildStdin, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

const OUTAGE: Duration = Duration::from_secs(20);
const LONG: Duration = Duration::from_secs(60);

/// A shell at the other end, which answers line by line.
struct Shell {
    ssh: Child,
    input: ChildStdin,
    lines: mpsc::Receiver<String>,
}

impl Shell {
    fn start(recipe: &Recipe) -> Self {
        let mut command = recipe.command();
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut ssh = command.spawn().expect("ssh is installed");
        let output = BufReader::new(ssh.stdout.take().expect("piped"));
        let input = ssh.stdin.take().expect("piped");
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Self { ssh, input, lines }
    }

    fn say(&mut self, words: &str) {
        writeln!(self.input, "echo {words}; echo $$").expect("ssh takes it");
    }

    /// The words come back, and the shell's process id.
    fn hear(&self, words: &str) -> String {
        let line = || self.lines.recv_timeout(LONG).expect("the shell answers");
        assert_eq!(line(), words);
        line()
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        let _ = self.ssh.kill();
        let _ = self.ssh.wait();
    }
}

/// Keys of a server and of a user: `host` and `user` in the scene's folder.
pub(crate) fn keys(scene: &Scene) {
    for key in ["host", "user"] {
        let path = scene.path(key);
        let args = ["-q", "-t", "ed25519", "-N", "", "-f", &path];
        run("ssh-keygen", LONG, &Recipe::new("ssh-keygen").args(args));
    }
}

/// A server with these keys; `more` is put behind its configuration.
pub(crate) fn sshd(scene: &Scene, port: u16, more: &str) -> Process {
    let config = format!(
        "Port {port}\nListenAddress 127.0.0.1\nHostKey {}\nAuthorizedKeysFile {}\n\
         StrictModes no\nUsePAM no\nPidFile none\nPermitRootLogin prohibit-password\n{more}",
        scene.path("host"),
        scene.path("user.pub")
    );
    let config = scene.file("sshd_config", config);
    if rustix::process::geteuid().is_root() {
        // Where a sshd that root starts locks itself in.
        fs::create_dir_all("/run/sshd").expect("root may");
        fs::set_permissions("/run/sshd", fs::Permissions::from_mode(0o755)).expect("root may");
    }
    let recipe = Recipe::new("/usr/sbin/sshd").args(["-D", "-e", "-f", &config]);
    let sshd = scene.start("sshd", recipe);
    wait_listening("sshd to listen", port);
    sshd
}

#[test]
#[ignore = "needs OpenSSH; .ci/run runs it"]
fn an_ssh_session_stays_open_through_20_s_without_a_network() {
    let scene = Scene::new("resume-ssh");
    let (ssh_port, data) = (ports::free(), ports::free());
    let user = env::var("USER").unwrap_or_else(|_| "root".to_owned());
    keys(&scene);
    let _sshd = sshd(&scene, ssh_port, "");

    let server = Server::start(&scene, "server", &[]);
    let relay = Relay::start(server.control, Duration::ZERO);
    let url = format!("wss://127.0.0.1:{}", relay.port);
    let _client = scene.start("client", client(&scene, &url, &[(data, ssh_port)], &[]));
    wait_listening("the data plane to listen", data);

    let known = scene.path("known_hosts");
    let ssh = Recipe::new("ssh")
        .args(["-F", "none", "-T", "-p", &data.to_string(), "-i"])
        .args([scene.path("user")])
        .args(["-o", &format!("UserKnownHostsFile={known}")])
        .args(["-o", "StrictHostKeyChecking=no"])
        .args(["-o", "BatchMode=yes", "-l", &user, "127.0.0.1", "sh"]);
    let mut shell = Shell::start(&ssh);
    shell.say("before");
    let id = shell.hear("before");
    for cut in [Cut::Silence, Cut::Reset] {
        relay.outage(Some(cut));
        let words = format!("typed-during-{}", cut.name());
        shell.say(&words);
        // The outage itself, and that the session bears it.
        wait::throughout("ssh runs", OUTAGE, || {
            matches!(shell.ssh.try_wait(), Ok(None))
        });
        assert!(shell.lines.try_recv().is_err(), "nothing passes");
        relay.outage(None);
        let over = Instant::now();
        assert_eq!(shell.hear(&words), id, "the same shell");
        println!(
            "FIGURE an SSH session answers {} ms after an outage of {} s ({})",
            over.elapsed().as_millis(),
            OUTAGE.as_secs(),
            cut.name()
        );
    }
}
