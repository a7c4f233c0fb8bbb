//! nginx with its defaults, ending TLS in front of servers. Only after a reload
//! its old workers don't wait for connections for ever, but for a second.

use crate::authority::Authority;
use crate::process::{Process, Recipe, run};
use crate::scene::Scene;
use crate::{ports, wait};
use std::fmt::Write as _;
use std::fs;
use std::net::{Ipv4Addr, TcpStream};
use std::path::PathBuf;
use std::time::Duration;

/// A running nginx.
#[derive(Debug)]
pub struct Nginx {
    /// The program.
    pub process: Process,
    /// The port of every host name.
    pub port: u16,
    recipe: Recipe,
    access: PathBuf,
}

impl Nginx {
    /// Passes each `(host name, port)` on to that port of 127.0.0.1, WebSocket
    /// upgrades included, with certificates of `authority`. Time limits are
    /// nginx's defaults, and no header tells the visitor's address.
    pub fn proxy(scene: &Scene, authority: &Authority, hosts: &[(&str, u16)]) -> Self {
        Self::in_front(scene, authority, hosts, "")
    }

    /// The same, and lets only those in who show a certificate of `clients`.
    pub fn proxy_for(
        scene: &Scene,
        authority: &Authority,
        hosts: &[(&str, u16)],
        clients: &Authority,
    ) -> Self {
        let ca = scene.file("nginx/clients.pem", clients.pem());
        let rule = format!("ssl_client_certificate {ca}; ssl_verify_client on;");
        Self::in_front(scene, authority, hosts, &rule)
    }

    fn in_front(scene: &Scene, authority: &Authority, hosts: &[(&str, u16)], rule: &str) -> Self {
        let port = ports::free();
        let names: Vec<&str> = hosts.iter().map(|(name, _)| *name).collect();
        let identity = authority.identity(&names);
        let certificate = scene.file("nginx/cert.pem", identity.certificate);
        let key = scene.file("nginx/key.pem", identity.key);
        let servers = hosts
            .iter()
            .fold(String::new(), |mut text, (name, backend)| {
                let _ = write!(
                    text,
                    "server {{
                    listen 127.0.0.1:{port} ssl;
                    server_name {name};
                    ssl_certificate {certificate};
                    ssl_certificate_key {key};
                    {rule}
                    location / {{
                        proxy_pass http://127.0.0.1:{backend};
                        proxy_http_version 1.1;
                        proxy_set_header Host $host;
                        proxy_set_header Upgrade $http_upgrade;
                        proxy_set_header Connection $connection_upgrade;
                    }}
                }}"
                );
                text
            });
        Self::start(scene, port, &servers)
    }

    /// Serves the files of the scene's folder `www`, without TLS.
    pub fn files(scene: &Scene) -> Self {
        let port = ports::free();
        let root = scene.subfolder("www").display().to_string();
        Self::start(
            scene,
            port,
            &format!("server {{ listen 127.0.0.1:{port}; root {root}; }}"),
        )
    }

    /// With these `server` blocks, one of which listens on `port`.
    pub fn start(scene: &Scene, port: u16, servers: &str) -> Self {
        let folder = scene.subfolder("nginx");
        let access = folder.join("access.log");
        let at = folder.display();
        let config = format!(
            "user root;
            worker_processes 1;
            daemon off;
            worker_shutdown_timeout 1s;
            pid {at}/pid;
            events {{ worker_connections 4096; }}
            http {{
                access_log {};
                client_body_temp_path {at}/body;
                proxy_temp_path {at}/proxy;
                fastcgi_temp_path {at}/fastcgi;
                uwsgi_temp_path {at}/uwsgi;
                scgi_temp_path {at}/scgi;
                map $http_upgrade $connection_upgrade {{ default upgrade; '' close; }}
                {servers}
            }}\n",
            access.display()
        );
        let config = scene.file("nginx/nginx.conf", config);
        let recipe = Recipe::new("nginx")
            .args(["-e", "stderr", "-p", &at.to_string(), "-c"])
            .args([config]);
        let nginx = Self {
            process: scene.start("nginx", recipe.clone()),
            port,
            recipe,
            access,
        };
        nginx.wait_ready();
        nginx
    }

    /// Waits until it listens.
    ///
    /// # Panics
    ///
    /// When it does not, for long.
    pub fn wait_ready(&self) {
        wait::until("nginx to listen", Duration::from_secs(30), || {
            TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).ok()
        });
    }

    /// `kill -9` of all its processes, start again, listening again.
    pub fn restart(&mut self) {
        self.process.restart();
        self.wait_ready();
    }

    /// `nginx -s reload`: new workers take new connections, and the old ones end
    /// theirs within a second.
    ///
    /// # Panics
    ///
    /// When it can't be told.
    pub fn reload(&self) {
        let recipe = self.recipe.clone().args(["-s", "reload"]);
        run("nginx", Duration::from_secs(30), &recipe);
    }

    /// Requests that ended so far, one a line. An upgraded connection shows up
    /// when it ends, so none while a session lasts.
    pub fn requests(&self) -> Vec<String> {
        let log = fs::read_to_string(&self.access).unwrap_or_default();
        log.lines().map(str::to_owned).collect()
    }
}
