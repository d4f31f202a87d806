//! `PARAMETER_PREFIX`, and groups made elsewhere.

use super::*;
use crate::config::{Adopt, CreatePolicy, Target};
use crate::fake::json::uuid;

fn config() -> Config {
    Config { parameter_prefix: Some("/gatehouse".parse().unwrap()), ..super::config(limits(1, 5)) }
}

fn parameters(ec2: &FakeEc2) -> Vec<String> {
    let state = ec2.state();
    state.ssm.parameters.iter().map(|(name, (kind, value))| format!("{kind} {name} = {value}")).collect()
}

#[tokio::test(start_paused = true)]
async fn the_ids_of_new_groups_are_written_and_a_quiet_notice_does_not_look() {
    let (ec2, config) = (ec2(&[A]), config());
    let region = Region::connect(&config.regions[0], &ec2.sdk());
    let published = publish(&format!("{A} {B}"));
    let run = async |run| region.reconcile(region.read(&config, run).await, &published, &config, run).await;
    let report = run(go()).await;
    assert_whole(&report);
    assert_eq!(parameters(&ec2), ["StringList /gatehouse/CLOUDFRONT/80 = sg-1,sg-new1"]);
    assert_eq!((report.parameters.len(), report.parameters[0].created), (1, true));
    let said = ec2.aws.calls().pop().unwrap();
    let expected = serde_json::json!({
        "Name": "/gatehouse/CLOUDFRONT/80", "Description": "Ids kept by Gatehouse", "Value": "sg-1,sg-new1",
        "Type": "StringList", "Overwrite": true,
    });
    assert_eq!((said.operation.as_str(), said.parameters), ("PutParameter", expected));
    ec2.aws.forget();
    assert_whole(&run(go()).await);
    assert_eq!(ec2.calls(), ["DescribeSecurityGroups"]);
    // A scheduled run repairs drift, and writes nothing that is right.
    ec2.state()
        .ssm
        .parameters
        .insert("/gatehouse/CLOUDFRONT/80".to_owned(), ("StringList".to_owned(), "sg-9".to_owned()));
    let report = run(scheduled()).await;
    assert!(!report.parameters[0].created && report.has_changes());
    assert!(run(scheduled()).await.parameters.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_parameter_that_could_not_be_written_is_tried_again_by_the_next_run() {
    for in_new_process in [false, true] {
        let (ec2, config) = (ec2(&[A]), config());
        let region = Region::connect(&config.regions[0], &ec2.sdk());
        let wanted = format!("{A} {B}");
        ec2.state().broken.insert("PutParameter", Fault::Denied);
        let held = region.read(&config, go()).await;
        let report = region.reconcile(held, &publish(&wanted), &config, go()).await;
        let expected = "Partial writing the parameter /gatehouse/CLOUDFRONT/80";
        assert!(failures(&report)[0].starts_with(expected), "{report:?}");
        assert_eq!(ec2.state().groups.len(), 2, "the groups are done");
        ec2.state().broken.clear();
        // The retry of the notice finds nothing to change in the groups.
        let region = if in_new_process { Region::connect(&config.regions[0], &ec2.sdk()) } else { region };
        let held = region.read(&config, go()).await;
        assert_whole(&region.reconcile(held, &publish(&wanted), &config, go()).await);
        assert_eq!(parameters(&ec2), ["StringList /gatehouse/CLOUDFRONT/80 = sg-1,sg-new1"]);
    }
}

#[tokio::test(start_paused = true)]
async fn near_the_deadline_no_parameter_is_begun_and_the_next_run_goes_on() {
    let config = Config { target: Target::WafIpSets, ..config() };
    let wanted = format!("{A} 2001:db8::/32");
    let run = async |region: &Region, seconds| {
        let run = Run { stop: tokio::time::Instant::now() + std::time::Duration::from_secs(seconds), ..go() };
        region.reconcile(region.read(&config, run).await, &publish(&wanted), &config, run).await
    };
    // The calls before: list, two creations. Then the parameters are read and two written, and one of these takes too long.
    for (slow, expected, written) in [
        (3, &["OutOfTime reading the parameters below /gatehouse"][..], 0),
        (
            4,
            &[
                "OutOfTime writing the parameter /gatehouse/CLOUDFRONT/ipv4",
                "OutOfTime writing the parameter /gatehouse/CLOUDFRONT/ipv6",
            ][..],
            0,
        ),
        (5, &["OutOfTime writing the parameter /gatehouse/CLOUDFRONT/ipv6"][..], 1),
    ] {
        let ec2 = FakeEc2::new();
        let region = Region::connect(&config.regions[0], &ec2.sdk());
        ec2.state().latencies = std::iter::repeat_n(0, slow).chain([5_000]).collect();
        let report = run(&region, 1).await;
        let failures = failures(&report);
        assert!(failures.iter().zip(expected).all(|(it, expected)| it.starts_with(expected)), "{failures:?}");
        assert_eq!((failures.len(), report.parameters.len()), (expected.len(), written), "{report:?}");
        assert_eq!(ec2.calls().len(), slow, "nothing is begun after the slow call, which is given up");
        assert!(report.groups.iter().all(|group| group.created), "what was done before is reported: {report:?}");
        assert_whole(&run(&region, 3_600).await);
        assert_eq!(parameters(&ec2).len(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn a_stale_parameter_is_named_and_one_of_another_type_left_alone() {
    let ec2 = ec2(&[A]);
    for n in 0..12 {
        let stale = (format!("/gatehouse/S3/{n}"), ("StringList".to_owned(), "sg-9".to_owned()));
        ec2.state().ssm.parameters.extend([stale]);
    }
    ec2.state().ssm.parameters.insert("/gatehouse/CLOUDFRONT/80".to_owned(), ("String".to_owned(), "mine".to_owned()));
    let report = run_with(&ec2, A, &config(), scheduled()).await;
    assert_eq!(
        failures(&report),
        [
            "Partial writing the parameter /gatehouse/CLOUDFRONT/80: it is String, expected StringList: delete it, or choose \
             another PARAMETER_PREFIX; it was left as it is"
        ]
    );
    assert_eq!(report.notes.iter().filter(|note| note.contains("/gatehouse/S3/")).count(), 12, "{:?}", report.notes);
    assert_eq!(ec2.state().ssm.parameters.len(), 13, "nothing is deleted");
}

#[tokio::test(start_paused = true)]
async fn several_vpcs_have_their_ids_in_the_names_and_sets_their_arns_in_the_values() {
    let ec2 = ec2(&[A]);
    let mut two = config();
    two.regions[0].vpc_ids.push("vpc-2".to_owned());
    assert_whole(&run_with(&ec2, A, &two, go()).await);
    let expected =
        ["StringList /gatehouse/vpc-1/CLOUDFRONT/80 = sg-1", "StringList /gatehouse/vpc-2/CLOUDFRONT/80 = sg-new1"];
    assert_eq!(parameters(&ec2), expected);
    let ec2 = FakeEc2::new();
    let sets = Config { target: Target::WafIpSets, ..config() };
    assert_whole(&run_with(&ec2, A, &sets, go()).await);
    let arn = format!("arn:AUTOUPDATE_CLOUDFRONT_ipv4/{}", uuid(1));
    assert_eq!(parameters(&ec2), [format!("StringList /gatehouse/CLOUDFRONT/ipv4 = {arn}")]);
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_names_the_parameter_and_writes_nothing() {
    let ec2 = ec2(&[A]);
    let report = run_with(&ec2, &format!("{A} {B}"), &config(), Run { dry_run: true, ..go() }).await;
    assert_eq!(report.parameters[0].value, "sg-1,(new)");
    assert_eq!(parameters(&ec2), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn groups_made_elsewhere_are_kept_once_adopt_names_them() {
    let made = FakeGroup { name: "web-cloudfront".to_owned(), ..group(1, "") };
    let ec2 = ec2(&[]);
    ec2.state().groups.insert("sg-code".to_owned(), made);
    let adopt = Adopt::Named(["sg-code".to_owned()].into());
    let never = Config { create: CreatePolicy::Never, adopt, ..super::config(limits(1, 5)) };
    assert_whole(&run_with(&ec2, A, &never, go()).await);
    assert_eq!(ec2.state().groups["sg-code"].rules, [(80, A.parse().unwrap())].into());
    let report = run_with(&ec2, &format!("{A} {B} {C}"), &never, go()).await;
    assert_eq!(
        failures(&report),
        [
            "NoCapacity CLOUDFRONT port 80 in vpc-1: 2 ranges have no room: CREATE=never, so no group is created. Create 2 security \
             group(s) in vpc-1 with the tags gatehouse:prefix-name=AUTOUPDATE, gatehouse:service=CLOUDFRONT and gatehouse:port=80, \
             and add the ids to ADOPT"
        ]
    );
    assert_eq!(ec2.state().groups.len(), 1);
    let lists = Config { target: Target::PrefixLists, ..never };
    let report = run_with(&ec2, A, &lists, go()).await;
    assert!(failures(&report)[0].contains("Create 1 list(s) of ipv4 with the tags"), "{report:?}");
    assert!(ec2.state().lists.is_empty());
}
