//! Cases of whatever carries bytes: sessions over it, and streams in them.
//!
//! `make` gives two connected ends of the transport, the host's and the client's, within a task of the runtime.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::task::Poll;

use adit_core::{CarrierFacts, ClientId, Code, HandshakeError, Token, TunnelName};

use super::kit::{DEADLINE, numbered};
use crate::session::{AcceptError, Carrier, Client, ConnectError, Host, Session, Stream};
use crate::{Start, Threads, within};

const TOKEN: &str = "the right token of the test";

/// What goes each way in bulk.
const BULK_BYTES: u32 = 2 * 1024 * 1024;

/// Streams that are open at once, and what goes each way in each.
const STREAMS: u32 = 50;
const STREAM_BYTES: u32 = 10_000;

type Sides = (Result<Session, AcceptError>, Result<Session, ConnectError>);

/// Polls both until both are ready.
async fn both<A, B>(one: impl Future<Output = A>, other: impl Future<Output = B>) -> (A, B) {
    let (mut one, mut other) = (pin!(one), pin!(other));
    let (mut first, mut second) = (None, None);
    poll_fn(|context| {
        if first.is_none()
            && let Poll::Ready(value) = one.as_mut().poll(context)
        {
            first = Some(value);
        }
        if second.is_none()
            && let Poll::Ready(value) = other.as_mut().poll(context)
        {
            second = Some(value);
        }
        match (first.take(), second.take()) {
            (Some(first), Some(second)) => Poll::Ready((first, second)),
            known => {
                (first, second) = known;
                Poll::Pending
            }
        }
    })
    .await
}

/// Host and client over two ends; the client knows this token.
async fn connect<R: Start>(
    runtime: &R,
    near: impl Carrier,
    far: impl Carrier,
    known: &str,
) -> Sides {
    let tunnel = TunnelName::new("attic").expect("a name");
    let token = Token::new(TOKEN.as_bytes()).expect("long enough");
    let host = Host::new(Default::default()).expect("limits that fit");
    let host = host.with_tunnel(&tunnel, &token);
    let known = Token::new(known.as_bytes()).expect("long enough");
    let client = Client::new(known, tunnel, ClientId::new("me").expect("a name"));
    let facts = CarrierFacts {
        exporter: None,
        tls: false,
        certificate_checked: false,
    };
    let accepting = host.accept(runtime, near, None);
    both(accepting, client.connect(runtime, far, facts)).await
}

/// Runs a case: two sessions over a fresh pair of ends, and what is done with them, within a time.
fn case<R, M, F, A, B, W, G>(make: M, work: W)
where
    R: Start,
    M: FnOnce(R) -> F + Send + 'static,
    F: Future<Output = (A, B)> + Send + 'static,
    A: Carrier,
    B: Carrier,
    W: FnOnce(Session, Session) -> G + Send + 'static,
    G: Future<Output = ()> + Send + 'static,
{
    let started = R::start(Threads::One, |runtime| async move {
        let working = async {
            let (near, far) = make(runtime.clone()).await;
            let (server, client) = connect(&runtime, near, far, TOKEN).await;
            let (server, client) = (server.expect("a session"), client.expect("a session"));
            work(server, client).await;
        };
        let done = within(&runtime, DEADLINE, working).await;
        done.expect("it ended in time");
    });
    started.expect("a good end");
}

async fn write(stream: &Stream, mut data: &[u8]) -> io::Result<()> {
    while !data.is_empty() {
        let written = poll_fn(|context| stream.poll_write(context, data)).await?;
        data = &data[written..];
    }
    Ok(())
}

async fn send(stream: &Stream, data: &[u8]) -> io::Result<()> {
    write(stream, data).await?;
    stream.finish()
}

async fn read(stream: &Stream) -> io::Result<Vec<u8>> {
    let (mut all, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        match poll_fn(|context| stream.poll_read(context, &mut buffer)).await? {
            0 => return Ok(all),
            read => all.extend_from_slice(&buffer[..read]),
        }
    }
}

async fn accept(session: &Session) -> Stream {
    session.accept().await.expect("a stream")
}

/// The bounds that every case has.
macro_rules! cases {
    ($($(#[$doc:meta])* $name:ident: $work:expr;)*) => {
        $(
            $(#[$doc])*
            pub fn $name<R, M, F, A, B>(make: M)
            where
                R: Start,
                M: FnOnce(R) -> F + Send + 'static,
                F: Future<Output = (A, B)> + Send + 'static,
                A: Carrier,
                B: Carrier,
            {
                case(make, $work);
            }
        )*
    };
}

cases! {
    /// Two megabytes, both ways at once.
    bulk_passes_both_ways: async |server: Session, client: Session| {
        let asked = server.open().expect("room for a stream");
        let answered = accept(&client);
        let sent = numbered(BULK_BYTES);
        let (asking, answering) = both(
            async { both(send(&asked, &sent), read(&asked)).await },
            async {
                let answered = answered.await;
                both(send(&answered, &sent), read(&answered)).await
            },
        )
        .await;
        for (written, came) in [asking, answering] {
            written.expect("it was taken");
            assert!(came.expect("all of it") == sent);
        }
    };

    /// Each with bytes of its own.
    many_streams_pass_at_once: async |server: Session, client: Session| {
        let opened: Vec<_> = (0..STREAMS)
            .map(|_| server.open().expect("room for a stream"))
            .collect();
        let asking = async {
            for (number, stream) in (0..).zip(&opened) {
                let sent = numbered(STREAM_BYTES + number);
                send(stream, &sent).await.expect("it was taken");
            }
            for (number, stream) in (0..).zip(&opened) {
                let came = read(stream).await.expect("all of it");
                assert!(came == numbered(STREAM_BYTES + number));
            }
        };
        let answering = async {
            let mut streams = Vec::new();
            for _ in 0..STREAMS {
                streams.push(accept(&client).await);
            }
            for stream in &streams {
                let asked = read(stream).await.expect("all of it");
                send(stream, &asked).await.expect("it was taken");
            }
            // Until the other side has read the last of it.
            streams
        };
        both(asking, answering).await;
    };

    /// The answer begins after the end of the question.
    half_close_is_kept: async |server: Session, client: Session| {
        let asked = server.open().expect("room for a stream");
        send(&asked, b"what is cooking?").await.expect("it was taken");
        let answered = accept(&client).await;
        assert_eq!(read(&answered).await.expect("all of it"), b"what is cooking?");
        send(&answered, b"soup").await.expect("it was taken");
        assert_eq!(read(&asked).await.expect("all of it"), b"soup");
    };

    /// An error, and no end.
    a_reset_is_no_end: async |server: Session, client: Session| {
        let asked = server.open().expect("room for a stream");
        write(&asked, b"half of it").await.expect("it was taken");
        let answered = accept(&client).await;
        let mut first = [0; 10];
        let came = poll_fn(|context| answered.poll_read(context, &mut first)).await;
        assert!(came.is_ok_and(|came| came > 0));
        answered.reset(Code::CANCELLED);
        let error = read(&asked).await.expect_err("a reset");
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    };

    /// Whoever reads nothing stalls its own stream.
    a_slow_reader_holds_up_nobody_else: async |server: Session, client: Session| {
        let (stalled, other) = (server.open(), server.open());
        let (stalled, other) = (stalled.expect("a stream"), other.expect("a stream"));
        let much = numbered(BULK_BYTES);
        let stalling = write(&stalled, &much);
        let passing = async {
            let first = accept(&client).await;
            let second = accept(&client).await;
            let sent = numbered(STREAM_BYTES);
            let (written, came) = both(send(&other, &sent), read(&second)).await;
            written.expect("it was taken");
            assert!(came.expect("all of it") == sent);
            // Now the first one is read, too.
            let mut came = 0;
            let mut buffer = [0; 4096];
            while came < much.len() {
                let read = poll_fn(|context| first.poll_read(context, &mut buffer)).await;
                let read = read.expect("no reset");
                assert!(buffer[..read] == much[came..came + read]);
                came += read;
            }
            (first, second)
        };
        let (written, _) = both(stalling, passing).await;
        written.expect("it was taken in the end");
    };

    /// As they come.
    single_bytes_pass: async |server: Session, client: Session| {
        let asked = server.open().expect("room for a stream");
        let answered = accept(&client);
        let asking = async {
            for byte in numbered(500) {
                write(&asked, &[byte]).await.expect("it was taken");
            }
            asked.finish().expect("open");
        };
        let (_, came) = both(asking, async { read(&answered.await).await }).await;
        assert!(came.expect("all of it") == numbered(500));
    };

    /// Both sides know when it is over, and what was not whole is an error.
    the_end_of_a_session_ends_what_was_not_whole: async |server: Session, client: Session| {
        let asked = server.open().expect("room for a stream");
        write(&asked, b"half of it").await.expect("it was taken");
        let answered = accept(&client).await;
        server.close();
        let error = read(&answered).await.expect_err("no good end");
        let kinds = [io::ErrorKind::ConnectionReset, io::ErrorKind::ConnectionAborted];
        assert!(kinds.contains(&error.kind()), "{error}");
        both(server.ended(), client.ended()).await;
    };
}

/// On neither side.
pub fn a_wrong_token_gets_no_session<R, M, F, A, B>(make: M)
where
    R: Start,
    M: FnOnce(R) -> F + Send + 'static,
    F: Future<Output = (A, B)> + Send + 'static,
    A: Carrier,
    B: Carrier,
{
    let started = R::start(Threads::One, |runtime| async move {
        let (near, far) = make(runtime.clone()).await;
        let connecting = connect(&runtime, near, far, "a wrong token of the test!");
        let (server, client) = within(&runtime, DEADLINE, connecting).await?;
        assert!(matches!(server, Err(AcceptError::Refused(_))));
        let Err(ConnectError::Handshake(HandshakeError::Refused { code, .. })) = client else {
            panic!("the client was not refused")
        };
        assert_eq!(code, Code::UNAUTHORIZED);
        Some(())
    });
    started.expect("a good end").expect("it ended in time");
}

/// A test for each case, over a transport of one's own, on the runtime that it needs.
///
/// ```ignore
/// async fn pair(_: Tokio) -> (Io<UnixStream>, Io<UnixStream>) {
///     let (near, far) = UnixStream::pair().expect("two ends");
///     (Io(near), Io(far))
/// }
///
/// transport_conformance!(unix_sockets: Tokio, pair);
/// ```
#[macro_export]
macro_rules! transport_conformance {
    ($name:ident: $runtime:ty, $make:expr) => {
        mod $name {
            use super::*;

            $crate::transport_conformance! { @ $runtime, $make,
                bulk_passes_both_ways
                many_streams_pass_at_once
                half_close_is_kept
                a_reset_is_no_end
                a_slow_reader_holds_up_nobody_else
                single_bytes_pass
                the_end_of_a_session_ends_what_was_not_whole
                a_wrong_token_gets_no_session
            }
        }
    };
    (@ $runtime:ty, $make:expr, $($case:ident)*) => {
        $(
            #[test]
            fn $case() {
                $crate::conformance::transport::$case::<$runtime, _, _, _, _>($make);
            }
        )*
    };
}
