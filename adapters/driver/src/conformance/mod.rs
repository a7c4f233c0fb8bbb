//! The suite that every runtime has to pass: the same cases, over real sockets of loopback.
//!
//! An adapter's tests are one line, `adit_driver::conformance!(ItsRuntime);`; those of a [transport] of one's own are another, [`transport_conformance!`](crate::transport_conformance). The cases run the runtime in threads of its own and look at it from
//! outside, by blocking calls, so that nothing of the runtime decides about them.

mod cutting;
mod kit;
mod machine;
mod pipe;
mod server;
mod site;
mod toy;
pub mod transport;

pub use machine::*;
pub use pipe::{Pipe, pipe};
pub use server::*;

/// A test for each case, on the runtime that is named.
#[macro_export]
macro_rules! conformance {
    ($runtime:ty) => {
        $crate::conformance! { $runtime:
            bytes_and_half_closes_pass_in_both_directions
            a_refused_connection_is_told_with_its_kind
            the_way_of_a_connection_is_told_and_that_there_is_none_for_one_that_is_gone
            names_are_resolved_and_a_token_that_cannot_be_read_is_told
            a_reset_is_told_and_an_abort_is_a_reset
            a_reset_behind_the_end_of_the_input_is_told
            a_reset_of_a_socket_that_is_not_read_is_told
            input_that_nobody_wants_keeps_the_task_asleep
            a_close_is_no_reset_though_input_was_not_read
            a_timer_fires_at_its_time_and_never_before
            a_busy_socket_does_not_make_the_task_look_at_idle_ones
            a_task_that_panics_takes_no_other_with_it
            requests_to_the_admin_address_are_answered
            a_thousand_visitors_get_their_answers
            half_close_passes_through_a_tunnel
            sessions_on_several_threads_share_a_port
            visitors_left_for_a_task_that_ended_are_served_by_another_session
            a_transfer_survives_carriers_that_are_reset
            a_server_that_drains_lets_its_visitors_finish
            a_server_that_is_stopped_at_once_leaves_no_port_open
        }
        $crate::transport_conformance!(pipes: $runtime, |_| async { $crate::conformance::pipe() });
    };
    ($runtime:ty: $($case:ident)*) => {
        $(
            #[test]
            fn $case() {
                $crate::conformance::$case::<$runtime>();
            }
        )*
    };
}
