//! A session in memory: both sides in one program, over a pipe that holds 16 KiB.

use adit_examples::{Error, PLAIN, answer, ask, client, host};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let (near, far) = tokio::io::duplex(16 * 1024);

    // Both sides prove that they know the token; then there is a session.
    let (host, client) = (host()?, client());
    let (server, client) = tokio::join!(host.accept(near, None), client.connect(far, PLAIN));
    let (server, client) = (server?, client?);

    tokio::try_join!(ask(&server), answer(&client))?;
    println!("ten megabytes went both ways, in memory");
    Ok(())
}
