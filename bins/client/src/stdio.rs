//! Standard input and output as the connection to the server: what whoever started this program passes between the two.
//!
//! The two are pipes more often than not, and blocking; a thread for each passes what comes to a socket that the client takes for its connection.

#[cfg(unix)]
mod pumps {
    use std::fs::File;
    use std::io::{self, Read, Write};
    use std::net::{Shutdown, TcpStream};
    use std::os::fd::{AsFd, OwnedFd};
    use std::os::unix::net::UnixStream;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;

    use adit_driver::{Stop, Stopper};
    use adit_program::Failure;

    /// Bytes passed at once.
    const PART_BYTES: usize = 64 * 1024;

    /// The threads that pass bytes.
    pub(crate) struct Pumps {
        /// The client's connection.
        pub(crate) carrier: TcpStream,
        /// Whether standard input or output has ended.
        pub(crate) ended: Ended,
    }

    #[derive(Clone)]
    pub(crate) struct Ended(Arc<AtomicBool>);

    impl Ended {
        /// How the program ends: there is no other connection.
        pub(crate) fn outcome(&self) -> Result<(), Failure> {
            if self.0.load(Ordering::Acquire) {
                let text = "the connection to the server has ended (--stdio): standard input or output was closed";
                return Err(Failure::Runtime(text.to_owned()));
            }
            Ok(())
        }
    }

    impl Pumps {
        /// Starts them. When one of the two has ended, the client is stopped.
        pub(crate) fn start(stopper: Stopper) -> Result<Self, Failure> {
            begin(stopper).map_err(|error| {
                let text = format!("can't use standard input and output (--stdio): {error}");
                Failure::Runtime(text)
            })
        }
    }

    fn begin(stopper: Stopper) -> io::Result<Pumps> {
        let (near, carrier) = UnixStream::pair()?;
        carrier.set_nonblocking(true)?;
        let ended = Ended(Arc::default());
        let (near, stopper) = (Arc::new(near), Arc::new(stopper));
        let end = {
            let (near, ended) = (Arc::clone(&near), ended.clone());
            move || {
                ended.0.store(true, Ordering::Release);
                let _ = near.shutdown(Shutdown::Both);
                stopper.stop(Stop::Now);
            }
        };
        let input = File::from(io::stdin().as_fd().try_clone_to_owned()?);
        let output = File::from(io::stdout().as_fd().try_clone_to_owned()?);
        pump("stdin", input, near.try_clone()?, end.clone())?;
        pump("stdout", near.try_clone()?, output, end)?;
        Ok(Pumps {
            carrier: TcpStream::from(OwnedFd::from(carrier)),
            ended,
        })
    }

    /// Passes what comes, in a thread of its own; then calls `end`: whatever the reason, nothing more will pass.
    fn pump(
        name: &str,
        from: impl Read + Send + 'static,
        to: impl Write + Send + 'static,
        end: impl FnOnce() + Send + 'static,
    ) -> io::Result<()> {
        let thread = thread::Builder::new().name(name.to_owned());
        thread.spawn(move || {
            let _ = pass(from, to);
            end();
        })?;
        Ok(())
    }

    fn pass(mut from: impl Read, mut to: impl Write) -> io::Result<()> {
        let mut buffer = vec![0; PART_BYTES];
        loop {
            match from.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(read) => to.write_all(&buffer[..read])?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

#[cfg(not(unix))]
mod pumps {
    use std::net::TcpStream;

    use adit_driver::Stopper;
    use adit_program::Failure;

    /// There are none here.
    pub(crate) struct Pumps {
        pub(crate) carrier: TcpStream,
        pub(crate) ended: Ended,
    }

    pub(crate) struct Ended;

    impl Ended {
        #[expect(clippy::unnecessary_wraps, reason = "as on other systems")]
        pub(crate) const fn outcome(&self) -> Result<(), Failure> {
            Ok(())
        }
    }

    impl Pumps {
        pub(crate) fn start(_: Stopper) -> Result<Self, Failure> {
            let text = "--stdio is not to be had on this system; give --url and leave it out";
            Err(Failure::Usage(text.to_owned()))
        }
    }
}

pub(crate) use pumps::Pumps;
