//! The certificate of the control plane: from the user's files, or a self-signed one that is made once
//! and kept.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::Path;

use adit_link::{SelfSigned, ServerTls, SetupError};
use adit_program::Failure;
use adit_settings::Host;

/// The file in the state directory: what the certificate is for, the certificate, its key.
const FILE: &str = "self-signed.pem";

/// Takes the user's certificate and key.
pub(crate) fn from_files(cert: &Path, key: &Path) -> Result<ServerTls, Failure> {
    let cert_pem = adit_program::read("the certificate (--tls-cert)", cert)?;
    let key_pem = adit_program::read("the private key (--tls-key)", key)?;
    ServerTls::from_pem(&cert_pem, &key_pem).map_err(|error| {
        Failure::Runtime(format!("{} and {}: {error}", cert.display(), key.display()))
    })
}

/// What a self-signed certificate is for: what the user named, and this machine as it knows itself.
pub(crate) fn names(asked: &[Host], control: IpAddr) -> BTreeSet<String> {
    let mut names: BTreeSet<String> = asked.iter().map(adit_program::host).collect();
    names.extend(["localhost", "127.0.0.1", "::1"].map(str::to_owned));
    if !control.is_unspecified() {
        names.insert(control.to_string());
    }
    names
}

/// The certificate in the state directory, made now if there is none for these names.
///
/// A directory that can't be written costs the certificate's permanence and nothing else: behind
/// channel binding nobody relies on it.
pub(crate) fn kept_in(dir: &Path, names: BTreeSet<String>) -> Result<ServerTls, Failure> {
    let path = dir.join(FILE);
    let heading = heading(&names);
    if let Ok(pem) = fs::read_to_string(&path)
        && pem.starts_with(&heading)
        && let Ok(tls) = ServerTls::from_pem(pem.as_bytes(), pem.as_bytes())
    {
        return Ok(tls);
    }
    let made = SelfSigned::generate(names).map_err(cannot_make)?;
    let tls = ServerTls::from_pem(made.certificate.as_bytes(), made.key.as_bytes())
        .map_err(cannot_make)?;
    let SelfSigned { certificate, key } = made;
    match keep(dir, &path, &format!("{heading}{certificate}{key}")) {
        Ok(()) => tracing::info!("made a self-signed certificate, kept in {}", path.display()),
        Err(error) => tracing::warn!(
            "can't keep the self-signed certificate in {}: {error}; a new one is made at every start, \
             which matters only to clients that were given it as --ca-file; name a directory that can \
             be written with --state-dir",
            path.display()
        ),
    }
    Ok(tls)
}

/// The first line of the file. Text outside the blocks of a PEM file means nothing to its readers.
fn heading(names: &BTreeSet<String>) -> String {
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    format!(
        "Self-signed certificate of adit-server for {}\n",
        names.join(" ")
    )
}

fn keep(dir: &Path, path: &Path, content: &str) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir)?;
    adit_program::write_private(path, content.as_bytes())
}

fn cannot_make(error: SetupError) -> Failure {
    Failure::Runtime(format!("{error} (see --tls-name)"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some_names(extra: &str) -> BTreeSet<String> {
        names(&[extra.parse().unwrap()], "0.0.0.0".parse().unwrap())
    }

    #[test]
    fn a_self_signed_certificate_is_kept_and_taken_again() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().join("deep/er");
        kept_in(&dir, some_names("a.example.com")).unwrap();
        let first = fs::read_to_string(dir.join(FILE)).unwrap();
        kept_in(&dir, some_names("a.example.com")).unwrap();
        assert_eq!(fs::read_to_string(dir.join(FILE)).unwrap(), first);
        kept_in(&dir, some_names("b.example.com")).unwrap();
        assert_ne!(fs::read_to_string(dir.join(FILE)).unwrap(), first);
    }

    #[test]
    fn a_spoilt_file_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let names = some_names("a.example.com");
        fs::write(dir.path().join(FILE), heading(&names)).unwrap();
        kept_in(dir.path(), names).unwrap();
        assert!(
            fs::read_to_string(dir.path().join(FILE))
                .unwrap()
                .contains("PRIVATE KEY")
        );
    }

    #[test]
    fn a_state_directory_that_cannot_be_written_does_not_stop_the_server() {
        kept_in(
            Path::new("/proc/no/such/place"),
            some_names("a.example.com"),
        )
        .unwrap();
    }

    #[test]
    fn a_missing_key_is_named_with_its_flag() {
        let dir = tempfile::tempdir().unwrap();
        let cert = dir.path().join("tls.crt");
        fs::write(
            &cert,
            SelfSigned::generate(["x".to_owned()]).unwrap().certificate,
        )
        .unwrap();
        let failure = from_files(&cert, &dir.path().join("tls.key")).unwrap_err();
        assert!(failure.to_string().contains("--tls-key"), "{failure}");
    }
}
