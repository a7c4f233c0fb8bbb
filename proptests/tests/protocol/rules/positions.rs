//! Positions: what counts, and when it is acknowledged.

use super::*;

//= spec/06-positions.md
//# A receiver MUST answer an ACK above what it sent with POSITION, and MUST ignore
//# one below an earlier one.
#[test]
fn an_ack_of_what_was_never_sent_ends_the_session_and_an_old_one_does_nothing() {
    let mut bench = bench();
    bench.gets(&open(0, 100));
    let id = bench.opened();
    assert_eq!(
        bench
            .session
            .write(id, &mut Bytes::from_static(b"0123456789")),
        Ok(10)
    );
    bench.sent();
    bench
        .gets(&frame(kind::ACK, &[10]))
        .gets(&frame(kind::ACK, &[4]));
    assert_eq!(bench.session.positions().1, 10);
    bench
        .gets(&frame(kind::ACK, &[11]))
        .ended_with(Code::POSITION);
}

#[test]
fn counted_frames_and_payload_move_the_position_and_nothing_else_does() {
    let mut bench = bench();
    bench
        .gets(&open(0, 100))
        .gets(&data(0, 77))
        .gets(&frame(kind::FIN, &[0]));
    bench
        .gets(&frame(kind::ACK, &[0]))
        .gets(&frame(kind::CREDIT, &[0, 200]));
    bench
        .gets(&[kind::PING, 8, 1, 2, 3, 4, 5, 6, 7, 8])
        .gets(&[0x9a, 2, 0, 0]);
    assert_eq!(bench.session.positions().2, 1 + 77 + 1);
}

#[test]
fn acknowledgements_ride_along_or_follow_within_the_delay_or_the_units() {
    let acks = |frames: Vec<Frame>| {
        frames
            .into_iter()
            .filter(|frame| matches!(frame, Frame::Ack { .. }))
            .count()
    };
    let mut bench = bench();
    bench.frames();
    bench.gets(&open(0, 100));
    assert_eq!(
        acks(bench.frames()),
        0,
        "nothing else goes out, and nothing is due"
    );
    let due = bench
        .session
        .poll_timeout()
        .expect("an acknowledgement is due");
    assert_eq!(due - bench.now, Duration::from_millis(25));
    bench.now = due;
    assert_eq!(acks(bench.frames()), 1);
    bench.now += Duration::from_millis(1);
    bench
        .gets(&[kind::PING, 8, 1, 2, 3, 4, 5, 6, 7, 8])
        .gets(&data(0, 1));
    assert_eq!(acks(bench.frames()), 1, "it rides in front of the PONG");
    for _ in 0..9 {
        bench.gets(&data(0, 900));
    }
    assert_eq!(acks(bench.frames()), 0);
    let id = bench.opened();
    let now = bench.now;
    bench.session.consume(now, id, 8_000);
    bench.now += Duration::from_millis(1);
    assert_eq!(acks(bench.frames()), 1, "it rides in front of the credit");
}

#[test]
fn a_visitor_that_sends_byte_by_byte_costs_little_more_than_its_bytes() {
    let mut bench = bench();
    bench.gets(&open(0, 1_000_000));
    let id = bench.opened();
    let len = 100_000;
    for n in 0..len {
        let byte = &mut Bytes::copy_from_slice(&[n as u8]);
        assert_eq!(bench.session.write(id, byte), Ok(1));
    }
    let memory = bench.session.memory();
    assert!(memory <= 2 * len + 2 * adit_core::STREAM_COST, "{memory}");
    let sent: usize = bench
        .sent()
        .iter()
        .map(|sent| match sent {
            Sent::Data(_, len) => *len,
            Sent::Frame(_) => 0,
        })
        .sum();
    assert_eq!(sent, len);
    assert!(bench.session.memory() <= 2 * adit_core::STREAM_COST);
}

#[test]
fn an_acknowledgement_that_the_carrier_does_not_take_is_no_deadline_for_ever() {
    let mut bench = bench();
    bench.frames();
    bench.gets(&open(0, 100));
    bench.now = bench.session.poll_timeout().expect("it is due soon");
    let now = bench.now;
    bench.session.handle_timeout(now);
    assert!(bench.session.has_output());
    assert!(bench.session.poll_timeout().expect("liveness") > now + Duration::from_secs(1));
    assert!(matches!(bench.frames()[..], [Frame::Ack { position: 1 }]));
}
