//! A session over standard input and output of a child process: what `ssh host program` gives, where no port may be opened.
//!
//! The child is this program itself. Over SSH only the command changes: `Command::new("ssh").args(["host", "program", "child"])`.

use std::process::Stdio;

use adit_examples::{Error, PLAIN, answer, ask, client, host};
use tokio::process::Command;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    if std::env::args().nth(1).as_deref() == Some("child") {
        return child().await;
    }
    let mut child = Command::new(std::env::current_exe()?)
        .arg("child")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let output = child.stdout.take().ok_or("no pipe from the child")?;
    let input = child.stdin.take().ok_or("no pipe to the child")?;

    let carrier = tokio::io::join(output, input);
    let session = host()?.accept(carrier, None).await?;
    ask(&session).await?;
    drop(session);
    let status = child.wait().await?;
    if !status.success() {
        return Err(format!("the child ended with {status}").into());
    }
    println!("ten megabytes went both ways, through a child's standard input and output");
    Ok(())
}

/// The other side. It must print nothing: its standard output is the carrier.
async fn child() -> Result<(), Error> {
    let carrier = tokio::io::join(tokio::io::stdin(), tokio::io::stdout());
    let session = client().connect(carrier, PLAIN).await?;
    answer(&session).await?;
    session.ended().await;
    Ok(())
}
