//! A session over a serial line: a machine without a network, behind a cable.
//!
//! The line is a pair of pseudo-terminals, which behave like two ends of a cable. A real one is opened by its path:
//! `tokio_serial::new("/dev/ttyUSB0", 115_200).open_native_async()`. Lines that lose bytes need a protocol below that does not:
//! a carrier is reliable, or it ends.

use adit_examples::{Error, PLAIN, answer, ask, client, host};
use tokio_serial::SerialStream;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let (near, far) = SerialStream::pair()?;
    let serving = async {
        let session = host()?.accept(near, None).await?;
        ask(&session).await
    };
    let connecting = async {
        let session = client().connect(far, PLAIN).await?;
        answer(&session).await
    };
    tokio::try_join!(serving, connecting)?;
    println!("ten megabytes went both ways, over a serial line");
    Ok(())
}
