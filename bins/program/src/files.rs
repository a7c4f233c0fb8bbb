//! Files: read with an error that helps, written for their owner only, and watched for changes.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use adit_driver::{Runtime, within};
use event_listener::EventListener;
use zeroize::Zeroizing;

use crate::{Failure, Hangup};

/// How often a watched file is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(3);

/// The most bytes that are read of a file: certificates and keys are far smaller.
const READ_MAX_BYTES: u64 = 1024 * 1024;

/// The content of a file. `what` says what it is for, as in "the certificate (--tls-cert)".
///
/// # Errors
///
/// Names the file and what the system says.
pub fn read(what: &str, path: &Path) -> Result<Zeroizing<Vec<u8>>, Failure> {
    read_bounded(path).map_err(|error| {
        let hint = match error.kind() {
            io::ErrorKind::NotFound => "; is the path right?",
            io::ErrorKind::PermissionDenied => {
                "; the user that runs this program must be able to read it"
            }
            _ => "",
        };
        Failure::Runtime(format!(
            "can't read {what} from {}: {error}{hint}",
            path.display()
        ))
    })
}

fn read_bounded(path: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
    use io::Read;
    let mut bytes = Zeroizing::new(Vec::new());
    File::open(path)?
        .take(READ_MAX_BYTES + 1)
        .read_to_end(&mut bytes)?;
    if bytes.len() as u64 > READ_MAX_BYTES {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            "it has more than 1 MiB",
        ));
    }
    Ok(bytes)
}

/// Makes a new file that only its owner can read.
///
/// # Errors
///
/// [`io::ErrorKind::AlreadyExists`] if there is one of that name already, or what the system says.
pub fn create_private(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    let written = file.write_all(content).and_then(|()| file.sync_all());
    if written.is_err() {
        // Half a secret is of no use to anybody.
        let _ = fs::remove_file(path);
    }
    written
}

/// Puts `content` into a file that only its owner can read, all of it or nothing, whatever was there
/// before.
///
/// # Errors
///
/// What the system says.
pub fn write_private(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".new-{}", std::process::id()));
    let beside = path.with_file_name(name);
    // One that a crash left behind, under the same process id.
    let _ = fs::remove_file(&beside);
    create_private(&beside, content)?;
    fs::rename(&beside, path).inspect_err(|_| {
        let _ = fs::remove_file(&beside);
    })
}

/// Files that are looked at every few seconds, and at once on SIGHUP. Their content is compared, not
/// their time: a Kubernetes Secret changes by a symbolic link.
pub struct Watched {
    paths: Vec<PathBuf>,
    known: Vec<Option<Zeroizing<Vec<u8>>>>,
    hangup: Hangup,
    heard: EventListener,
}

impl Watched {
    /// Watches these files from their content of now on.
    pub fn new(paths: impl IntoIterator<Item = PathBuf>, hangup: Hangup) -> Self {
        let paths: Vec<PathBuf> = paths.into_iter().collect();
        let known = contents(&paths);
        Self {
            paths,
            known,
            heard: hangup.heard(),
            hangup,
        }
    }

    /// Waits until a file has another content than when it was last looked at, or until SIGHUP.
    pub async fn changed(&mut self, runtime: &impl Runtime) {
        loop {
            let asked = within(runtime, LOOK_EVERY, &mut self.heard).await;
            if asked.is_some() {
                // From before the look on: a signal in the middle of it asks for another.
                self.heard = self.hangup.heard();
            }
            let now = contents(&self.paths);
            if asked.is_some() || now != self.known {
                self.known = now;
                return;
            }
        }
    }
}

fn contents(paths: &[PathBuf]) -> Vec<Option<Zeroizing<Vec<u8>>>> {
    paths.iter().map(|path| read_bounded(path).ok()).collect()
}

#[cfg(test)]
mod tests {
    use adit_tokio::Tokio;

    use super::*;

    #[test]
    fn a_private_file_is_readable_by_its_owner_only_and_never_half_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key.pem");
        write_private(&path, b"first").unwrap();
        write_private(&path, b"second").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"second");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(
                fs::metadata(&path).unwrap().permissions().mode() & 0o777,
                0o600
            );
        }
    }

    #[test]
    fn creating_never_overwrites() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        create_private(&path, b"old").unwrap();
        let error = create_private(&path, b"new").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).unwrap(), b"old");
    }

    #[test]
    fn a_file_that_cannot_be_read_is_named_with_its_purpose() {
        let failure = read("the certificate (--tls-cert)", Path::new("/no/such/file")).unwrap_err();
        let text = failure.to_string();
        assert!(text.contains("the certificate (--tls-cert)") && text.contains("/no/such/file"));
    }

    #[test]
    fn an_endless_file_costs_a_bounded_read() {
        assert!(read("x", Path::new("/dev/zero")).is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_of_content_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        fs::write(&path, "one").unwrap();
        let mut watched = Watched::new([path.clone()], Hangup::new().unwrap());
        let tokio = Tokio::here();
        let unchanged = within(&tokio, LOOK_EVERY * 5, watched.changed(&tokio));
        assert!(unchanged.await.is_none());
        fs::write(&path, "two").unwrap();
        watched.changed(&tokio).await;
    }
}
