//! MD5, parse, filter, aggregate and plan of a whole document, one by one and together.
//!
//! `IP_RANGES_DOCUMENT` names the file; `make bench` generates one of real shape and size.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use gatehouse_shared::env::Env;
use ip_ranges_planner::document::{self, Selection};
use ip_ranges_planner::family::Family;
use ip_ranges_planner::plan::{self, Bounds, Pool, Quotas, ResourceState};
use md5::{Digest, Md5};

fn whole_document(criterion: &mut Criterion) {
    let path = Env::of_process().text("IP_RANGES_DOCUMENT").expect("IP_RANGES_DOCUMENT names the document");
    let bytes = std::fs::read(&path).unwrap_or_else(|error| panic!("reading {path}: {error}"));
    println!("{path}: {} bytes", bytes.len());
    let services = ["CLOUDFRONT".parse().expect("a service")];
    let selection = Selection { services: &services, families: &Family::BOTH, range_regions: &[], aggregate: true };
    let quotas = Quotas { ranges_per_resource: 60, max_resources: 5 };
    let bounds = Bounds { quotas, may_create: true, max_shrink_percent: 50, families: &Family::BOTH, force: false };
    let wanted = document::read(&bytes, selection).expect("the document is whole").services.remove(0).1;
    // Groups as a run finds them when the document has changed a little.
    let held: Vec<_> = wanted.iter().skip(5).copied().collect();
    let groups = held.chunks(60);
    let groups =
        groups.map(|ranges| ResourceState { ranges: ranges.iter().copied().collect(), ..ResourceState::default() });
    let pool = Pool { resources: groups.collect() };

    let mut group = criterion.benchmark_group("document");
    group.sample_size(50);
    group.bench_function("MD5", |bencher| bencher.iter(|| Md5::digest(black_box(&bytes))));
    group.bench_function("parse, filter, aggregate", |bencher| {
        bencher.iter(|| document::read(black_box(&bytes), selection))
    });
    group.bench_function("plan", |bencher| bencher.iter(|| plan::plan(black_box(&pool), &wanted, bounds)));
    group.bench_function("all of it", |bencher| {
        bencher.iter(|| {
            let md5 = Md5::digest(black_box(&bytes));
            let published = document::read(&bytes, selection).expect("the document is whole");
            let plan = plan::plan(&pool, &published.services[0].1, bounds);
            (md5, plan)
        });
    });
    group.finish();
}

criterion_group!(benches, whole_document);
criterion_main!(benches);
