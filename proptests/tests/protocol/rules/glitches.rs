//! Frames that a peer should not send: those out of their phase, and those that do no work.

use super::*;

//= spec/03-frames.md
//# A receiver MUST answer a frame outside its phase with UNEXPECTED_FRAME.
#[test]
fn a_handshakes_frame_in_an_open_session_ends_it() {
    let refuse = Frame::Refuse {
        code: Code::BUSY,
        retry_after_ms: 0,
        detail: None,
    };
    bench()
        .gets(&refuse.encoding())
        .ended_with(Code::UNEXPECTED_FRAME);
}

//= spec/03-frames.md
//# A peer MUST NOT send a frame of a feature that WELCOME does not name, and a receiver MUST
//# answer one with UNEXPECTED_FRAME (DATAGRAM is skipped).
#[test]
fn a_frame_of_a_feature_that_was_not_agreed_on_ends_the_session() {
    let offer = Frame::Offer {
        offer: 1,
        services: Vec::new(),
    };
    bench()
        .gets(&offer.encoding())
        .ended_with(Code::UNEXPECTED_FRAME);
    bench()
        .gets(
            &Frame::Withdraw {
                service: ServiceId(1),
            }
            .encoding(),
        )
        .ended_with(Code::UNEXPECTED_FRAME);
    let mut datagram = bench();
    datagram.gets(
        &Frame::Datagram {
            flow: 1,
            payload: Bytes::from_static(b"x"),
        }
        .encoding(),
    );
    assert!(!datagram.session.is_closed());
}

//= spec/05-streams.md
//# A receiver MUST answer an empty budget with FLOOD.
#[test]
fn frames_that_do_no_work_are_counted_and_end_the_session() {
    let floods: [(&str, Vec<u8>); 6] = [
        ("empty data", data(0, 0)),
        ("void credit", frame(kind::CREDIT, &[0, 5])),
        ("void session credit", frame(kind::SESSION_CREDIT, &[5])),
        ("void return", frame(kind::CREDIT_RETURN, &[0, 5, 4])),
        ("old acknowledgement", frame(kind::ACK, &[0])),
        ("pings", vec![kind::PING, 8, 0, 0, 0, 0, 0, 0, 0, 0]),
    ];
    for (name, bytes) in floods {
        let mut bench = bench();
        bench.gets(&open(0, 9));
        let budget = Config::default().glitches_max;
        for _ in 0..budget {
            bench.gets(&bytes);
        }
        assert!(!bench.session.is_closed(), "{name}");
        bench.gets(&bytes);
        assert!(bench.session.is_closed(), "{name}");
        bench.ended_with(Code::FLOOD);
    }
}

#[test]
fn streams_that_are_opened_and_reset_at_once_are_counted() {
    let mut bench = bench();
    for id in 0..=u64::from(Config::default().glitches_max) {
        bench
            .gets(&open(id * 2, 9))
            .gets(&frame(kind::RESET, &[id * 2, 0x300]));
        for event in bench.events() {
            if let Event::Reset { id, .. } = event {
                bench.session.release(id);
            }
        }
    }
    assert!(bench.session.is_closed());
}

#[test]
fn work_and_time_pay_for_glitches() {
    let mut bench = bench();
    bench.gets(&open(0, 9));
    let id = bench.opened();
    for _ in 0..20_000 {
        bench.gets(&data(0, 0)).gets(&data(0, 1_024));
        let now = bench.now;
        bench.session.consume(now, id, 1_024);
        bench.sent();
    }
    assert!(!bench.session.is_closed(), "one for each KiB");
    for _ in 0..20_000 {
        bench.now += Duration::from_millis(1);
        bench.gets(&data(0, 0));
    }
    assert!(!bench.session.is_closed(), "a thousand a second");
}

#[test]
fn visitors_that_come_and_reset_at_once_never_end_a_session() {
    let config = Arc::new(Config::default());
    let mut pair = Pair::new(&config, Shape::default(), 1);
    for _ in 0..30_000 {
        let id = pair.open(Side::Server).expect("the last one is gone");
        while pair.exchange() {}
        pair.server.session.reset(id, Code::CANCELLED);
        while pair.exchange() {}
        for peer in [&mut pair.client, &mut pair.server] {
            for event in std::mem::take(&mut peer.events) {
                if let Event::Reset { id, .. } = event {
                    peer.session.release(id);
                }
            }
        }
        if pair.client.pipe.due().is_some() || pair.server.pipe.due().is_some() {
            pair.advance(Duration::from_millis(20));
        }
    }
    assert!(!pair.client.session.is_closed() && !pair.server.session.is_closed());
}

#[test]
fn streams_that_the_application_refuses_are_counted() {
    let mut bench = bench();
    let budget = u64::from(Config::default().glitches_max);
    for n in 0..=budget {
        assert!(!bench.session.is_closed());
        bench.gets(&open(n * 2, 9));
        let (id, now) = (bench.opened(), bench.now);
        bench.session.refuse(now, id, Code::UNSUPPORTED);
        if n < budget {
            bench.sent();
        }
    }
    assert!(bench.session.is_closed());
}
