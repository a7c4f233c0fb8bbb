//! How long core, link and relay take for a byte, an exchange or a visit, by criterion: the rows of the instruction counts, in time.
//!
//! ```sh
//! cargo bench -p adit-benches --bench machines             # all of them
//! cargo bench -p adit-benches --bench machines -- link     # those with this in their name
//! ```

#[path = "../workloads/mod.rs"]
mod workloads;

use std::time::Instant;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};

/// An iteration is one unit of its row.
fn machines(criterion: &mut Criterion) {
    for row in workloads::ROWS {
        let mut group = criterion.benchmark_group(format!("{}, each {}", row.name, row.unit));
        group.sample_size(20);
        for size in row.sizes {
            let mut ready = None;
            group.bench_function(BenchmarkId::from_parameter(size), |bencher| {
                let ready = ready.get_or_insert_with(|| (row.prepare)(*size));
                bencher.iter_custom(|wanted| {
                    let runs = wanted.div_ceil(ready.units as u64);
                    let start = Instant::now();
                    (0..runs).for_each(|_| (ready.run)());
                    let units = runs as f64 * ready.units as f64;
                    start.elapsed().mul_f64(wanted as f64 / units)
                });
            });
        }
        group.finish();
    }
}

criterion_group!(benches, machines);
criterion_main!(benches);
