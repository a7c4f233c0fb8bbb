//! What core, link and relay are measured at: each row is one workload at growing sizes.

mod core;
mod link;
mod relay;

/// Something that is ready to be measured.
pub(crate) struct Ready {
    /// Does it.
    pub(crate) run: Box<dyn FnMut()>,
    /// How many of the row's units that is.
    pub(crate) units: usize,
}

/// A row: one workload at growing sizes.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    /// What a unit is.
    pub(crate) unit: &'static str,
    pub(crate) sizes: &'static [usize],
    pub(crate) prepare: fn(usize) -> Ready,
}

const STREAMS: &[usize] = &[1, 100, 10_000];
const SESSIONS: &[usize] = &[1, 100, 1_000];
const CARRIERS: &[usize] = &[1, 1_000];

/// All of them.
pub(crate) const ROWS: &[Row] = &[
    row(
        "core: bulk on one of n streams",
        "byte",
        STREAMS,
        core::bulk_on_one,
    ),
    row(
        "core: bulk on n streams at once",
        "byte",
        STREAMS,
        core::bulk_on_all,
    ),
    row(
        "core: a visit beside n streams",
        "visit",
        STREAMS,
        core::visit,
    ),
    row(
        "core: bulk in each of n sessions",
        "byte",
        SESSIONS,
        core::bulk_in_sessions,
    ),
    row(
        "core: a visit in each of n sessions",
        "visit",
        SESSIONS,
        core::visit_in_sessions,
    ),
    row(
        "link: bulk from n servers",
        "byte",
        CARRIERS,
        link::bulk_from_servers,
    ),
    row(
        "link: bulk from n clients",
        "byte",
        CARRIERS,
        link::bulk_from_clients,
    ),
    row(
        "link: an exchange on each of n carriers",
        "exchange",
        CARRIERS,
        link::exchange,
    ),
    row(
        "relay: bulk on one of n streams",
        "byte",
        STREAMS,
        relay::bulk_on_one,
    ),
    row(
        "relay: an exchange beside n streams",
        "exchange",
        STREAMS,
        relay::exchange,
    ),
    row(
        "relay: a visit beside n streams",
        "visit",
        STREAMS,
        relay::visit,
    ),
];

const fn row(
    name: &'static str,
    unit: &'static str,
    sizes: &'static [usize],
    prepare: fn(usize) -> Ready,
) -> Row {
    Row {
        name,
        unit,
        sizes,
        prepare,
    }
}
