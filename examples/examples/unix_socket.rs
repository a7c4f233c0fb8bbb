//! A session over a Unix socket: two programs of one machine, whose file rights say who may try.

use adit_examples::{Error, PLAIN, answer, ask, client, host};
use tokio::net::{UnixListener, UnixStream};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("adit.sock");
    let listener = UnixListener::bind(&path)?;

    let serving = async {
        let (stream, _) = listener.accept().await?;
        let session = host()?.accept(stream, None).await?;
        ask(&session).await
    };
    let connecting = async {
        let stream = UnixStream::connect(&path).await?;
        let session = client().connect(stream, PLAIN).await?;
        answer(&session).await
    };
    tokio::try_join!(serving, connecting)?;
    println!("ten megabytes went both ways, over {}", path.display());
    Ok(())
}
