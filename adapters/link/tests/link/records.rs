//! TLS 1.3 records after the handshake, from a peer that knows the keys and sends what it likes (RFC 8446, sections 4.6, 5 and 6).

use adit_link::{CarrierEvent, Ending};
use bytes::BytesMut;
use rustls::CipherSuite;

use crate::{
    by_hand::{
        ALERT, CHANGE_CIPHER_SPEC, CLOSE_NOTIFY, DATA, HANDSHAKE, Half, KEY_UPDATE,
        KEY_UPDATE_ASKING, TICKET,
    },
    kit::drain_output,
    peer::{Meeting, Peer, peers},
};

/// The longest content of a record, in bytes.
const LONGEST: usize = 1 << 14;

/// Alerts (section 6).
const UNEXPECTED_MESSAGE: u8 = 10;
const BAD_RECORD_MAC: u8 = 20;
const RECORD_OVERFLOW: u8 = 22;
const ILLEGAL_PARAMETER: u8 = 47;
const DECODE_ERROR: u8 = 50;

#[test]
fn padding_of_any_length_is_taken_off_and_both_sides_go_on_through_updates_of_the_keys() {
    for mut peer in peers() {
        for (len, padding) in [
            (1, 0),
            (1, LONGEST - 1),
            (LONGEST, 0),
            (100, 100),
            (LONGEST - 1, 1),
        ] {
            // Zeroes at the end of the content are no padding.
            let content = [vec![7; len / 2 + 1], vec![0; len - len / 2 - 1]].concat();
            let wire = peer.send.seal_padded(DATA, &content, padding);
            peer.give(&wire);
            assert_eq!(peer.end.error, None);
            assert!(std::mem::take(&mut peer.end.received) == content);
            peer.seal_and_give(HANDSHAKE, &KEY_UPDATE_ASKING);
            peer.end.send(&content);
            let heard = peer.hear();
            assert_eq!(heard[0], (HANDSHAKE, KEY_UPDATE.to_vec()));
            let data = heard[1..].iter().flat_map(|(_, content)| content.clone());
            assert!(data.collect::<Vec<_>>() == content);
            peer.seal_and_give(HANDSHAKE, &KEY_UPDATE);
            assert_eq!(peer.hear(), []);
        }
    }
}

#[test]
fn what_does_not_belong_on_the_wire_ends_it_with_the_right_alert_and_nothing_is_taken_afterwards() {
    type Make = fn(&mut Half) -> Vec<u8>;
    let cases: &[(&str, Make, u8)] = &[
        (
            "only zeroes",
            |it| it.seal_inner(&[0; 40], None),
            UNEXPECTED_MESSAGE,
        ),
        ("nothing", |it| it.seal_inner(&[], None), UNEXPECTED_MESSAGE),
        (
            "no tag",
            |_| [&[DATA, 3, 3, 0, 15][..], &[7; 15]].concat(),
            BAD_RECORD_MAC,
        ),
        ("no body", |_| vec![DATA, 3, 3, 0, 0], BAD_RECORD_MAC),
        (
            "one byte too many",
            |it| it.seal(DATA, &[7; LONGEST + 1]),
            RECORD_OVERFLOW,
        ),
        (
            "one byte of padding too many",
            |it| it.seal_padded(DATA, &[7; 9], LONGEST - 8),
            RECORD_OVERFLOW,
        ),
        (
            "much padding too many",
            |it| it.seal_padded(DATA, &[7; 9], LONGEST + 1_000),
            RECORD_OVERFLOW,
        ),
        (
            "too long and not genuine",
            |_| [&[DATA, 3, 3, 0x41, 1][..], &[7; LONGEST + 257]].concat(),
            RECORD_OVERFLOW,
        ),
        (
            "a head of 64 KiB",
            |_| vec![DATA, 3, 3, 0xff, 0xff],
            RECORD_OVERFLOW,
        ),
        (
            "a sealed ChangeCipherSpec",
            |it| it.seal(CHANGE_CIPHER_SPEC, &[1]),
            UNEXPECTED_MESSAGE,
        ),
        (
            "a heartbeat",
            |it| it.seal(24, &[1, 0, 1, 7]),
            UNEXPECTED_MESSAGE,
        ),
        (
            "a type that nobody knows",
            |it| it.seal(255, &[7; 9]),
            UNEXPECTED_MESSAGE,
        ),
        (
            "a handshake message of nothing",
            |it| it.seal(HANDSHAKE, &[]),
            UNEXPECTED_MESSAGE,
        ),
        (
            "an alert of nothing",
            |it| it.seal(ALERT, &[]),
            UNEXPECTED_MESSAGE,
        ),
        (
            "half an alert",
            |it| it.seal(ALERT, &[1]),
            UNEXPECTED_MESSAGE,
        ),
        (
            "two alerts",
            |it| it.seal(ALERT, &[1, 90, 1, 0]),
            UNEXPECTED_MESSAGE,
        ),
        (
            "KeyUpdate of 2",
            |it| it.seal(HANDSHAKE, &[24, 0, 0, 1, 2]),
            ILLEGAL_PARAMETER,
        ),
        (
            "KeyUpdate of nothing",
            |it| it.seal(HANDSHAKE, &[24, 0, 0, 0]),
            DECODE_ERROR,
        ),
        (
            "KeyUpdate of two bytes",
            |it| it.seal(HANDSHAKE, &[24, 0, 0, 2, 0, 0]),
            DECODE_ERROR,
        ),
        (
            "two KeyUpdates in a record",
            |it| it.seal(HANDSHAKE, &[KEY_UPDATE, KEY_UPDATE].concat()),
            UNEXPECTED_MESSAGE,
        ),
        (
            "a message that begins behind KeyUpdate",
            |it| it.seal(HANDSHAKE, &[&KEY_UPDATE[..], &[24]].concat()),
            UNEXPECTED_MESSAGE,
        ),
        (
            "HelloRequest",
            |it| it.seal(HANDSHAKE, &[0, 0, 0, 0]),
            UNEXPECTED_MESSAGE,
        ),
        (
            "ClientHello",
            |it| it.seal(HANDSHAKE, &[1, 0, 0, 1, 7]),
            UNEXPECTED_MESSAGE,
        ),
        (
            "the head of a ServerHello",
            |it| it.seal(HANDSHAKE, &[2, 0, 1, 1]),
            UNEXPECTED_MESSAGE,
        ),
        (
            "EndOfEarlyData",
            |it| it.seal(HANDSHAKE, &[5, 0, 0, 0]),
            UNEXPECTED_MESSAGE,
        ),
        (
            "CertificateRequest",
            |it| it.seal(HANDSHAKE, &[13, 0, 0, 3, 0, 0, 0]),
            UNEXPECTED_MESSAGE,
        ),
        (
            "Finished",
            |it| it.seal(HANDSHAKE, &[&[20, 0, 0, 32][..], &[7; 32]].concat()),
            UNEXPECTED_MESSAGE,
        ),
        (
            "a message of 16 MiB",
            |it| it.seal(HANDSHAKE, &[24, 255, 255, 255]),
            DECODE_ERROR,
        ),
        (
            "data between parts",
            |it| [it.seal(HANDSHAKE, &[24, 0]), it.seal(DATA, b"no")].concat(),
            UNEXPECTED_MESSAGE,
        ),
        (
            "an empty record between parts",
            |it| [it.seal(HANDSHAKE, &[24, 0]), it.seal(DATA, b"")].concat(),
            UNEXPECTED_MESSAGE,
        ),
        (
            "an alert between parts",
            |it| [it.seal(HANDSHAKE, &[24, 0]), it.seal(ALERT, &CLOSE_NOTIFY)].concat(),
            UNEXPECTED_MESSAGE,
        ),
        (
            "ChangeCipherSpec",
            |_| vec![CHANGE_CIPHER_SPEC, 3, 3, 0, 1, 1],
            UNEXPECTED_MESSAGE,
        ),
        (
            "an alert in the clear",
            |_| vec![ALERT, 3, 3, 0, 2, 1, 0],
            UNEXPECTED_MESSAGE,
        ),
        (
            "KeyUpdate in the clear",
            |_| [&[HANDSHAKE, 3, 3, 0, 5][..], &KEY_UPDATE].concat(),
            UNEXPECTED_MESSAGE,
        ),
        (
            "data in the clear",
            |_| [&[DATA, 3, 3, 0, 30][..], &[7; 30]].concat(),
            BAD_RECORD_MAC,
        ),
        (
            "one record left out",
            |it| {
                it.skip();
                it.seal(DATA, b"no")
            },
            BAD_RECORD_MAC,
        ),
        (
            "keys that were not agreed on",
            |it| {
                it.update();
                it.seal(DATA, b"no")
            },
            BAD_RECORD_MAC,
        ),
        (
            "the keys before an update",
            |it| [it.seal(HANDSHAKE, &KEY_UPDATE), it.seal(DATA, b"no")].concat(),
            BAD_RECORD_MAC,
        ),
        (
            "another type bound in",
            |it| it.seal_inner(b"no\x17", Some([HANDSHAKE, 3, 3])),
            BAD_RECORD_MAC,
        ),
        (
            "another version bound in",
            |it| it.seal_inner(b"no\x17", Some([DATA, 3, 1])),
            BAD_RECORD_MAC,
        ),
    ];
    for (what, make, alert) in cases {
        for our_client in [true, false] {
            for cut in [1, usize::MAX] {
                let mut peer = Peer::new(our_client, CipherSuite::TLS13_AES_128_GCM_SHA256);
                let good = peer.send.seal(DATA, b"good");
                let bad = make(&mut peer.send);
                let later = peer.send.seal(DATA, b"later");
                for part in [&good, &bad, &later] {
                    for part in part.chunks(cut) {
                        peer.give(part);
                    }
                }
                assert!(peer.end.error.is_some(), "{what}");
                assert_eq!(peer.end.received, b"good", "{what}");
                assert_eq!(peer.hear(), [(ALERT, vec![2, *alert])], "{what}");
                assert_eq!(peer.end.send(b"more"), 0);
            }
        }
    }
}

#[test]
fn a_ticket_is_for_clients_only() {
    for mut peer in peers() {
        peer.seal_and_give(HANDSHAKE, &TICKET);
        assert_eq!(peer.end.error.is_none(), peer.our_client);
        let told: Vec<_> = if peer.our_client {
            Vec::new()
        } else {
            vec![(ALERT, vec![2, UNEXPECTED_MESSAGE])]
        };
        assert_eq!(peer.hear(), told);
    }
}

#[test]
fn tickets_and_updates_come_in_any_parts_and_many_in_a_record() {
    let mut messages = TICKET.repeat(40);
    messages.extend_from_slice(&KEY_UPDATE_ASKING);
    for part in [27, 64, 100, 765, LONGEST] {
        let mut peer = Peer::new(true, CipherSuite::TLS13_AES_128_GCM_SHA256);
        for part in messages.chunks(part) {
            let wire = peer.send.seal(HANDSHAKE, part);
            peer.give(&wire);
        }
        peer.send.update();
        peer.seal_and_give(DATA, b"behind it");
        assert_eq!(peer.end.error, None);
        assert_eq!(peer.end.received, b"behind it");
        assert_eq!(peer.hear(), [(HANDSHAKE, KEY_UPDATE.to_vec())]);
    }
}

#[test]
fn alerts_of_the_peer_end_it_whatever_their_level_but_for_one() {
    for level in [0, 1, 2, 255] {
        for description in [0, 10, 20, 40, 90, 100, 109, 255] {
            let mut peer = Peer::new(false, CipherSuite::TLS13_CHACHA20_POLY1305_SHA256);
            peer.seal_and_give(ALERT, &[level, description]);
            let closed = peer.end.events.iter().any(
                |event| matches!(event, CarrierEvent::PeerClosed(it) if it.how == Ending::Tls),
            );
            assert_eq!(closed, description == 0);
            let goes_on = description == 0 || description == 90;
            assert_eq!(peer.end.error.is_none(), goes_on, "{description}");
            peer.seal_and_give(DATA, b"more");
            assert_eq!(!peer.end.received.is_empty(), description == 90);
        }
    }
}

#[test]
fn records_without_data_are_few_in_a_row_but_as_many_as_one_likes_between_data() {
    let kinds: [(u8, &[u8]); 3] = [(DATA, b""), (HANDSHAKE, &KEY_UPDATE), (ALERT, &[1, 90])];
    for (kind, content) in kinds {
        let mut peer = Peer::new(false, CipherSuite::TLS13_AES_128_GCM_SHA256);
        for _ in 0..50 {
            for _ in 0..32 {
                peer.seal_and_give(kind, content);
            }
            peer.seal_and_give(DATA, b"x");
            assert_eq!(peer.end.error, None);
        }
        for _ in 0..33 {
            peer.seal_and_give(kind, content);
        }
        assert_eq!(peer.hear(), [(ALERT, vec![2, UNEXPECTED_MESSAGE])]);
    }
}

#[test]
fn who_asks_for_updates_and_reads_nothing_makes_no_output_grow() {
    for our_client in [true, false] {
        let mut peer = Peer::new(our_client, CipherSuite::TLS13_AES_256_GCM_SHA384);
        for round in 0..10_000 {
            peer.seal_and_give(HANDSHAKE, &KEY_UPDATE_ASKING);
            peer.seal_and_give(DATA, b"x");
            if round == 5_000 {
                // What is sent goes behind an update, or the peer would not get what it asked for.
                peer.end.send(b"between");
            }
        }
        assert_eq!(peer.end.error, None);
        let update = (HANDSHAKE, KEY_UPDATE.to_vec());
        let between = (DATA, b"between".to_vec());
        // What is still owed follows as soon as there is room.
        let all = [update.clone(), update.clone(), between, update];
        assert_eq!(peer.hear(), all);
    }
}

/// What the peer says in one breath with its Finished, and the payload in it.
fn in_one_breath(send: &mut Half, to_client: bool) -> (Vec<u8>, &'static [u8]) {
    let mut wire = send.seal(DATA, b"at once");
    if to_client {
        wire.extend(send.seal(HANDSHAKE, &TICKET.repeat(2)));
    }
    wire.extend(send.seal(HANDSHAKE, &KEY_UPDATE_ASKING[..3]));
    wire.extend(send.seal(HANDSHAKE, &KEY_UPDATE_ASKING[3..]));
    send.update();
    wire.extend(send.seal_padded(DATA, b", and behind an update", 50));
    wire.extend(send.seal(ALERT, &CLOSE_NOTIFY));
    wire.extend(send.seal(DATA, b"too late"));
    (wire, b"at once, and behind an update")
}

#[test]
fn records_in_one_breath_with_the_end_of_the_handshake_are_understood_wherever_they_are_cut() {
    for our_client in [true, false] {
        let mut at = 0;
        loop {
            let mut meeting = Meeting::new(our_client, CipherSuite::TLS13_AES_128_GCM_SHA256);
            let mut wire = meeting.until_ready();
            let finished = wire.len();
            let (breath, payload) = in_one_breath(&mut meeting.half(!our_client), our_client);
            wire.extend(breath);
            // Everything around the moment in which the keys are handed over; the handshake itself is rustls's.
            let cut = finished.saturating_sub(60) + at;
            if cut >= wire.len() {
                break;
            }
            at += 1;
            meeting.end.input(BytesMut::from(&wire[..cut]));
            meeting.end.input(BytesMut::from(&wire[cut..]));
            assert_eq!(meeting.end.error, None, "{cut}");
            assert_eq!(meeting.end.received, payload, "{cut}");
            let ours = drain_output(&mut meeting.end.carrier);
            let mut left = &ours[..];
            while !left.is_empty() {
                meeting.theirs.read_tls(&mut left).unwrap();
                meeting.theirs.process_new_packets().unwrap();
            }
            let state = meeting.theirs.process_new_packets().unwrap();
            assert!(state.peer_has_closed());
            let exporter = [0; 32];
            let exporter = (meeting.theirs).export_keying_material(
                exporter,
                b"EXPORTER-Channel-Binding",
                None,
            );
            assert_eq!(meeting.end.ready().facts.exporter, exporter.ok());
        }
        assert!(at > 150);
    }
}
