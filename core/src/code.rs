//! Every code that crosses the wire, in one table: why a session closed, a carrier or a service was refused, a stream was
//! reset (spec/08-codes.md).

use core::fmt;

/// A code as it stands in CLOSE, REFUSE, RESET or a grant.
///
/// Codes that this version does not know are kept as their number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Code(pub u64);

macro_rules! codes {
    ($($value:literal $name:ident $text:literal;)*) => {
        impl Code {
            $(
                #[doc = concat!($text, ".")]
                pub const $name: Self = Self($value);
            )*

            /// Every code of this version.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The code's name in the specification, if it has one.
            #[must_use]
            pub const fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($value => Some(stringify!($name)),)*
                    _ => None,
                }
            }

            /// What the code means, for people.
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self.0 {
                    $($value => $text,)*
                    _ => "a code that this version does not know",
                }
            }
        }
    };
}

codes! {
    // Accepted.
    0x00 DONE "the session ended as it should; for a service, it is accepted";
    // Why a session is closed.
    0x01 INTERNAL "the other side met a fault of its own";
    0x02 MALFORMED "a frame could not be read";
    0x03 FRAME_TOO_LARGE "a frame was longer than the protocol allows";
    0x04 UNEXPECTED_FRAME "a frame came in a phase that is not its own";
    0x05 UNKNOWN_FRAME "a frame's type is not known";
    0x06 FLOW_CONTROL "more payload was sent than credit allowed";
    0x07 STREAM_STATE "a frame did not fit the state of its stream";
    0x08 FLOOD "too many frames did no work";
    0x09 POSITION "a position was acknowledged that was never sent";
    0x0a SHUTDOWN "the other side is shutting down";
    0x0b REVOKED "the grant or the token was withdrawn";
    0x0c REPLACED "a new run of the same client took this session's place";
    // Why a carrier is refused.
    0x100 UNAUTHORIZED "the tunnel's name or the token is wrong";
    0x101 VERSION "no protocol version is spoken by both sides";
    0x102 BINDING_REQUIRED "the server requires the proof to be bound to the TLS connection";
    0x103 BINDING_MISMATCH "the token is right, but something between client and server ends TLS";
    0x104 UNKNOWN_SESSION "the server does not know the session to resume";
    0x105 EXPIRED "the session was away for longer than its resume window";
    0x106 STALE "a later attempt to resume was seen already";
    0x107 GONE "what is missing can't be sent again";
    0x108 BUSY "the server is at one of its limits";
    0x109 SHUTTING_DOWN "the server is shutting down";
    // Why a service is refused.
    0x200 PORT_NOT_ALLOWED "the tunnel's grant does not allow this port";
    0x201 PORT_IN_USE "the port is taken";
    0x202 BIND_FAILED "the server could not listen on the port";
    0x203 UNSUPPORTED "this kind of service or stream is not supported";
    0x204 TOO_MANY "more services were asked for than the tunnel may have";
    0x205 BAD_ADDRESS "the address is none that the server listens on";
    // Why a stream is reset.
    0x300 CANCELLED "the connection was aborted at the other end";
    0x301 DIAL_REFUSED "the upstream refused the connection";
    0x302 DIAL_TIMEOUT "the upstream did not answer in time";
    0x303 DIAL_UNREACHABLE "the upstream can't be reached";
    0x304 DIAL_NAME "the upstream's name can't be resolved";
    0x305 UNKNOWN_SERVICE "no such service is offered";
    0x306 SESSION_LOST "the session was lost";
    0x307 STREAM_LIMIT "too many streams are open";
    0x308 DRAINING "no new streams are taken any more";
    0x309 LOCAL_ERROR "the local connection failed";
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => write!(f, "{} ({name})", self.meaning()),
            None => write!(f, "{} ({:#x})", self.meaning(), self.0),
        }
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "Code({:#x})", self.0),
        }
    }
}
