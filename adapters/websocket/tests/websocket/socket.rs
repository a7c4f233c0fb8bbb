//! Pongs, the close handshake, and the limits on what a peer can cost.

use adit_websocket::{
    Close, CloseCode, Config, DEFAULT_FLOOD_BUDGET, Error, Item, Kind, SendError, WebSocket,
};
use bytes::BytesMut;

use super::common::*;

const KEY: [u8; 4] = [1, 2, 3, 4];

fn server() -> WebSocket {
    WebSocket::server(Config::default())
}

/// Feeds frames as a client sends them, and gives the last result.
fn feed(server: &mut WebSocket, frames: &[Vec<u8>]) -> Result<Option<Item>, Error> {
    let mut input = BytesMut::from(&frames.concat()[..]);
    let mut last = Ok(None);
    loop {
        match server.decode(&mut input) {
            Ok(None) => return last,
            Err(error) => return Err(error),
            item => last = item,
        }
    }
}

fn from_client(first: u8, payload: &[u8]) -> Vec<u8> {
    frame(first, payload, Some(KEY))
}

/// All control frames that are owed, as first byte and payload.
fn owed(socket: &mut WebSocket) -> Vec<(u8, Vec<u8>)> {
    let wire: Vec<u8> = std::iter::from_fn(|| socket.poll_control())
        .flat_map(|f| f.as_slice().to_vec())
        .collect();
    read_frames(&wire)
        .into_iter()
        .map(|f| (f.first, f.payload))
        .collect()
}

fn pong(payload: &[u8]) -> (u8, Vec<u8>) {
    (FIN | PONG, payload.into())
}

/// A Close without reason.
fn close(code: u16) -> (u8, Vec<u8>) {
    (FIN | CLOSE, code.to_be_bytes().into())
}

#[test]
fn of_pings_that_came_together_the_latest_is_answered() {
    let mut server = server();
    let pings: Vec<_> = (0..100u8).map(|i| from_client(FIN | PING, &[i])).collect();
    feed(&mut server, &pings).expect("pings are fine");
    assert_eq!(owed(&mut server), [pong(&[99])]);
    assert_eq!(owed(&mut server), []);
}

#[test]
fn a_ping_before_a_close_is_answered_before_it_and_one_after_it_is_not() {
    let mut server = server();
    let wire = [
        from_client(FIN | PING, b"before"),
        from_client(FIN | CLOSE, &1000u16.to_be_bytes()),
        from_client(FIN | PING, b"after"),
    ];
    feed(&mut server, &wire).expect("nothing is wrong");
    assert_eq!(owed(&mut server), [pong(b"before"), close(1000)]);
    assert!(server.is_closed());
}

#[test]
fn a_client_masks_its_control_frames() {
    let mut client = WebSocket::client(|| KEY, Config::default());
    let mut input = BytesMut::from(&frame(FIN | PING, b"ping", None)[..]);
    client.decode(&mut input).expect("a ping is fine");
    let pong = client.poll_control().expect("a pong is owed");
    assert_eq!(pong.as_slice(), frame(FIN | PONG, b"ping", Some(KEY)));
}

#[test]
fn a_peers_close_is_answered_once_with_its_code_and_ends_sending() {
    let mut server = server();
    let result = feed(&mut server, &[from_client(FIN | CLOSE, b"\x03\xE9going")]);
    assert_eq!(
        result,
        Ok(Some(Item::Close(Some(Close::new(
            CloseCode::GOING_AWAY,
            "going"
        )))))
    );
    assert_eq!(
        server.data(Kind::Binary, 1, true).err(),
        Some(SendError::Closing)
    );
    assert!(!server.is_closed(), "its own Close is not out yet");
    server.close(Close::new(CloseCode::NORMAL, "too late"));
    assert_eq!(owed(&mut server), [close(1001)]);
    assert_eq!(owed(&mut server), []);
    assert!(server.is_closed());
}

#[test]
fn an_empty_close_is_answered_by_an_empty_close() {
    let mut server = server();
    assert_eq!(
        feed(&mut server, &[from_client(FIN | CLOSE, b"")]),
        Ok(Some(Item::Close(None)))
    );
    assert_eq!(owed(&mut server), [(FIN | CLOSE, Vec::new())]);
}

#[test]
fn after_an_own_close_data_still_comes_in_until_the_peers_close() {
    let mut server = server();
    server.close(Close::new(CloseCode::GOING_AWAY, ""));
    assert_eq!(
        server.data(Kind::Binary, 1, true).err(),
        Some(SendError::Closing)
    );
    assert_eq!(owed(&mut server), [close(1001)]);

    let late = feed(&mut server, &[from_client(FIN | BINARY, b"late")]);
    assert!(matches!(late, Ok(Some(Item::Data { payload, .. })) if payload == "late"));
    feed(&mut server, &[from_client(FIN | PING, b"")]).expect("a ping is fine");
    assert_eq!(owed(&mut server), [], "nothing may follow a Close");
    assert!(!server.is_closed());

    feed(
        &mut server,
        &[from_client(FIN | CLOSE, &1001u16.to_be_bytes())],
    )
    .expect("it is valid");
    assert_eq!(owed(&mut server), [], "a Close is answered once");
    assert!(server.is_closed());
}

#[test]
fn after_a_close_input_is_thrown_away_unread() {
    let mut server = server();
    let mut wire = from_client(FIN | CLOSE, b"");
    wire.extend([0xFF; 1_000]);
    let mut input = BytesMut::from(&wire[..]);
    assert_eq!(server.decode(&mut input), Ok(Some(Item::Close(None))));
    assert_eq!(server.decode(&mut input), Ok(None));
    assert!(input.is_empty());
}

#[test]
fn an_error_is_answered_by_a_close_with_its_code_and_what_was_wrong() {
    let mut server = server();
    assert_eq!(
        feed(&mut server, &[vec![FIN | TEXT]]),
        Err(Error::TextRefused)
    );
    let [(first, payload)] = &owed(&mut server)[..] else {
        panic!("one frame is owed")
    };
    assert_eq!(
        (*first, &payload[..2]),
        (FIN | CLOSE, &1003u16.to_be_bytes()[..])
    );
    assert_eq!(
        std::str::from_utf8(&payload[2..]),
        Ok(Error::TextRefused.to_string().as_str())
    );
    assert!(server.is_closed());
    assert_eq!(
        server.data(Kind::Binary, 0, true).err(),
        Some(SendError::Closing)
    );
}

#[test]
fn every_error_text_fits_a_close_frame() {
    let longest = [
        Error::LengthNotMinimal(u64::MAX),
        Error::MessageTooLong { limit: u64::MAX },
        Error::Flood { budget: u32::MAX },
        Error::CloseTooShort,
        Error::ReservedBits(7),
    ];
    for error in longest {
        assert_eq!(Close::from(error).reason(), error.to_string());
    }
}

#[test]
fn frames_without_payload_have_a_budget() {
    let empty = [
        from_client(FIN | PING, b"payload of a ping is not work"),
        from_client(FIN | PONG, b""),
        from_client(FIN | BINARY, b""),
    ];
    for idle in &empty {
        let mut server = server();
        let budget = vec![idle.clone(); DEFAULT_FLOOD_BUDGET as usize];
        feed(&mut server, &budget).expect("it is within the budget");
        assert_eq!(server.idle_frames(), u64::from(DEFAULT_FLOOD_BUDGET));
        let error = Error::Flood {
            budget: DEFAULT_FLOOD_BUDGET,
        };
        assert_eq!(feed(&mut server, std::slice::from_ref(idle)), Err(error));
        assert_eq!(error.close_code(), CloseCode::POLICY_VIOLATION);
    }
    // Empty fragments of a message that never ends.
    let mut server = server();
    let mut wire = vec![from_client(BINARY, b"")];
    wire.resize(
        DEFAULT_FLOOD_BUDGET as usize + 1,
        from_client(CONTINUATION, b""),
    );
    assert!(matches!(feed(&mut server, &wire), Err(Error::Flood { .. })));
}

#[test]
fn one_byte_of_payload_fills_the_budget_again() {
    let mut server = server();
    let mut wire = vec![from_client(FIN | PING, b""); DEFAULT_FLOOD_BUDGET as usize];
    wire.push(from_client(FIN | BINARY, b"."));
    for _ in 0..3 {
        feed(&mut server, &wire).expect("the budget is never exceeded");
    }
    assert_eq!(server.idle_frames(), 3 * u64::from(DEFAULT_FLOOD_BUDGET));
}

#[test]
fn a_declared_length_alone_does_not_fill_the_budget_again() {
    let mut config = Config::default();
    config.flood_budget = 1;
    let mut server: WebSocket = WebSocket::server(config);
    let mut head_only = from_client(FIN | BINARY, b".");
    head_only.pop();
    feed(&mut server, &[from_client(FIN | PING, b""), head_only]).expect("one is allowed");
    feed(&mut server, &[vec![b'.' ^ KEY[0]]]).expect("it is the payload");
    feed(&mut server, &[from_client(FIN | PING, b"")]).expect("the budget is full again");
    assert!(feed(&mut server, &[from_client(FIN | PING, b"")]).is_err());
}

#[test]
fn a_length_of_64_bits_is_not_sent() {
    let mut server = server();
    let too_long = 1 << 63;
    assert_eq!(
        server.data(Kind::Binary, too_long, true).err(),
        Some(SendError::TooLong(too_long))
    );
    assert!(server.data(Kind::Binary, too_long - 1, true).is_ok());
}

#[test]
fn nothing_shows_a_mask_key() {
    let mut client = WebSocket::client(|| [0xDE, 0xAD, 0xBE, 0xEF], Config::default());
    let (own_head, mask) = client.data(Kind::Binary, 1, true).expect("it is open");
    let mut server = server();
    let head = [FIN | BINARY, 0x80 | 5, 0xDE, 0xAD, 0xBE, 0xEF];
    server
        .decode(&mut BytesMut::from(&head[..]))
        .expect("it is a head");
    let shown = [
        format!("{own_head:?}"),
        format!("{mask:?}"),
        format!("{client:?}"),
        format!("{server:?}"),
    ];
    for shown in shown {
        assert!(
            !shown.contains("222, 173") && !shown.to_lowercase().contains("dead"),
            "{shown}"
        );
    }
}
