//! What an image is, whether it may be shared, and what is still to be done. No client, no clock.

use std::collections::BTreeSet;

use ami_approval::image::BuildArn;
use ami_approval::target::{AccountId, Targets};
use ami_approval::watermark::{AttachedWatermark, Watermark};
use time::OffsetDateTime;

use crate::config::Config;

/// EC2's quota of launch permissions of an AMI: accounts, organizations and units, each counting one.
///
/// Source: EC2 User Guide, "Share an AMI": "You can share an AMI with up to 1,000 …".
pub const MAX_PERMISSIONS: usize = 1_000;
/// EC2's quota of watermarks of an AMI.
pub const MAX_WATERMARKS: usize = 5;

/// An image as EC2 describes it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Facts {
    /// `Name`.
    pub name: Option<String>,
    /// `State`, such as `available`.
    pub state: String,
    /// `OwnerId`.
    pub owner: String,
    /// `Public`.
    pub public: bool,
    /// `CreationDate`, as EC2 writes it: later dates are greater texts.
    pub created: String,
    /// `DeprecationTime`.
    pub deprecated_at: Option<OffsetDateTime>,
    /// The tag by which Image Builder marks what it built.
    pub build: Option<BuildArn>,
    pub id: String,
    pub watermarks: Vec<AttachedWatermark>,
    /// Its launch permissions.
    pub permissions: Permissions,
    pub snapshots: Vec<Snapshot>,
}

/// Launch permissions: ids of accounts, ARNs of organizations and units.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize)]
pub struct Permissions {
    /// Account ids.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub accounts: BTreeSet<String>,
    /// ARNs of organizations.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub organizations: BTreeSet<String>,
    /// ARNs of organizational units.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub units: BTreeSet<String>,
}

impl Permissions {
    /// Those of all targets. The owner needs none.
    #[must_use]
    pub fn of(targets: &Targets, owner: &AccountId) -> Self {
        let Targets { accounts, organizations, units } = targets;
        Self {
            accounts: accounts.iter().filter(|account| *account != owner).map(ToString::to_string).collect(),
            organizations: organizations.iter().map(ToString::to_string).collect(),
            units: units.iter().map(ToString::to_string).collect(),
        }
    }

    /// Those of `self` that are not in `present`.
    #[must_use]
    pub fn without(&self, present: &Self) -> Self {
        let Self { accounts, organizations, units } = self;
        Self {
            accounts: accounts - &present.accounts,
            organizations: organizations - &present.organizations,
            units: units - &present.units,
        }
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        let Self { accounts, organizations, units } = self;
        accounts.len() + organizations.len() + units.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A snapshot of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    pub id: String,
    /// The key it is encrypted with.
    pub key: Option<Key>,
    /// The accounts that may make volumes from it; read only with `SHARE_SNAPSHOTS`.
    pub accounts: BTreeSet<String>,
}

/// A key of AWS KMS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// Its ARN.
    pub arn: String,
    /// Who manages it.
    pub manager: KeyManager,
    /// Whether it can be used; `None` where it is in another account.
    pub enabled: Option<bool>,
}

/// Who manages a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyManager {
    /// AWS. Nobody else can use what it encrypts.
    Aws,
    /// A customer: its policy can admit others.
    Customer,
}

/// What is to be done for an image.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// The key of the watermark to detach before: it was inherited from another image.
    pub inherited_watermark: Option<String>,
    /// The watermark to attach first.
    pub watermark: Option<String>,
    /// The launch permissions to add.
    pub permissions: Permissions,
    /// The snapshots to share, and with which accounts.
    pub snapshots: Vec<(String, BTreeSet<String>)>,
    /// The customer-managed keys that it is encrypted with.
    pub keys: BTreeSet<String>,
    /// What people should know, though it keeps nobody from sharing.
    pub notes: Vec<String>,
}

impl Plan {
    /// Whether nothing is to be done.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let Self { inherited_watermark, watermark, permissions, snapshots, keys: _, notes: _ } = self;
        inherited_watermark.is_none() && watermark.is_none() && permissions.is_empty() && snapshots.is_empty()
    }
}

/// An image that must not be shared.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", reasons.join("; "))]
pub struct Unshareable {
    /// Every reason, in words that say what to do.
    pub reasons: Vec<String>,
    /// The key of the watermark to detach all the same: it was inherited, and says "approved" of an image that is not.
    pub inherited_watermark: Option<String>,
}

/// Decides for one image.
///
/// # Errors
///
/// [`Unshareable`] has every reason not to share it.
pub fn plan(facts: &Facts, account: &AccountId, config: &Config, now: OffsetDateTime) -> Result<Plan, Unshareable> {
    let wanted = Permissions::of(&config.targets, account);
    let missing = wanted.without(&facts.permissions);
    let present = |mark: &Watermark| facts.watermarks.iter().find(|attached| attached.key == mark.key(account));
    let is_inherited = |attached: &&AttachedWatermark| attached.is_inherited(&facts.id);
    let inherited =
        config.effects.watermark.as_ref().and_then(present).filter(is_inherited).map(|mark| mark.key.clone());
    let is_missing = |mark: &&Watermark| present(mark).is_none_or(|attached| is_inherited(&attached));
    let watermark = config.effects.watermark.as_ref().filter(is_missing).map(ToString::to_string);

    let mut faults = Vec::new();
    if facts.owner != account.as_str() {
        faults.push(format!("it belongs to the account {}: only the owner can share it", facts.owner));
    }
    if facts.state != "available" {
        faults.push(format!("its state is {}: expected available", facts.state));
    }
    if let Some(at) = facts.deprecated_at.filter(|at| *at <= now) {
        faults.push(format!("it is deprecated since {at}: build a new one, or end the deprecation"));
    }
    if config.require_image_builder {
        match &facts.build {
            None => faults.push(
                "it has no tag Ec2ImageBuilderArn with the ARN of a build: REQUIRE_IMAGE_BUILDER admits only what EC2 Image \
                 Builder built"
                    .to_owned(),
            ),
            Some(build) if build.account() != account => {
                faults.push(format!("it was built in the account {}: REQUIRE_IMAGE_BUILDER admits only builds of this account", build.account()));
            }
            Some(_) => {}
        }
    }
    faults.extend(key_faults(&facts.snapshots));
    let total = facts.permissions.len() + missing.len();
    if total > MAX_PERMISSIONS {
        faults.push(format!(
            "it would have {total} launch permissions: EC2 allows {MAX_PERMISSIONS}. Share with organizations instead of \
             accounts, or remove permissions"
        ));
    }
    if watermark.is_some() && facts.public {
        faults.push("it is public: EC2 attaches watermarks to private images only".to_owned());
    }
    if watermark.is_some() && inherited.is_none() && facts.watermarks.len() >= MAX_WATERMARKS {
        faults.push(format!("it has {} watermarks: EC2 allows {MAX_WATERMARKS}. Detach one", facts.watermarks.len()));
    }
    if !faults.is_empty() {
        let inherited_watermark = inherited.filter(|_| facts.owner == account.as_str());
        return Err(Unshareable { reasons: faults, inherited_watermark });
    }

    let snapshots = if config.effects.share_snapshots {
        let missing = |snapshot: &Snapshot| (snapshot.id.clone(), &wanted.accounts - &snapshot.accounts);
        facts.snapshots.iter().map(missing).filter(|(_, accounts)| !accounts.is_empty()).collect()
    } else {
        Vec::new()
    };
    let keys = facts.snapshots.iter().filter_map(|snapshot| snapshot.key.as_ref()).map(|key| key.arn.clone()).collect();
    let notes = notes(&wanted, config);
    Ok(Plan { inherited_watermark: inherited, watermark, permissions: missing, snapshots, keys, notes })
}

/// Each key is named once.
fn key_faults(snapshots: &[Snapshot]) -> BTreeSet<String> {
    let fault = |key: &Key| match (key.manager, key.enabled) {
        (KeyManager::Aws, _) => Some(format!(
            "it is encrypted with {}, a key that AWS manages: such an image cannot be shared. Encrypt it with a key of your own",
            key.arn
        )),
        (KeyManager::Customer, Some(false)) => {
            Some(format!("it is encrypted with {}, which is not enabled: nobody could launch it", key.arn))
        }
        (KeyManager::Customer, _) => None,
    };
    snapshots.iter().filter_map(|snapshot| snapshot.key.as_ref()).filter_map(fault).collect()
}

fn notes(wanted: &Permissions, config: &Config) -> Vec<String> {
    let mut notes = Vec::new();
    if config.effects.share_snapshots && !(wanted.organizations.is_empty() && wanted.units.is_empty()) {
        notes.push(
            "SHARE_SNAPSHOTS serves accounts only: EC2 cannot share a snapshot with an organization or organizational unit, so \
             these can launch the image and cannot copy it."
                .to_owned(),
        );
    }
    notes
}

/// The statement that a customer-managed key needs, so that the targets can launch and copy what it encrypts.
///
/// Source: EC2 User Guide, "Share an AMI with organizations or OUs", "Allow organizations and OUs to use a KMS key";
/// EBS User Guide, "Share the KMS key".
#[must_use]
pub fn key_statement(wanted: &Permissions) -> String {
    let statement = |sid: &str, principal: serde_json::Value, condition: Option<serde_json::Value>| {
        let mut statement = serde_json::json!({
            "Sid": sid,
            "Effect": "Allow",
            "Principal": principal,
            "Action": ["kms:DescribeKey", "kms:Decrypt", "kms:ReEncrypt*", "kms:CreateGrant"],
            "Resource": "*",
        });
        if let Some(condition) = condition {
            statement["Condition"] = condition;
        }
        statement
    };
    let mut statements = Vec::new();
    if !wanted.accounts.is_empty() {
        // In a key policy, the id of an account stands for its root principal, in each partition.
        statements.push(statement("SharedImagesAccounts", serde_json::json!({ "AWS": wanted.accounts }), None));
    }
    if !wanted.organizations.is_empty() {
        let ids: Vec<&str> = wanted.organizations.iter().filter_map(|arn| arn.rsplit('/').next()).collect();
        let condition = serde_json::json!({ "StringEquals": { "aws:PrincipalOrgID": ids } });
        statements.push(statement("SharedImagesOrganizations", serde_json::json!({ "AWS": "*" }), Some(condition)));
    }
    if !wanted.units.is_empty() {
        let paths = wanted.units.iter().filter_map(|arn| {
            let mut parts = arn.rsplit('/');
            let (unit, organization) = (parts.next()?, parts.next()?);
            // The path from the root to the unit is not in the ARN.
            Some(format!("{organization}/*/{unit}/*"))
        });
        let condition = serde_json::json!({
            "ForAnyValue:StringLike": { "aws:PrincipalOrgPaths": paths.collect::<Vec<_>>() },
        });
        statements.push(statement("SharedImagesUnits", serde_json::json!({ "AWS": "*" }), Some(condition)));
    }
    let text: Vec<String> =
        statements.iter().map(|statement| serde_json::to_string_pretty(statement).unwrap_or_default()).collect();
    text.join(",\n")
}

/// The name of an image for `{name}`: that in the ARN of its build, which is the same for each version, or its own name in
/// that spelling. `None` where there is neither.
#[must_use]
pub fn image_name(facts: &Facts, build: Option<&BuildArn>, name: Option<&str>) -> Option<String> {
    if let Some(build) = build.or(facts.build.as_ref()) {
        return Some(build.name().to_owned());
    }
    let name = name.or(facts.name.as_deref())?.to_lowercase();
    let name: String = name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '-' }).collect();
    let name = name.trim_matches('-');
    (!name.is_empty()).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use gatehouse_shared::env::Env;
    use proptest::prelude::*;
    use serde_json::Value;
    use time::macros::datetime;

    use super::*;

    const ORGANIZATION: &str = "arn:aws:organizations::111122223333:organization/o-abcdefghij";
    const UNIT: &str = "arn:aws:organizations::111122223333:ou/o-abcdefghij/ou-ab12-11111111";
    const NOW: OffsetDateTime = datetime!(2026-11-25 12:00 UTC);

    fn account() -> AccountId {
        "111122223333".parse().unwrap()
    }

    fn config(settings: &[(&str, &str)]) -> Config {
        let settings = [settings, &[("REQUIRE_APPROVAL", "false")]].concat();
        let env = Env::of_table(&settings);
        env.read(Config::from_env).unwrap()
    }

    fn all() -> Config {
        config(&[
            ("TARGET_ACCOUNT_IDS", "444455556666,777788889999,111122223333"),
            ("TARGET_ORGANIZATION_ARNS", ORGANIZATION),
            ("TARGET_OU_ARNS", UNIT),
        ])
    }

    fn facts() -> Facts {
        Facts {
            id: "ami-11111111".to_owned(),
            name: Some("Web 2026-11-25T12-00-00.000Z".to_owned()),
            state: "available".to_owned(),
            owner: "111122223333".to_owned(),
            created: "2026-11-25T12:00:00.000Z".to_owned(),
            ..Facts::default()
        }
    }

    const OWN: &str = "ami-11111111";

    fn mark(key: &str, source: &str) -> AttachedWatermark {
        AttachedWatermark { key: key.to_owned(), source_image_id: Some(source.to_owned()) }
    }

    fn snapshot(key: Option<Key>) -> Snapshot {
        Snapshot { id: "snap-1".to_owned(), key, accounts: BTreeSet::new() }
    }

    fn key(manager: KeyManager, enabled: Option<bool>) -> Key {
        Key { arn: "arn:aws:kms:eu-west-1:111122223333:key/k-1".to_owned(), manager, enabled }
    }

    fn texts<const N: usize>(texts: [&str; N]) -> BTreeSet<String> {
        texts.map(str::to_owned).into()
    }

    #[test]
    fn all_targets_but_the_owner_are_added_and_only_those_missing() {
        let added = plan(&facts(), &account(), &all(), NOW).unwrap().permissions;
        let expected = Permissions {
            accounts: texts(["444455556666", "777788889999"]),
            organizations: texts([ORGANIZATION]),
            units: texts([UNIT]),
        };
        assert_eq!(added, expected);
        let some = Permissions {
            accounts: texts(["444455556666", "999999999999"]),
            organizations: texts([ORGANIZATION]),
            units: texts([]),
        };
        let rest = plan(&Facts { permissions: some, ..facts() }, &account(), &all(), NOW).unwrap();
        assert_eq!(rest.permissions.len(), 2);
        assert_eq!(rest.permissions.accounts, texts(["777788889999"]));
        let done = plan(&Facts { permissions: expected, ..facts() }, &account(), &all(), NOW).unwrap();
        assert!(done.is_empty());
    }

    #[test]
    fn an_image_that_must_not_be_shared_is_refused_and_the_reason_named() {
        type Case<'a> = (&'a str, Facts, &'a [(&'a str, &'a str)], Option<&'a str>);
        let build: BuildArn = "arn:aws:imagebuilder:eu-west-1:999999999999:image/web/1.0.0/3".parse().unwrap();
        let required = [("TARGET_ACCOUNT_IDS", "444455556666"), ("REQUIRE_IMAGE_BUILDER", "true")];
        let marked = [("TARGET_ACCOUNT_IDS", "444455556666"), ("APPROVED_WATERMARK", "approved")];
        let plain = [("TARGET_ACCOUNT_IDS", "444455556666")];
        let marks = |count: usize| (0..count).map(|number| mark(&format!("111122223333:mark{number}"), OWN)).collect();
        let cases: [Case<'_>; 14] = [
            ("as it should be", facts(), &plain, None),
            (
                "of another account",
                Facts { owner: "999999999999".to_owned(), ..facts() },
                &plain,
                Some("only the owner"),
            ),
            ("pending", Facts { state: "pending".to_owned(), ..facts() }, &plain, Some("its state is pending")),
            ("disabled", Facts { state: "disabled".to_owned(), ..facts() }, &plain, Some("its state is disabled")),
            ("deprecated", Facts { deprecated_at: Some(NOW), ..facts() }, &plain, Some("it is deprecated since")),
            (
                "to be deprecated later",
                Facts { deprecated_at: Some(NOW + time::Duration::DAY), ..facts() },
                &plain,
                None,
            ),
            ("not by Image Builder", facts(), &required, Some("no tag Ec2ImageBuilderArn")),
            (
                "built elsewhere",
                Facts { build: Some(build), ..facts() },
                &required,
                Some("built in the account 999999999999"),
            ),
            (
                "an AWS-managed key",
                Facts { snapshots: vec![snapshot(Some(key(KeyManager::Aws, Some(true))))], ..facts() },
                &plain,
                Some("encrypted with arn:aws:kms:eu-west-1:111122223333:key/k-1, a key that AWS manages"),
            ),
            (
                "a disabled key",
                Facts { snapshots: vec![snapshot(Some(key(KeyManager::Customer, Some(false))))], ..facts() },
                &plain,
                Some("is not enabled"),
            ),
            (
                "a key of another account",
                Facts { snapshots: vec![snapshot(Some(key(KeyManager::Customer, None)))], ..facts() },
                &plain,
                None,
            ),
            ("public, to be marked", Facts { public: true, ..facts() }, &marked, Some("private images only")),
            ("five watermarks", Facts { watermarks: marks(5), ..facts() }, &marked, Some("it has 5 watermarks")),
            ("four watermarks", Facts { watermarks: marks(4), ..facts() }, &marked, None),
        ];
        for (case, facts, settings, expected) in cases {
            let faults =
                plan(&facts, &account(), &config(settings), NOW).err().map(|it| it.reasons).unwrap_or_default();
            match expected {
                None => assert_eq!(faults, Vec::<String>::new(), "{case}"),
                Some(part) => assert!(faults.len() == 1 && faults[0].contains(part), "{case}: {faults:?}"),
            }
        }
    }

    #[test]
    fn the_quota_counts_what_is_there_and_what_is_added() {
        let with = |count: usize| {
            let accounts = (0..count).map(|number| format!("{number:012}")).collect();
            let permissions = Permissions { accounts, ..Permissions::default() };
            plan(&Facts { permissions, ..facts() }, &account(), &all(), NOW)
        };
        assert!(with(996).is_ok());
        assert!(with(997).unwrap_err().to_string().contains("it would have 1001 launch permissions"));
    }

    #[test]
    fn every_reason_is_named_at_once() {
        let facts = Facts {
            owner: "999999999999".to_owned(),
            state: "failed".to_owned(),
            snapshots: vec![snapshot(Some(key(KeyManager::Aws, None))), snapshot(Some(key(KeyManager::Aws, None)))],
            ..facts()
        };
        assert_eq!(plan(&facts, &account(), &all(), NOW).unwrap_err().reasons.len(), 3);
    }

    #[test]
    fn a_watermark_is_attached_once_and_an_inherited_one_is_replaced() {
        const KEY: &str = "111122223333:approved";
        let config = config(&[("TARGET_ACCOUNT_IDS", "444455556666"), ("APPROVED_WATERMARK", "approved")]);
        let marked = |watermarks: Vec<AttachedWatermark>| {
            let plan = plan(&Facts { watermarks, ..facts() }, &account(), &config, NOW).unwrap();
            (plan.inherited_watermark, plan.watermark)
        };
        let (key, name) = (Some(KEY.to_owned()), Some("approved".to_owned()));
        assert_eq!(marked(vec![]), (None, name.clone()));
        assert_eq!(marked(vec![mark(KEY, OWN)]), (None, None));
        assert_eq!(marked(vec![mark(KEY, "ami-00000000")]), (key.clone(), name.clone()));
        let other = (None, name.clone());
        assert_eq!(marked(vec![mark("999999999999:approved", OWN)]), other, "that of another account does not count");
        // It makes room for itself.
        let mut five: Vec<_> = (0..4).map(|number| mark(&format!("111122223333:mark{number}"), OWN)).collect();
        five.push(mark(KEY, "ami-00000000"));
        assert_eq!(marked(five), (key, name));
    }

    #[test]
    fn an_image_that_is_refused_keeps_no_inherited_watermark_and_its_own_one() {
        const KEY: &str = "111122223333:approved";
        let config = config(&[("TARGET_ACCOUNT_IDS", "444455556666"), ("APPROVED_WATERMARK", "approved")]);
        let refused = |source: &str, owner: &str| {
            let (watermarks, owner) = (vec![mark(KEY, source)], owner.to_owned());
            let facts = Facts { state: "pending".to_owned(), watermarks, owner, ..facts() };
            plan(&facts, &account(), &config, NOW).unwrap_err().inherited_watermark
        };
        assert_eq!(refused("ami-00000000", "111122223333").as_deref(), Some(KEY));
        assert_eq!(refused(OWN, "111122223333"), None);
        assert_eq!(refused("ami-00000000", "999999999999"), None, "only the owner can");
    }

    #[test]
    fn snapshots_are_shared_with_accounts_only_and_the_notes_say_so() {
        let mut config = all();
        let snapshots = vec![Snapshot { accounts: texts(["444455556666"]), ..snapshot(None) }];
        let facts = Facts { snapshots, ..facts() };
        assert_eq!(plan(&facts, &account(), &config, NOW).unwrap().snapshots, []);
        config.effects.share_snapshots = true;
        let plan = plan(&facts, &account(), &config, NOW).unwrap();
        assert_eq!(plan.snapshots, [("snap-1".to_owned(), texts(["777788889999"]))]);
        assert!(plan.notes[0].starts_with("SHARE_SNAPSHOTS serves accounts only"), "{:?}", plan.notes);
    }

    #[test]
    fn a_customer_managed_key_gives_the_statement_for_each_kind_of_target() {
        let facts = Facts { snapshots: vec![snapshot(Some(key(KeyManager::Customer, Some(true))))], ..facts() };
        let plan = plan(&facts, &account(), &all(), NOW).unwrap();
        assert_eq!(plan.keys, texts(["arn:aws:kms:eu-west-1:111122223333:key/k-1"]));
        let statements = key_statement(&Permissions::of(&all().targets, &account()));
        let statements: Vec<Value> = serde_json::from_str(&format!("[{statements}]")).unwrap();
        assert_eq!(statements[0]["Principal"]["AWS"], serde_json::json!(["444455556666", "777788889999"]));
        assert_eq!(statements[0].get("Condition"), None);
        assert_eq!(statements[1]["Condition"]["StringEquals"]["aws:PrincipalOrgID"][0], "o-abcdefghij");
        assert_eq!(
            statements[2]["Condition"]["ForAnyValue:StringLike"]["aws:PrincipalOrgPaths"][0],
            "o-abcdefghij/*/ou-ab12-11111111/*"
        );
        for statement in &statements {
            assert!(statement["Action"].as_array().unwrap().contains(&"kms:CreateGrant".into()));
            assert!(statement["Principal"]["AWS"] != "*" || statement.get("Condition").is_some());
        }
    }

    #[test]
    fn the_name_comes_from_the_build_or_is_spelled_like_it() {
        let build: BuildArn = "arn:aws:imagebuilder:eu-west-1:111122223333:image/my-web/1.0.0/3".parse().unwrap();
        let tagged = Facts { build: Some(build.clone()), ..facts() };
        assert_eq!(image_name(&facts(), Some(&build), Some("x")).as_deref(), Some("my-web"));
        assert_eq!(image_name(&tagged, None, Some("x")).as_deref(), Some("my-web"));
        assert_eq!(image_name(&facts(), None, Some("My Web (2)/é")).as_deref(), Some("my-web--2"));
        assert_eq!(image_name(&Facts::default(), None, None), None);
        assert_eq!(image_name(&Facts::default(), None, Some("...")), None);
    }

    proptest! {
        /// Whatever is there: the plan adds nothing but targets, and once it is carried out there is nothing to add.
        #[test]
        fn a_plan_adds_targets_alone_and_a_second_one_is_empty(
            present in proptest::collection::btree_set("[0-9]{12}", 0..8),
            with_organization: bool,
        ) {
            let organizations = if with_organization { texts([ORGANIZATION]) } else { texts([]) };
            let mut facts = Facts { permissions: Permissions { accounts: present, organizations, units: texts([]) }, ..facts() };
            let config = all();
            let wanted = Permissions::of(&config.targets, &account());
            let added = plan(&facts, &account(), &config, NOW).unwrap().permissions;
            prop_assert!(added.without(&wanted).is_empty());
            facts.permissions.accounts.extend(added.accounts);
            facts.permissions.organizations.extend(added.organizations);
            facts.permissions.units.extend(added.units);
            prop_assert!(plan(&facts, &account(), &config, NOW).unwrap().is_empty());
        }
    }
}
