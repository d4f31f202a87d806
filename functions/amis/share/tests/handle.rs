//! Whole invocations against an EC2 with images in two Regions, a KMS with two keys and a Parameter Store.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop right there")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ami_share::Share;
use ami_share::config::Config;
use ami_share::error::Error;
use ami_share::report::{LatestOutcome, ShareOutcome, ShareReport};
use gatehouse_shared::env::Env;
use gatehouse_shared::failure::ErrorType as _;
use gatehouse_testkit::{Aws, Call, Reply, chat_message, context};
use lambda_runtime::LambdaEvent;
use serde_json::{Value, json};

const ACCOUNT: &str = "111122223333";
const TARGET: &str = "444455556666";
const ORGANIZATION: &str = "arn:aws:organizations::111122223333:organization/o-abcdefghij";
const UNIT: &str = "arn:aws:organizations::111122223333:ou/o-abcdefghij/ou-ab12-11111111";
const TARGETS_TOPIC: &str = "arn:aws:sns:eu-west-1:111122223333:targets";
const APPROVERS_TOPIC: &str = "arn:aws:sns:eu-west-1:111122223333:Automation-approvers";
const CHAT: &str = "arn:aws:sns:us-east-1:444455556666:chat";
const ONE: &str = "eu-west-1:ami-11111111";
const TWO: &str = "us-east-1:ami-22222222";
const BUILD: &str = "arn:aws:imagebuilder:eu-west-1:111122223333:image/web/1.0.0/3";
const EXECUTION: &str = "333ba70b-2333-48db-b17e-a5e69c6f4d1c";
const SETTINGS: [(&str, &str); 4] = [
    ("TARGET_ACCOUNT_IDS", TARGET),
    ("TARGET_TOPIC_ARN", TARGETS_TOPIC),
    ("APPROVER_TOPIC_ARN", APPROVERS_TOPIC),
    ("REQUIRE_APPROVAL", "false"),
];
/// With them, the execution is asked.
const APPROVED: [(&str, &str); 5] =
    [SETTINGS[0], SETTINGS[1], SETTINGS[2], ("AUTOMATION_DOCUMENT", "approval"), ("APPROVED_WATERMARK", "approved")];
const ALL_SETTINGS: [(&str, &str); 10] = [
    SETTINGS[0],
    SETTINGS[1],
    SETTINGS[2],
    SETTINGS[3],
    ("TARGET_ORGANIZATION_ARNS", ORGANIZATION),
    ("TARGET_OU_ARNS", UNIT),
    ("SHARE_SNAPSHOTS", "true"),
    ("APPROVED_WATERMARK", "approved"),
    ("LATEST_PARAMETER", "/golden-ami/{name}/latest"),
    ("DEPRECATE_PREVIOUS_AFTER_DAYS", "30"),
];

#[derive(Clone)]
struct FakeImage {
    state: &'static str,
    owner: &'static str,
    created: &'static str,
    deprecated_at: Option<String>,
    tags: Vec<(&'static str, &'static str)>,
    key: Option<&'static str>,
    /// Whether DescribeImages says if it is encrypted.
    tells: bool,
    /// Key and source image.
    watermarks: BTreeMap<String, String>,
    /// `userId`, `organizationArn` or `organizationalUnitArn`, and its value.
    permissions: BTreeSet<(String, String)>,
    snapshot_accounts: BTreeSet<String>,
}

fn image() -> FakeImage {
    FakeImage {
        state: "available",
        owner: ACCOUNT,
        created: "2026-11-25T10:00:00.000Z",
        deprecated_at: None,
        tags: vec![("Ec2ImageBuilderArn", BUILD)],
        key: None,
        tells: true,
        watermarks: BTreeMap::new(),
        permissions: BTreeSet::new(),
        snapshot_accounts: BTreeSet::new(),
    }
}

#[derive(Default)]
struct World {
    images: BTreeMap<String, FakeImage>,
    /// Name in its Region, and all versions.
    parameters: BTreeMap<String, Vec<String>>,
    data_type: &'static str,
    /// What chat got.
    shown: Vec<Value>,
    chat_refuses: bool,
    mails: Vec<(String, String, String)>,
    /// The operation, the Region or nothing for each, how often it fails, and with what.
    faults: Vec<(&'static str, &'static str, usize, Reply)>,
    /// Permissions are taken and never shown.
    forgetful: bool,
    /// Receivers that EC2 does not know.
    unknown_receivers: BTreeSet<String>,
    /// The answer of GetAutomationExecution, for the id of the execution.
    execution: Option<Value>,
}

type Shared = Arc<Mutex<World>>;

fn world() -> (Shared, Aws) {
    let images = BTreeMap::from([(ONE.to_owned(), image()), (TWO.to_owned(), image())]);
    let world = Arc::new(Mutex::new(World { images, data_type: "aws:ec2:image", ..World::default() }));
    let state = world.clone();
    (world, Aws::new(move |call| state.lock().unwrap().answer(call)))
}

impl World {
    fn answer(&mut self, call: &Call) -> Reply {
        let fault = self.faults.iter_mut().find(|(operation, region, left, _)| {
            *operation == call.operation && (region.is_empty() || *region == call.region) && *left > 0
        });
        if let Some(fault) = fault {
            fault.2 -= 1;
            let reply = fault.3.clone();
            if matches!(reply, Reply::Lost) {
                self.effect(call);
            }
            return reply;
        }
        self.effect(call)
    }

    fn image(&mut self, call: &Call, id: &str) -> Option<&mut FakeImage> {
        self.images.get_mut(&format!("{}:{id}", call.region))
    }

    /// The image of a snapshot: `snap-11111111` is that of `ami-11111111`.
    fn of_snapshot(&mut self, call: &Call, id: &str) -> &mut FakeImage {
        self.image(call, &id.replace("snap", "ami")).unwrap()
    }

    fn effect(&mut self, call: &Call) -> Reply {
        let empty = || Reply::Xml("<return>true</return>".to_owned());
        match call.operation.as_str() {
            "DescribeImages" => {
                let id = call.text("ImageId.1").to_owned();
                let Some(image) = self.image(call, &id) else { return Reply::Error("InvalidAMIID.NotFound") };
                Reply::Xml(described(&id, image))
            }
            "DescribeImageAttribute" => {
                assert_eq!(call.text("Attribute"), "launchPermission");
                let image = self.image(call, call.text("ImageId")).unwrap();
                let mut items = String::new();
                for (kind, value) in &image.permissions {
                    write!(items, "<item><{kind}>{value}</{kind}></item>").unwrap();
                }
                Reply::Xml(format!("<launchPermission>{items}</launchPermission>"))
            }
            "GetAutomationExecution" => match &self.execution {
                Some(execution) if execution["AutomationExecutionId"] == call.parameters["AutomationExecutionId"] => {
                    Reply::Json(json!({ "AutomationExecution": execution }))
                }
                _ => Reply::Error("AutomationExecutionNotFoundException"),
            },
            "ModifyImageAttribute" | "ModifySnapshotAttribute" if self.refuses(call) => {
                Reply::Error("InvalidAMIAttributeItemValue")
            }
            "ModifyImageAttribute" => {
                let forgetful = self.forgetful;
                let image = self.image(call, call.text("ImageId")).unwrap();
                for (key, value) in call.parameters.as_object().unwrap() {
                    let Some(rest) = key.strip_prefix("LaunchPermission.Add.") else { continue };
                    let kind = match rest.split_once('.').unwrap().1 {
                        "UserId" => "userId",
                        "OrganizationArn" => "organizationArn",
                        "OrganizationalUnitArn" => "organizationalUnitArn",
                        other => panic!("{other}"),
                    };
                    if !forgetful {
                        image.permissions.insert((kind.to_owned(), value.as_str().unwrap().to_owned()));
                    }
                }
                empty()
            }
            "DescribeSnapshots" => {
                let id = call.text("SnapshotId.1").to_owned();
                let key = self.of_snapshot(call, &id).key.unwrap();
                Reply::Xml(format!(
                    "<snapshotSet><item><snapshotId>{id}</snapshotId><encrypted>true</encrypted><kmsKeyId>{key}</kmsKeyId>\
                     </item></snapshotSet>"
                ))
            }
            "DescribeKey" => {
                let arn = call.text("KeyId");
                let manager = if arn.ends_with("aws-managed") { "AWS" } else { "CUSTOMER" };
                Reply::Json(
                    json!({ "KeyMetadata": { "KeyId": "k", "Arn": arn, "KeyManager": manager, "Enabled": true } }),
                )
            }
            "DescribeSnapshotAttribute" => {
                let mut items = String::new();
                for id in &self.of_snapshot(call, call.text("SnapshotId")).snapshot_accounts {
                    write!(items, "<item><userId>{id}</userId></item>").unwrap();
                }
                Reply::Xml(format!("<createVolumePermission>{items}</createVolumePermission>"))
            }
            "ModifySnapshotAttribute" => {
                for (key, value) in call.parameters.as_object().unwrap() {
                    if key.starts_with("CreateVolumePermission.Add.") {
                        let account = value.as_str().unwrap().to_owned();
                        self.of_snapshot(call, call.text("SnapshotId")).snapshot_accounts.insert(account);
                    }
                }
                empty()
            }
            "AttachImageWatermark" => {
                let key = format!("{ACCOUNT}:{}", call.text("WatermarkName"));
                let id = call.text("ImageId").to_owned();
                let image = self.image(call, &id).unwrap();
                if image.watermarks.contains_key(&key) {
                    return Reply::Error("InvalidParameterValue");
                }
                image.watermarks.insert(key.clone(), id);
                Reply::Xml(format!("<watermarkKey>{key}</watermarkKey>"))
            }
            "DetachImageWatermark" => {
                let key = call.text("WatermarkKey").to_owned();
                self.image(call, call.text("ImageId")).unwrap().watermarks.remove(&key);
                empty()
            }
            "EnableImageDeprecation" => {
                let at = call.text("DeprecateAt").to_owned();
                self.image(call, call.text("ImageId")).unwrap().deprecated_at = Some(at);
                empty()
            }
            "GetParameter" => self.parameter(call),
            "PutParameter" => {
                assert_eq!(call.text("DataType"), "aws:ec2:image");
                let key = format!("{}:{}", call.region, call.text("Name"));
                let versions = self.parameters.entry(key).or_default();
                versions.push(call.text("Value").to_owned());
                Reply::Json(json!({ "Version": versions.len() }))
            }
            "Publish" if call.text("TopicArn") == CHAT => {
                self.shown.push(chat_message(call.text("Message")).unwrap());
                if self.chat_refuses {
                    return Reply::Error("AuthorizationError");
                }
                Reply::Xml("<MessageId>m-1</MessageId>".to_owned())
            }
            "Publish" => {
                let text = |name| call.text(name).to_owned();
                self.mails.push((text("TopicArn"), text("Subject"), text("Message")));
                Reply::Xml("<MessageId>m-1</MessageId>".to_owned())
            }
            other => panic!("{other} is not expected"),
        }
    }

    fn refuses(&self, call: &Call) -> bool {
        let values = call.parameters.as_object().unwrap().values().filter_map(Value::as_str);
        values.into_iter().any(|value| self.unknown_receivers.contains(value))
    }

    fn parameter(&self, call: &Call) -> Reply {
        let name = call.text("Name");
        let (name, version) = name.split_once(':').map_or((name, None), |(name, version)| (name, version.parse().ok()));
        let Some(versions) = self.parameters.get(&format!("{}:{name}", call.region)) else {
            return Reply::Error("ParameterNotFound");
        };
        let version: usize = version.unwrap_or(versions.len());
        Reply::Json(json!({ "Parameter": {
            "Name": name, "Value": versions[version - 1], "Version": version, "DataType": self.data_type,
        }}))
    }
}

fn described(id: &str, image: &FakeImage) -> String {
    let mut text = format!(
        "<imageId>{id}</imageId><name>Web {id}</name><imageState>{}</imageState><imageOwnerId>{}</imageOwnerId>\
         <isPublic>false</isPublic><creationDate>{}</creationDate>",
        image.state, image.owner, image.created
    );
    if let Some(at) = &image.deprecated_at {
        write!(text, "<deprecationTime>{at}</deprecationTime>").unwrap();
    }
    text.push_str("<tagSet>");
    for (key, value) in &image.tags {
        write!(text, "<item><key>{key}</key><value>{value}</value></item>").unwrap();
    }
    write!(
        text,
        "</tagSet><blockDeviceMapping><item><deviceName>/dev/xvda</deviceName><ebs><snapshotId>{}</snapshotId>{}</ebs>\
         </item></blockDeviceMapping><imageWatermarkSet>",
        id.replace("ami", "snap"),
        if image.tells { format!("<encrypted>{}</encrypted>", image.key.is_some()) } else { String::new() }
    )
    .unwrap();
    for (key, source) in &image.watermarks {
        write!(text, "<item><watermarkKey>{key}</watermarkKey><sourceImageId>{source}</sourceImageId></item>").unwrap();
    }
    format!("<imagesSet><item>{text}</imageWatermarkSet></item></imagesSet>")
}

fn function(aws: &Aws, settings: &[(&str, &str)]) -> Share {
    let env = Env::of_table(settings);
    Share::new(env.read(Config::from_env).unwrap(), aws.sdk())
}

async fn invoke_with(function: &Share, event: Value, time: Duration) -> Result<ShareReport, Error> {
    function.handle(LambdaEvent::new(event, context(time))).await
}

async fn invoke(function: &Share, event: Value) -> Result<ShareReport, Error> {
    invoke_with(function, event, Duration::from_secs(240)).await
}

fn both() -> Value {
    json!({ "images": [ONE, TWO], "imageName": "Web", "buildArn": BUILD, "executionId": "4105a4fc-f944-11e6-9d32-0a1b2c3d4951" })
}

fn outcomes(report: &ShareReport) -> Vec<ShareOutcome> {
    report.images.iter().map(|image| image.outcome).collect()
}

const WRITES: [&str; 7] = [
    "DetachImageWatermark",
    "ModifyImageAttribute",
    "ModifySnapshotAttribute",
    "AttachImageWatermark",
    "EnableImageDeprecation",
    "PutParameter",
    "Publish",
];

fn writes(aws: &Aws) -> Vec<String> {
    aws.operations().into_iter().filter(|operation| WRITES.contains(&operation.as_str())).collect()
}

#[tokio::test]
async fn images_are_shared_in_every_region_and_the_targets_hear_of_it() {
    let (world, aws) = world();
    let report = invoke(&function(&aws, &SETTINGS), both()).await.unwrap();
    assert_eq!(outcomes(&report), [ShareOutcome::Shared, ShareOutcome::Shared]);
    let world = world.lock().unwrap();
    for image in world.images.values() {
        assert_eq!(image.permissions, BTreeSet::from([("userId".to_owned(), TARGET.to_owned())]));
        assert_eq!((image.watermarks.len(), image.snapshot_accounts.len()), (0, 0));
    }
    assert_eq!(world.mails.len(), 1);
    assert_eq!(world.mails[0].0, TARGETS_TOPIC);
    assert!(
        world.mails[0].2.contains("eu-west-1  ami-11111111") && world.mails[0].2.contains("us-east-1  ami-22222222")
    );
}

fn execution(status: &str, approval: &str) -> Value {
    json!({
        "AutomationExecutionId": EXECUTION,
        "DocumentName": "approval",
        "AutomationExecutionStatus": status,
        "Parameters": {
            "images": [ONE, TWO],
            "imageName": ["Web"],
            "buildArn": [BUILD],
            "receivers": [TARGET],
            "effects": ["snapshots=false", "watermark=approved"],
        },
        "StepExecutions": [
            { "StepName": "Approve", "Action": "aws:approve", "StepStatus": approval },
            { "StepName": "Share", "Action": "aws:invokeLambdaFunction", "StepStatus": "InProgress" },
        ],
    })
}

fn by_execution() -> Value {
    json!({ "images": [ONE, TWO], "imageName": "Web", "buildArn": BUILD, "executionId": EXECUTION })
}

#[tokio::test]
async fn what_the_execution_approves_is_shared_whoever_calls() {
    for event in [by_execution(), json!({ "executionId": EXECUTION })] {
        for status in ["InProgress", "Failed", "Success"] {
            let (world, aws) = world();
            world.lock().unwrap().execution = Some(execution(status, "Success"));
            let report = invoke(&function(&aws, &APPROVED), event.clone()).await.unwrap();
            assert_eq!(outcomes(&report), [ShareOutcome::Shared, ShareOutcome::Shared], "{status}");
            assert!(report.approved && world.lock().unwrap().mails[0].2.contains("was approved"));
        }
    }
    // The short form, and one of the images.
    let (world, aws) = world();
    world.lock().unwrap().execution = Some(execution("Failed", "Success"));
    let event = json!({ "ami_id": "ami-11111111", "executionId": EXECUTION });
    assert_eq!(outcomes(&invoke(&function(&aws, &APPROVED), event).await.unwrap()), [ShareOutcome::Shared]);
}

#[tokio::test]
async fn without_an_approval_nothing_is_changed_and_the_approvers_hear_of_it() {
    let with = |pointer: &str, value: Value| {
        let mut execution = execution("InProgress", "Success");
        *execution.pointer_mut(pointer).unwrap() = value;
        Some(execution)
    };
    let other_build = "arn:aws:imagebuilder:eu-west-1:111122223333:image/other/9.9.9/1";
    let cases = [
        ("no execution", None, by_execution(), "there is no such execution"),
        ("none named", with("/DocumentName", "approval".into()), json!({ "images": [ONE] }), "names no execution"),
        ("waits", Some(execution("Waiting", "Waiting")), by_execution(), "is Waiting"),
        ("rejected", Some(execution("Rejected", "Rejected")), by_execution(), "is Rejected"),
        ("timed out", Some(execution("TimedOut", "TimedOut")), by_execution(), "is TimedOut"),
        ("cancelled", Some(execution("Cancelled", "Success")), by_execution(), "the status Cancelled"),
        ("another document", with("/DocumentName", "other".into()), by_execution(), "the document \"other\""),
        ("no step", with("/StepExecutions", json!([])), by_execution(), "no step with the action aws:approve"),
        ("other images", with("/Parameters/images", json!([ONE])), by_execution(), "not about the image us-east-1"),
        (
            "another build",
            with("/Parameters/buildArn", json!([other_build])),
            by_execution(),
            "not about arn:aws:image",
        ),
        ("receivers", with("/Parameters/receivers", json!(["777788889999"])), by_execution(), "have changed since"),
        ("effects", with("/Parameters/effects", json!(["snapshots=true"])), by_execution(), "SHARE_SNAPSHOTS"),
        ("no effects", with("/Parameters/effects", json!([])), by_execution(), "does not record what is done besides"),
        (
            "a build that the images are not of",
            with("/Parameters/buildArn", json!([other_build])),
            json!({ "executionId": EXECUTION }),
            "the tag Ec2ImageBuilderArn of eu-west-1:ami-11111111",
        ),
    ];
    for (case, execution, event, reason) in cases {
        let (world, aws) = world();
        world.lock().unwrap().execution = execution;
        let error = invoke(&function(&aws, &APPROVED), event).await.unwrap_err();
        assert_eq!(error.error_type(), "NotApproved", "{case}");
        assert!(error.to_string().contains(reason), "{case}: {error}");
        assert_eq!(writes(&aws), ["Publish"], "{case}");
        let (topic, _, text) = world.lock().unwrap().mails.remove(0);
        assert!(topic == APPROVERS_TOPIC && text.contains(reason), "{case}: {text}");
    }
}

#[tokio::test]
async fn where_systems_manager_does_not_answer_nothing_is_shared() {
    for (reply, error_type) in [
        (Reply::Unavailable, "Automation"),
        (Reply::Error("ThrottlingException"), "Automation"),
        (Reply::Error("AccessDeniedException"), "NotApproved"),
    ] {
        let (world, aws) = world();
        world.lock().unwrap().execution = Some(execution("InProgress", "Success"));
        world.lock().unwrap().faults = vec![("GetAutomationExecution", "", 9, reply)];
        let error = invoke(&function(&aws, &APPROVED), by_execution()).await.unwrap_err();
        assert_eq!(error.error_type(), error_type);
        assert!(writes(&aws).iter().all(|operation| operation == "Publish"));
    }
}

#[tokio::test]
async fn an_image_without_the_tag_of_its_build_stops_all_of_them() {
    for tags in [vec![], vec![("Ec2ImageBuilderArn", "yes")], vec![("CreatedBy", "EC2 Image Builder")]] {
        let (world, aws) = world();
        world.lock().unwrap().execution = Some(execution("InProgress", "Success"));
        world.lock().unwrap().images.insert(TWO.to_owned(), FakeImage { tags, ..image() });
        let error = invoke(&function(&aws, &APPROVED), by_execution()).await.unwrap_err();
        assert_eq!(error.error_type(), "NotApproved");
        assert_eq!(writes(&aws), ["Publish"]);
    }
}

#[tokio::test]
async fn an_inherited_watermark_is_replaced_by_one_of_the_image_itself() {
    let (world, aws) = world();
    let key = format!("{ACCOUNT}:approved");
    let inherited = BTreeMap::from([(key.clone(), "ami-00000000".to_owned())]);
    world.lock().unwrap().images.insert(ONE.to_owned(), FakeImage { watermarks: inherited, ..image() });
    let event = json!({ "images": [ONE], "buildArn": BUILD });
    let report = invoke(&function(&aws, &ALL_SETTINGS), event.clone()).await.unwrap();
    assert_eq!(report.images[0].watermark.as_deref(), Some("approved"));
    assert_eq!(writes(&aws)[..2], ["DetachImageWatermark", "AttachImageWatermark"]);
    assert_eq!(world.lock().unwrap().images[ONE].watermarks[&key], "ami-11111111");
    aws.forget();
    invoke(&function(&aws, &ALL_SETTINGS), event).await.unwrap();
    assert_eq!(writes(&aws), Vec::<String>::new());
}

#[tokio::test]
async fn an_image_that_is_refused_loses_the_watermark_that_it_inherited() {
    let key = format!("{ACCOUNT}:approved");
    for (source, is_kept) in [("ami-00000000", false), ("ami-11111111", true)] {
        let (world, aws) = world();
        let watermarks = BTreeMap::from([(key.clone(), source.to_owned())]);
        let refused = FakeImage { watermarks, state: "pending", ..image() };
        world.lock().unwrap().images.insert(ONE.to_owned(), refused);
        let error = invoke(&function(&aws, &ALL_SETTINGS), json!({ "images": [ONE], "buildArn": BUILD })).await;
        assert!(error.unwrap_err().to_string().contains("its state is pending"));
        let world = world.lock().unwrap();
        assert_eq!(world.images[ONE].watermarks.contains_key(&key), is_kept);
        assert_eq!(world.mails[0].2.contains("The inherited watermark 111122223333:approved was detached"), !is_kept);
        assert!(world.images[ONE].permissions.is_empty() && world.parameters.is_empty());
    }
}

#[tokio::test]
async fn a_receiver_that_ec2_refuses_keeps_none_of_the_others_from_the_image() {
    let (world, aws) = world();
    world.lock().unwrap().unknown_receivers = ["777788889999".to_owned()].into();
    let settings = [
        ("TARGET_ACCOUNT_IDS", "444455556666,777788889999,888899990000"),
        SETTINGS[1],
        SETTINGS[2],
        SETTINGS[3],
        ("SHARE_SNAPSHOTS", "true"),
    ];
    let error = invoke(&function(&aws, &settings), json!({ "images": [ONE] })).await.unwrap_err();
    assert!(error.to_string().contains("EC2 refuses the receiver 777788889999"), "{error}");
    let world = world.lock().unwrap();
    let accounts: Vec<&str> = world.images[ONE].permissions.iter().map(|(_, id)| id.as_str()).collect();
    assert_eq!(accounts, ["444455556666", "888899990000"]);
    assert_eq!(world.images[ONE].snapshot_accounts.len(), 2);
    let approvers = world.mails.iter().find(|(topic, _, _)| topic == APPROVERS_TOPIC).unwrap();
    assert!(approvers.2.contains("not shared with 777788889999"), "{}", approvers.2);
}

#[tokio::test]
async fn only_an_image_of_the_same_name_in_image_builder_is_deprecated() {
    let other = "arn:aws:imagebuilder:eu-west-1:111122223333:image/windows/1.0.0/3";
    for (tags, is_deprecated) in [
        (vec![("Ec2ImageBuilderArn", "arn:aws:imagebuilder:eu-west-1:111122223333:image/web/1.0.0/2")], true),
        (vec![("Ec2ImageBuilderArn", other)], false),
        (vec![], false),
    ] {
        let (world, aws) = world();
        let name = "eu-west-1:/golden-ami/web/latest".to_owned();
        world.lock().unwrap().parameters.insert(name, vec!["ami-00000000".to_owned()]);
        let before = FakeImage { created: "2026-10-01T10:00:00.000Z", tags, ..image() };
        world.lock().unwrap().images.insert("eu-west-1:ami-00000000".to_owned(), before);
        invoke(&function(&aws, &ALL_SETTINGS), json!({ "images": [ONE] })).await.unwrap();
        let at = world.lock().unwrap().images["eu-west-1:ami-00000000"].deprecated_at.clone();
        assert_eq!(at.is_some(), is_deprecated);
    }
}

#[tokio::test]
async fn a_previous_image_that_is_gone_stops_nothing() {
    for code in ["InvalidAMIID.NotFound", "InvalidAMIID.Unavailable"] {
        let (world, _) = world();
        let name = "eu-west-1:/golden-ami/web/latest".to_owned();
        world.lock().unwrap().parameters.insert(name.clone(), vec!["ami-00000000".to_owned()]);
        let state = world.clone();
        let aws = Aws::new(move |call| match call.text("ImageId.1") {
            "ami-00000000" => Reply::Error(code),
            _ => state.lock().unwrap().answer(call),
        });
        invoke(&function(&aws, &ALL_SETTINGS), json!({ "images": [ONE] })).await.unwrap();
        assert_eq!(world.lock().unwrap().parameters[&name].last().unwrap(), "ami-11111111", "{code}");
    }
}

#[tokio::test]
async fn the_short_form_is_an_image_of_this_region() {
    let (_, aws) = world();
    let report = invoke(&function(&aws, &SETTINGS), json!({ "ami_id": "ami-11111111" })).await.unwrap();
    assert_eq!((report.images[0].region.as_str(), report.images[0].outcome), ("eu-west-1", ShareOutcome::Shared));
}

/// Each write as it is on the wire.
#[tokio::test]
async fn each_write_has_its_exact_form() {
    let (world, aws) = world();
    world
        .lock()
        .unwrap()
        .parameters
        .insert("eu-west-1:/golden-ami/web/latest".to_owned(), vec!["ami-00000000".to_owned()]);
    let before = FakeImage { created: "2026-10-01T10:00:00.000Z", ..image() };
    world.lock().unwrap().images.insert("eu-west-1:ami-00000000".to_owned(), before);
    let event = json!({ "images": [ONE], "buildArn": BUILD });
    let report = invoke(&function(&aws, &ALL_SETTINGS), event).await.unwrap();
    let order = [
        "AttachImageWatermark",
        "ModifyImageAttribute",
        "ModifySnapshotAttribute",
        "PutParameter",
        "EnableImageDeprecation",
        "Publish",
    ];
    assert_eq!(writes(&aws), order, "the watermark comes before sharing, the parameter after it");
    let one = |operation: &str| aws.calls_of(operation).remove(0).parameters;
    assert_eq!(one("AttachImageWatermark"), json!({ "ImageId": "ami-11111111", "WatermarkName": "approved" }));
    assert_eq!(
        one("ModifyImageAttribute"),
        json!({
            "ImageId": "ami-11111111",
            "LaunchPermission.Add.1.UserId": TARGET,
            "LaunchPermission.Add.2.OrganizationArn": ORGANIZATION,
            "LaunchPermission.Add.3.OrganizationalUnitArn": UNIT,
        })
    );
    assert_eq!(
        one("ModifySnapshotAttribute"),
        json!({
            "SnapshotId": "snap-11111111",
            "Attribute": "createVolumePermission",
            "CreateVolumePermission.Add.1.UserId": TARGET,
        })
    );
    assert_eq!(
        one("PutParameter"),
        json!({
            "Name": "/golden-ami/web/latest",
            "Value": "ami-11111111",
            "Type": "String",
            "DataType": "aws:ec2:image",
            "Overwrite": true,
        })
    );
    let deprecation = one("EnableImageDeprecation");
    assert_eq!(deprecation["ImageId"], "ami-00000000");
    let at = deprecation["DeprecateAt"].as_str().unwrap();
    assert!(at.ends_with(":00Z"), "{at}");
    let latest = report.images[0].latest.as_ref().unwrap();
    assert_eq!((latest.outcome, latest.previous.as_deref()), (LatestOutcome::Written, Some("ami-00000000")));
    assert_eq!(latest.previous_deprecated_at.as_deref(), Some(at));
}

#[tokio::test]
async fn a_second_run_changes_nothing_and_sends_no_mail() {
    let (world, aws) = world();
    let function = function(&aws, &ALL_SETTINGS);
    invoke(&function, both()).await.unwrap();
    let mails = world.lock().unwrap().mails.len();
    aws.forget();
    let report = invoke(&function, both()).await.unwrap();
    assert_eq!(outcomes(&report), [ShareOutcome::Unchanged, ShareOutcome::Unchanged]);
    assert_eq!(writes(&aws), Vec::<String>::new());
    assert_eq!((mails, world.lock().unwrap().mails.len()), (1, 1));
}

#[tokio::test]
async fn an_image_that_must_not_be_shared_is_refused_and_the_others_go_on() {
    let aws_managed = Some("arn:aws:kms:eu-west-1:111122223333:key/aws-managed");
    let past = Some("2026-01-01T00:00:00.000Z".to_owned());
    let cases: [(&str, FakeImage, &str); 7] = [
        ("of another account", FakeImage { owner: "999999999999", ..image() }, "only the owner can share it"),
        ("pending", FakeImage { state: "pending", ..image() }, "its state is pending"),
        ("deprecated", FakeImage { deprecated_at: past, ..image() }, "it is deprecated since"),
        ("AWS-managed key", FakeImage { key: aws_managed, ..image() }, "key/aws-managed, a key that AWS manages"),
        (
            "AWS-managed key, not told with the image",
            FakeImage { key: aws_managed, tells: false, ..image() },
            "key/aws-managed, a key that AWS manages",
        ),
        (
            "not by Image Builder",
            FakeImage { tags: vec![("CreatedBy", "EC2 Image Builder")], ..image() },
            "no tag Ec2ImageBuilderArn",
        ),
        (
            "a forged tag",
            FakeImage { tags: vec![("Ec2ImageBuilderArn", "yes")], ..image() },
            "no tag Ec2ImageBuilderArn",
        ),
    ];
    for (case, bad, reason) in cases {
        let (world, aws) = world();
        world.lock().unwrap().images.insert(ONE.to_owned(), bad.clone());
        let mut settings = ALL_SETTINGS.to_vec();
        settings.push(("REQUIRE_IMAGE_BUILDER", "true"));
        let error = invoke(&function(&aws, &settings), both()).await.unwrap_err();
        assert_eq!(error.error_type(), "NotShared", "{case}");
        assert!(error.to_string().contains(reason), "{case}: {error}");
        let world = world.lock().unwrap();
        let untouched = &world.images[ONE];
        assert!(untouched.permissions.is_empty() && untouched.watermarks.is_empty(), "{case}");
        assert!(untouched.snapshot_accounts.is_empty() && untouched.deprecated_at == bad.deprecated_at, "{case}");
        assert_eq!(world.parameters.keys().collect::<Vec<_>>(), ["us-east-1:/golden-ami/web/latest"], "{case}");
        assert_eq!(world.images[TWO].permissions.len(), 3, "{case}");
        assert_eq!(world.mails.len(), 2, "{case}");
        assert!(world.mails[0].0 == TARGETS_TOPIC && !world.mails[0].2.contains("ami-11111111"), "{case}");
        assert!(
            world.mails[1].0 == APPROVERS_TOPIC && world.mails[1].2.contains(reason),
            "{case}: {}",
            world.mails[1].2
        );
    }
}

#[tokio::test]
async fn every_image_is_looked_at_before_the_first_change() {
    let (_, aws) = world();
    invoke(&function(&aws, &ALL_SETTINGS), both()).await.unwrap();
    let operations = aws.operations();
    let first_write = operations.iter().position(|operation| WRITES.contains(&operation.as_str())).unwrap();
    let looks = operations[..first_write].iter().filter(|operation| *operation == "DescribeImages").count();
    assert_eq!(looks, 2, "{operations:?}");
}

#[tokio::test]
async fn an_image_that_is_not_there_is_named() {
    let (_, aws) = world();
    let event = json!({ "images": ["eu-west-1:ami-99999999", TWO] });
    let error = invoke(&function(&aws, &SETTINGS), event).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "1 of 2 images failed: see the report in the log. The first one: eu-west-1:ami-99999999: there is no such image in \
         this Region"
    );
}

#[tokio::test]
async fn a_customer_managed_key_is_no_obstacle_and_its_statement_is_reported() {
    for (key, describes) in [
        ("arn:aws:kms:eu-west-1:111122223333:key/own", 1),
        // That of another account cannot be one that AWS manages for this one, and is not described.
        ("arn:aws:kms:eu-west-1:777788889999:key/other", 0),
    ] {
        let (world, aws) = world();
        world.lock().unwrap().images.insert(ONE.to_owned(), FakeImage { key: Some(key), ..image() });
        let report = invoke(&function(&aws, &SETTINGS), json!({ "images": [ONE] })).await.unwrap();
        assert_eq!(outcomes(&report), [ShareOutcome::Shared]);
        assert!(report.images[0].keys.contains(key));
        assert!(report.key_policy_statement.unwrap().contains("kms:CreateGrant"));
        let mails = &world.lock().unwrap().mails;
        assert_eq!(
            mails.iter().map(|(topic, _, _)| topic.as_str()).collect::<Vec<_>>(),
            [TARGETS_TOPIC, APPROVERS_TOPIC]
        );
        assert!(!mails[0].2.contains("CreateGrant") && mails[1].2.contains(key) && mails[1].2.contains("CreateGrant"));
        assert_eq!(aws.calls_of("DescribeKey").len(), describes);
    }
}

#[tokio::test]
async fn a_key_that_cannot_be_described_stops_its_image() {
    let (world, aws) = world();
    let key = Some("arn:aws:kms:eu-west-1:111122223333:key/own");
    world.lock().unwrap().images.insert(ONE.to_owned(), FakeImage { key, ..image() });
    world.lock().unwrap().faults = vec![("DescribeKey", "", 9, Reply::Error("AccessDeniedException"))];
    let error = invoke(&function(&aws, &SETTINGS), json!({ "images": [ONE] })).await.unwrap_err();
    assert!(
        error.to_string().contains("DescribeKey: AccessDeniedException: as tested; allow this in the function's role"),
        "{error}"
    );
    assert_eq!(writes(&aws), ["Publish"]);
}

#[tokio::test]
async fn lost_replies_and_throttling_change_nothing() {
    for reply in [Reply::Lost, Reply::Unavailable, Reply::Error("RequestLimitExceeded")] {
        for operation in [
            "DescribeImages",
            "DescribeImageAttribute",
            "ModifyImageAttribute",
            "ModifySnapshotAttribute",
            "AttachImageWatermark",
            "PutParameter",
            "GetParameter",
        ] {
            let (world, aws) = world();
            world.lock().unwrap().faults = vec![(operation, "eu-west-1", 1, reply.clone())];
            let case = format!("{operation} {reply:?}");
            let report = invoke(&function(&aws, &ALL_SETTINGS), both()).await.unwrap();
            assert_eq!(outcomes(&report), [ShareOutcome::Shared, ShareOutcome::Shared], "{case}");
            let world = world.lock().unwrap();
            for image in world.images.values() {
                assert_eq!(
                    (image.permissions.len(), image.watermarks.len(), image.snapshot_accounts.len()),
                    (3, 1, 1),
                    "{case}"
                );
            }
            assert_eq!(world.mails.len(), 1, "{case}");
        }
    }
}

#[tokio::test]
async fn a_watermark_that_cannot_be_attached_keeps_the_image_from_being_shared() {
    let (world, aws) = world();
    world.lock().unwrap().faults =
        vec![("AttachImageWatermark", "eu-west-1", 9, Reply::Error("UnauthorizedOperation"))];
    let error = invoke(&function(&aws, &ALL_SETTINGS), both()).await.unwrap_err();
    assert!(error.to_string().contains("AttachImageWatermark: UnauthorizedOperation"), "{error}");
    let world = world.lock().unwrap();
    assert!(world.images[ONE].permissions.is_empty());
    assert_eq!(world.images[TWO].permissions.len(), 3);
}

#[tokio::test]
async fn a_failure_of_one_region_does_not_stop_the_other_and_both_topics_hear() {
    let (world, aws) = world();
    world.lock().unwrap().faults =
        vec![("ModifyImageAttribute", "us-east-1", 9, Reply::Error("UnauthorizedOperation"))];
    let error = invoke(&function(&aws, &SETTINGS), both()).await.unwrap_err();
    assert_eq!(error.error_type(), "NotShared");
    let world = world.lock().unwrap();
    assert_eq!(world.images[ONE].permissions.len(), 1);
    let topics: Vec<&str> = world.mails.iter().map(|(topic, _, _)| topic.as_str()).collect();
    assert_eq!(topics, [TARGETS_TOPIC, APPROVERS_TOPIC]);
    assert!(world.mails[1].2.contains("us-east-1 ami-22222222: failed"), "{}", world.mails[1].2);
}

#[tokio::test]
async fn what_ec2_does_not_show_afterwards_is_a_failure() {
    let (world, aws) = world();
    world.lock().unwrap().forgetful = true;
    let error = invoke(&function(&aws, &SETTINGS), json!({ "images": [ONE] })).await.unwrap_err();
    assert!(
        error.to_string().contains("EC2 took the change and does not show it: 1 launch permissions are missing"),
        "{error}"
    );
}

#[tokio::test]
async fn the_parameter_never_goes_back_and_no_newer_image_is_deprecated() {
    let (world, aws) = world();
    let name = "eu-west-1:/golden-ami/web/latest".to_owned();
    world.lock().unwrap().parameters.insert(name.clone(), vec!["ami-33333333".to_owned()]);
    let newer = FakeImage { created: "2026-12-01T10:00:00.000Z", ..image() };
    world.lock().unwrap().images.insert("eu-west-1:ami-33333333".to_owned(), newer);
    let report = invoke(&function(&aws, &ALL_SETTINGS), json!({ "images": [ONE] })).await.unwrap();
    assert_eq!(report.images[0].outcome, ShareOutcome::Shared);
    assert_eq!(report.images[0].latest.as_ref().unwrap().outcome, LatestOutcome::Newer);
    let world = world.lock().unwrap();
    assert_eq!(world.parameters[&name], ["ami-33333333"]);
    assert_eq!(world.images["eu-west-1:ami-33333333"].deprecated_at, None);
}

/// Two approvals are given at once: the run of the older one reads the parameter before the other writes it, and writes after.
#[tokio::test]
async fn a_newer_image_that_another_run_writes_meanwhile_stays() {
    let (world, _) = world();
    let name = "eu-west-1:/golden-ami/web/latest".to_owned();
    let newer = FakeImage { created: "2026-12-01T10:00:00.000Z", ..image() };
    world.lock().unwrap().images.insert("eu-west-1:ami-33333333".to_owned(), newer);
    for (meanwhile, expected, outcome) in [
        ("ami-33333333", "ami-33333333", LatestOutcome::Newer),
        ("ami-00000000", "ami-11111111", LatestOutcome::Written),
    ] {
        world.lock().unwrap().parameters.insert(name.clone(), vec!["ami-00000000".to_owned()]);
        let (state, written) = (world.clone(), name.clone());
        let mut is_first = true;
        let aws = Aws::new(move |call| {
            let mut world = state.lock().unwrap();
            if call.operation == "PutParameter" && std::mem::take(&mut is_first) {
                world.parameters.get_mut(&written).unwrap().push(meanwhile.to_owned());
            }
            world.answer(call)
        });
        let report = invoke(&function(&aws, &ALL_SETTINGS), json!({ "images": [ONE] })).await.unwrap();
        assert_eq!(report.images[0].latest.as_ref().unwrap().outcome, outcome, "{meanwhile}");
        assert_eq!(world.lock().unwrap().parameters[&name].last().unwrap(), expected, "{meanwhile}");
        assert_eq!(world.lock().unwrap().images["eu-west-1:ami-33333333"].deprecated_at, None);
    }
}

#[tokio::test]
async fn two_images_of_one_region_end_with_the_newer_one_and_deprecate_neither() {
    let (world, aws) = world();
    let newer = FakeImage { created: "2026-12-01T10:00:00.000Z", ..image() };
    world.lock().unwrap().images.insert("eu-west-1:ami-33333333".to_owned(), newer);
    let event = json!({ "images": ["eu-west-1:ami-33333333", ONE] });
    invoke(&function(&aws, &ALL_SETTINGS), event).await.unwrap();
    let world = world.lock().unwrap();
    assert_eq!(world.parameters["eu-west-1:/golden-ami/web/latest"], ["ami-11111111", "ami-33333333"]);
    assert!(world.images.values().all(|image| image.deprecated_at.is_none()));
}

#[tokio::test]
async fn a_deprecation_that_failed_is_made_up_for_by_the_next_run() {
    let (world, aws) = world();
    let name = "eu-west-1:/golden-ami/web/latest".to_owned();
    world.lock().unwrap().parameters.insert(name, vec!["ami-00000000".to_owned()]);
    let before = FakeImage { created: "2026-10-01T10:00:00.000Z", ..image() };
    world.lock().unwrap().images.insert("eu-west-1:ami-00000000".to_owned(), before);
    world.lock().unwrap().faults = vec![("EnableImageDeprecation", "", 9, Reply::Error("UnauthorizedOperation"))];
    let function = function(&aws, &ALL_SETTINGS);
    let event = json!({ "images": [ONE] });
    assert_eq!(invoke(&function, event.clone()).await.unwrap_err().error_type(), "NotShared");
    world.lock().unwrap().faults.clear();
    invoke(&function, event.clone()).await.unwrap();
    let at = world.lock().unwrap().images["eu-west-1:ami-00000000"].deprecated_at.clone();
    assert!(at.is_some());
    // And no later run moves it.
    invoke(&function, event).await.unwrap();
    assert_eq!(world.lock().unwrap().images["eu-west-1:ami-00000000"].deprecated_at, at);
}

#[tokio::test]
async fn a_parameter_of_another_type_is_left_and_explained() {
    let (world, aws) = world();
    world.lock().unwrap().data_type = "text";
    world
        .lock()
        .unwrap()
        .parameters
        .insert("eu-west-1:/golden-ami/web/latest".to_owned(), vec!["ami-00000000".to_owned()]);
    let error = invoke(&function(&aws, &ALL_SETTINGS), json!({ "images": [ONE] })).await.unwrap_err();
    assert!(error.to_string().contains("has the data type text: expected aws:ec2:image"), "{error}");
    assert_eq!(aws.calls_of("PutParameter"), []);
    assert_eq!(world.lock().unwrap().images[ONE].permissions.len(), 3, "it is shared all the same");
}

#[tokio::test]
async fn a_dry_run_changes_nothing_and_says_what_it_would() {
    let (world, aws) = world();
    let mut settings = ALL_SETTINGS.to_vec();
    settings.push(("DRY_RUN", "true"));
    let report = invoke(&function(&aws, &settings), both()).await.unwrap();
    assert_eq!(outcomes(&report), [ShareOutcome::Planned, ShareOutcome::Planned]);
    assert_eq!(report.images[0].added.len(), 3);
    assert_eq!(report.images[0].watermark.as_deref(), Some("approved"));
    assert_eq!(writes(&aws), Vec::<String>::new());
    assert!(world.lock().unwrap().parameters.is_empty());
}

#[tokio::test]
async fn without_time_nothing_begins_and_the_report_says_so() {
    let (world, aws) = world();
    let error = invoke_with(&function(&aws, &SETTINGS), both(), Duration::ZERO).await.unwrap_err();
    assert!(error.to_string().contains("2 of 2 images failed") && error.to_string().contains("out of time"), "{error}");
    assert_eq!(aws.operations(), ["Publish"]);
    assert_eq!(world.lock().unwrap().mails[0].0, APPROVERS_TOPIC);
}

#[tokio::test]
async fn a_topic_that_refuses_is_an_error_and_the_other_one_still_hears() {
    let (world, aws) = world();
    world.lock().unwrap().faults = vec![
        ("Publish", "", 1, Reply::Error("AuthorizationError")),
        ("ModifyImageAttribute", "us-east-1", 9, Reply::Error("UnauthorizedOperation")),
    ];
    let error = invoke(&function(&aws, &SETTINGS), both()).await.unwrap_err();
    assert_eq!((error.error_type(), error.to_string().contains("TARGET_TOPIC_ARN")), ("Notify", true));
    assert_eq!(
        world.lock().unwrap().mails.iter().map(|(topic, _, _)| topic.as_str()).collect::<Vec<_>>(),
        [APPROVERS_TOPIC]
    );
}

#[tokio::test]
async fn what_is_not_understood_calls_nothing() {
    let (_, aws) = world();
    for event in [json!({}), json!({ "images": ["ami-11111111"] }), json!("ami-11111111"), json!({ "images": [] })] {
        assert_eq!(invoke(&function(&aws, &SETTINGS), event).await.unwrap_err().error_type(), "InvalidEvent");
    }
    assert_eq!(aws.calls(), []);
}

#[tokio::test]
async fn what_became_of_an_image_is_shown_in_the_thread_of_its_build() {
    let settings: Vec<_> = APPROVED.into_iter().chain([("CHAT_TOPIC_ARN", CHAT)]).collect();
    for refuses in [false, true] {
        let (world, aws) = world();
        world.lock().unwrap().execution = Some(execution("InProgress", "Success"));
        world.lock().unwrap().chat_refuses = refuses;
        invoke(&function(&aws, &settings), by_execution()).await.unwrap();
        let world = world.lock().unwrap();
        assert_eq!(world.mails.len(), 1, "chat refuses: {refuses}");
        let [message] = &world.shown[..] else { panic!("{:?}", world.shown) };
        assert_eq!(message["metadata"]["threadId"], BUILD);
        let page = format!("/systems-manager/automation/execution/{EXECUTION}?region=eu-west-1|Open the");
        assert!(message["content"]["nextSteps"][0].as_str().unwrap().contains(&page), "{message}");
    }
    // Whoever asks without an approval names the build: that is no reply in its thread.
    let (world, aws) = world();
    invoke(&function(&aws, &settings), both()).await.unwrap_err();
    let world = world.lock().unwrap();
    let [message] = &world.shown[..] else { panic!("{:?}", world.shown) };
    assert_eq!(message["metadata"]["threadId"], Value::Null);
    assert!(message["content"]["title"].as_str().unwrap().ends_with("refused to share what is not approved"));
}
