//! The operating system's limits.

/// Raises the number of files that this process may have open as far as the system allows.
///
/// Each visitor takes one, and the usual soft limit of 1,024 is there for the sake of programs that
/// use `select`; this one does not.
#[cfg(unix)]
pub(crate) fn raise_file_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // A system that refuses leaves the limit as it was, and running out of files is survived.
    let _ = setrlimit(Resource::Nofile, limit);
}

/// Nothing to raise here.
#[cfg(not(unix))]
pub(crate) fn raise_file_limit() {}
