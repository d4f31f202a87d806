//! Runs at once, call by call: in which order their calls reach EC2.

use super::*;

/// A run as the `who`-th of those that are under way.
async fn run_as(ec2: &FakeEc2, who: usize, sync_token: u64, wanted: &str) -> RegionReport {
    let config = config(limits(60, 5));
    let ec2 = ec2.as_run(who);
    let region = Region::connect(&config.regions[0], &ec2.sdk());
    let held = region.read(&config, go()).await;
    let report = region.reconcile(held, &publish_as(sync_token, wanted), &config, go()).await;
    // It takes no turn any more.
    ec2.state().turns.retain(|next| *next != who);
    report
}

fn all(ec2: &FakeEc2) -> BTreeSet<IpNet> {
    ec2.state().groups.values().flat_map(|group| &group.rules).map(|(_, range)| *range).collect()
}

/// Watches every address that each of the documents lets in, and that is let in now.
fn watch(ec2: &FakeEc2, documents: &[&str]) {
    let mut state = ec2.state();
    let documents: Vec<BTreeSet<IpNet>> = documents.iter().map(|text| ranges(text)).collect();
    let by_all = |address| documents.iter().all(|ranges| ranges.iter().any(|range| range.contains(&address)));
    let addresses = (0..1024u32).map(|bits| std::net::IpAddr::from(std::net::Ipv4Addr::from(0x0a00_0000 + bits)));
    let watched = addresses.filter(|address| state.lets_in("eni-1", *address) && by_all(*address));
    let watched: BTreeSet<_> = watched.map(|address| ("eni-1".to_owned(), address)).collect();
    assert!(!watched.is_empty());
    state.watched = watched;
}

/// Each document keeps one of two ranges that hold one another, and removes the other.
const PRESENT: &str = "10.0.0.0/24 10.0.0.0/25 10.0.2.0/24";
const OLDER: &str = "10.0.0.0/24 10.0.3.0/24";
const NEWER: &str = "10.0.0.0/25 10.0.4.0/24";

/// The runs take turns in blocks of these lengths, beginning with `first`; then what is left of either.
fn turns(first: usize, blocks: &[usize]) -> VecDeque<usize> {
    let last = [first, 1 - first].map(|who| (who, 100));
    let blocks = blocks.iter().enumerate().map(|(index, length)| ((first + index) % 2, *length));
    blocks.chain(last).flat_map(|(who, length)| std::iter::repeat_n(who, length)).collect()
}

/// Every order in which the calls of two runs can meet, with up to three changes between them: no address that both documents let
/// in is cut off; the end is the newer document, or a run fails; and one run more puts it right.
#[tokio::test(start_paused = true)]
async fn in_every_order_of_their_calls_two_runs_do_no_lasting_harm() {
    const CALLS: usize = 9;
    let mut orders: Vec<Vec<usize>> = vec![Vec::new()];
    for one in 1..CALLS {
        orders.push(vec![one]);
        for two in 1..CALLS {
            orders.push(vec![one, two]);
        }
    }
    for (older_token, older) in [(6, OLDER), (7, NEWER)] {
        for first in [0, 1] {
            for blocks in &orders {
                let name = format!("{older_token}, {first} first: {blocks:?}");
                let ec2 = ec2(&[PRESENT]);
                watch(&ec2, &[older, NEWER]);
                ec2.state().turns = turns(first, blocks);
                let runs = futures::future::join(run_as(&ec2, 0, older_token, older), run_as(&ec2, 1, 7, NEWER));
                let (older, newer) = runs.await;
                assert!(ec2.state().cut_off.is_empty(), "{name}: {:?}", ec2.state().cut_off);
                let is_reported = !older.failures.is_empty() || !newer.failures.is_empty();
                assert!(all(&ec2) == ranges(NEWER) || is_reported, "{name}: {older:?} {newer:?}");
                ec2.state().turns.clear();
                assert_whole(&run_as(&ec2, 2, 7, NEWER).await);
                assert_eq!(all(&ec2), ranges(NEWER), "{name}");
                // No tag of a run stays.
                let tags = ec2.state().groups["sg-1"].tags.clone();
                let mut tokens = tags.keys().filter_map(|key| key.strip_prefix(SYNC_TOKEN_TAG));
                assert!(tokens.all(|token| token.parse::<u64>().is_ok()), "{name}: {tags:?}");
            }
        }
    }
}

/// Of two runs with one document the first to end takes only its own tag off. A third one with a newer document, which begins
/// while the second is about to remove, sees that one and removes nothing.
#[tokio::test(start_paused = true)]
async fn a_run_that_ends_does_not_hide_another_with_its_document() {
    // Describe, tag, add, look for interfaces, look for other runs; then remove, look again, untag.
    const UNTIL_REMOVAL: usize = 5;
    let ec2 = ec2(&[PRESENT]);
    watch(&ec2, &[OLDER, NEWER]);
    let blocks = [(0, UNTIL_REMOVAL), (1, 100), (2, UNTIL_REMOVAL), (0, 1), (2, 100), (0, 100)];
    // The first run reads and tags before the second one changes anything.
    ec2.state().turns = blocks.into_iter().flat_map(|(who, length)| std::iter::repeat_n(who, length)).collect();
    let (first, second, third) =
        futures::join!(run_as(&ec2, 0, 6, OLDER), run_as(&ec2, 1, 6, OLDER), run_as(&ec2, 2, 7, NEWER));
    assert!(ec2.state().cut_off.is_empty(), "{:?}: {first:?} {second:?} {third:?}", ec2.state().cut_off);
    assert!(second.failures.is_empty(), "{second:?}");
    let expected = "Partial removing ranges: a run with the document 6 may be removing some at this time";
    assert!(failures(&third)[0].starts_with(expected), "{third:?}");
    ec2.state().turns.clear();
    assert_whole(&run_as(&ec2, 3, 7, NEWER).await);
    assert_eq!(all(&ec2), ranges(NEWER));
}

/// A run that died leaves its tag: it counts until its time is over, and the next run takes it off.
#[tokio::test(start_paused = true)]
async fn the_tag_of_a_run_that_died_is_taken_off_once_its_time_is_over() {
    let ec2 = ec2(&[PRESENT]);
    let now = gatehouse_shared::clock::now().unix_timestamp();
    let mark = |until: i64| {
        let tag = (format!("{SYNC_TOKEN_TAG}6/99"), format!("until {until}"));
        ec2.state().groups.get_mut("sg-1").unwrap().tags.extend([tag]);
    };
    mark(now + 60);
    assert_eq!(run_as(&ec2, 0, 7, NEWER).await.failures.len(), 1);
    assert!(ec2.state().groups["sg-1"].tags.contains_key("gatehouse:sync-token/6/99"));
    mark(now - 1);
    assert_whole(&run_as(&ec2, 0, 7, NEWER).await);
    assert!(!ec2.state().groups["sg-1"].tags.contains_key("gatehouse:sync-token/6/99"));
}
