//! What must never be printed is never printed, however much is logged.

use crate::kit::{Site, TOKEN, Upstream, ask, service_of};
use crate::man_in_the_middle::forms;

/// Another token, which the server does not know.
const WRONG: &str = "another-token-that-is-wrong-0123456789";

/// A header that an ingress might want; it is sent to servers with a checked certificate only.
const HEADER: &str = "hush-this-header";

#[test]
fn no_form_of_a_token_and_no_header_is_in_any_log_at_trace_level() {
    let site = Site::new();
    site.file("wrong", WRONG);
    let upstream = Upstream::echo("reply");
    let (offer, header) = (upstream.anywhere(), format!("X-Key: {HEADER}"));
    for format in ["text", "json"] {
        let level = ["--log-level", "trace", "--log-format", format];
        let server = site.server(&level);
        let trust = ["--ca-file", "state/self-signed.pem", "--header", &header];
        let args = [&["--upstream", &offer], &trust[..], &level[..]].concat();
        let right = site.client(&server, &args);
        let line = right.logged("of the server leads to");
        let wrong = site.client(&server, &[&args[..], &["--token-file", "wrong"]].concat());
        wrong.logged("token is wrong");
        if format == "text" {
            ask(service_of(&right, upstream.addr()), b"hello").unwrap();
        } else {
            assert!(line.starts_with('{'), "{line}");
        }
        for (who, log) in [
            ("server", server.log()),
            ("right", right.log()),
            ("wrong", wrong.log()),
        ] {
            for (name, form) in forms(TOKEN).into_iter().chain(forms(WRONG)) {
                let Ok(form) = String::from_utf8(form) else {
                    continue;
                };
                assert!(
                    !log.contains(&form),
                    "{name} of a token is in the log of {who}"
                );
            }
            assert!(!log.contains(HEADER), "a header is in the log of {who}");
        }
    }
}
