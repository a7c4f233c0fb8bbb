//! The folder in which one scenario plays, and names for loopback.

use crate::process::{Process, Recipe};
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;

/// A folder for configuration, logs and data. It is removed at the end, and
/// kept if the scenario fails.
#[derive(Debug)]
pub struct Scene {
    folder: Option<tempfile::TempDir>,
}

impl Scene {
    /// An empty folder.
    ///
    /// # Panics
    ///
    /// When it can't be made.
    pub fn new(name: &str) -> Self {
        let folder = tempfile::Builder::new()
            .prefix(&format!("adit-{name}-"))
            .tempdir()
            .expect("a temporary folder");
        Self {
            folder: Some(folder),
        }
    }

    /// Where the folder is.
    ///
    /// # Panics
    ///
    /// Never before the scene is dropped.
    pub fn folder(&self) -> &Path {
        self.folder
            .as_ref()
            .expect("a scene has its folder until it is dropped")
            .path()
    }

    /// The path of a file in the folder, as text for a command line.
    pub fn path(&self, name: &str) -> String {
        self.folder().join(name).display().to_string()
    }

    /// Writes a file and returns its path as text.
    ///
    /// # Panics
    ///
    /// When it can't be written.
    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.folder().join(name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).expect("a folder for the file");
        }
        // In one step, because a program may be reading the last version.
        let draft = path.with_extension("draft");
        fs::write(&draft, content)
            .and_then(|()| fs::rename(&draft, &path))
            .unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        path.display().to_string()
    }

    /// Makes a folder inside and returns its path.
    ///
    /// # Panics
    ///
    /// When it can't be made.
    pub fn subfolder(&self, name: &str) -> PathBuf {
        let path = self.folder().join(name);
        fs::create_dir_all(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        path
    }

    /// Starts a program whose log is in the folder.
    pub fn start(&self, name: &str, recipe: Recipe) -> Process {
        Process::start(self.folder(), name, recipe)
    }

    /// Makes `recipe`'s program see `names` as names of 127.0.0.1, without
    /// touching the machine: libnss_wrapper reads a hosts file of its own.
    ///
    /// # Panics
    ///
    /// When libnss_wrapper is not installed.
    pub fn with_names(&self, recipe: Recipe, names: &[&str]) -> Recipe {
        let hosts: String = names
            .iter()
            .map(|name| format!("127.0.0.1 {name}\n"))
            .collect();
        let hosts = self.file("hosts", format!("127.0.0.1 localhost\n{hosts}"));
        recipe
            .env("LD_PRELOAD", "libnss_wrapper.so")
            .env("NSS_WRAPPER_HOSTS", hosts)
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        if thread::panicking()
            && let Some(folder) = self.folder.take()
        {
            eprintln!("--- kept: {}", folder.keep().display());
        }
    }
}
