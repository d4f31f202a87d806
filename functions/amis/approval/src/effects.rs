//! What is done with an approved image besides sharing it.

use std::fmt;
use std::str::FromStr;

use gatehouse_shared::env::Reader;

use crate::watermark::Watermark;

/// Settings that are approved together with the image: the execution records them, and `ami-share` refuses to do anything else.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Effects {
    /// `SHARE_SNAPSHOTS`: also let the target accounts make volumes and copies from the snapshots. Snapshots cannot be
    /// shared with organizations or organizational units.
    pub share_snapshots: bool,
    /// `APPROVED_WATERMARK`: the AMI watermark that is attached before an image is shared.
    pub watermark: Option<Watermark>,
    /// `LATEST_PARAMETER`: the parameter that names the newest shared image in each Region; may hold `{name}`.
    pub latest_parameter: Option<LatestParameter>,
    /// `DEPRECATE_PREVIOUS_AFTER_DAYS`: deprecate the image that the parameter named before, after so many days.
    pub deprecate_previous_after_days: Option<i64>,
}

impl Effects {
    /// Reads the settings.
    #[must_use]
    pub fn from_env(env: &Reader<'_>) -> Self {
        let deprecate_previous_after_days = env.within("DEPRECATE_PREVIOUS_AFTER_DAYS", 0..=3_650);
        if let (Some(days), None) = (deprecate_previous_after_days, env.text("LATEST_PARAMETER")) {
            let reason = "expected LATEST_PARAMETER as well, which tells the previous image";
            env.fault("DEPRECATE_PREVIOUS_AFTER_DAYS", &days.to_string(), reason);
        }
        Self {
            share_snapshots: env.flag("SHARE_SNAPSHOTS", false),
            watermark: env.parsed("APPROVED_WATERMARK"),
            latest_parameter: env.parsed("LATEST_PARAMETER"),
            deprecate_previous_after_days,
        }
    }

    /// The parameter `effects` of an Automation execution. It is never empty, as Systems Manager refuses an empty list.
    #[must_use]
    pub fn to_values(&self) -> Vec<String> {
        let Self { share_snapshots, watermark, latest_parameter, deprecate_previous_after_days } = self;
        let mut values = vec![format!("snapshots={share_snapshots}")];
        values.extend(watermark.as_ref().map(|name| format!("watermark={name}")));
        values.extend(latest_parameter.as_ref().map(|name| format!("latest={name}")));
        values.extend(deprecate_previous_after_days.map(|days| format!("deprecate={days}")));
        values
    }

    /// Reads what [`Effects::to_values`] made; `None` where anything else is in it.
    ///
    /// ```
    /// use ami_approval::effects::Effects;
    ///
    /// let values = ["snapshots=true", "watermark=approved"].map(str::to_owned);
    /// let effects = Effects::from_values(&values).unwrap();
    /// assert_eq!((effects.share_snapshots, effects.to_values()), (true, values.to_vec()));
    /// assert!(Effects::from_values(&["public=true".to_owned()]).is_none());
    /// ```
    #[must_use]
    pub fn from_values(values: &[String]) -> Option<Self> {
        let mut effects = Self::default();
        for value in values {
            match value.split_once('=')? {
                ("snapshots", shared) => effects.share_snapshots = shared.parse().ok()?,
                ("watermark", name) => effects.watermark = Some(name.parse().ok()?),
                ("latest", name) => effects.latest_parameter = Some(name.parse().ok()?),
                ("deprecate", days) => effects.deprecate_previous_after_days = Some(days.parse().ok()?),
                _ => return None,
            }
        }
        // A value that is missing, written twice or in another way is not ours.
        (effects.to_values() == values).then_some(effects)
    }

    /// Each effect, for people: what it concerns, and what is done.
    #[must_use]
    pub fn described(&self) -> Vec<(&'static str, String)> {
        let Self { share_snapshots, watermark, latest_parameter, deprecate_previous_after_days } = self;
        let snapshots = share_snapshots.then(|| "shared with the accounts".to_owned());
        let previous = deprecate_previous_after_days.map(|days| match days {
            0 => "deprecated at once".to_owned(),
            1 => "deprecated after 1 day".to_owned(),
            days => format!("deprecated after {days} days"),
        });
        [
            ("Snapshots", snapshots),
            ("Watermark", watermark.as_ref().map(ToString::to_string)),
            ("Parameter of the latest image", latest_parameter.as_ref().map(ToString::to_string)),
            ("Image that the parameter names now", previous),
        ]
        .into_iter()
        .filter_map(|(what, effect)| Some((what, effect?)))
        .collect()
    }
}

/// The name of a parameter, in which `{name}` stands for the name of the image.
///
/// ```
/// use ami_approval::effects::LatestParameter;
///
/// let parameter: LatestParameter = "/golden-ami/{name}/latest".parse().unwrap();
/// assert_eq!(parameter.of("web"), "/golden-ami/web/latest");
/// assert!("/aws/golden".parse::<LatestParameter>().is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LatestParameter(String);

impl LatestParameter {
    /// The name for an image.
    #[must_use]
    pub fn of(&self, image_name: &str) -> String {
        self.0.replace("{name}", image_name)
    }

    /// Whether the name depends on the image.
    #[must_use]
    pub fn needs_name(&self) -> bool {
        self.0.contains("{name}")
    }
}

impl fmt::Display for LatestParameter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for LatestParameter {
    type Err = &'static str;

    /// As the template takes it, and so short that the name of an image and the start of a value of an execution fit beside it.
    ///
    /// Source: Systems Manager API Reference, `PutParameter`: at most 15 levels, none of them empty, and no name that begins
    /// with `aws` or `ssm`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let name = text.replace("{name}", "x");
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
        let is_level = |level: &str| !level.is_empty() && level.bytes().all(is_allowed);
        let levels = name.strip_prefix('/').map(|path| path.split('/').collect::<Vec<_>>()).unwrap_or_default();
        let is_reserved = |start: &str| text.get(1..=3).is_some_and(|given| given.eq_ignore_ascii_case(start));
        let is_name = (1..=15).contains(&levels.len()) && levels.iter().all(|level| is_level(level));
        if is_name && text.len() <= 500 && !is_reserved("aws") && !is_reserved("ssm") {
            Ok(Self(text.to_owned()))
        } else {
            Err("expected the name of a parameter, such as /golden-ami/{name}/latest")
        }
    }
}

#[cfg(test)]
mod tests {
    use gatehouse_shared::env::Env;

    use super::*;
    use crate::target::MAX_VALUE;

    fn effects(table: &[(&str, &str)]) -> Effects {
        Env::of_table(table).read(|env| Some(Effects::from_env(env))).unwrap()
    }

    const ALL: [(&str, &str); 4] = [
        ("SHARE_SNAPSHOTS", "true"),
        ("APPROVED_WATERMARK", "approved [2026]"),
        ("LATEST_PARAMETER", "/golden-ami/{name}/latest"),
        ("DEPRECATE_PREVIOUS_AFTER_DAYS", "30"),
    ];

    #[test]
    fn the_record_of_the_effects_is_read_back_and_nothing_else_is() {
        for table in [&ALL[..], &ALL[..1], &ALL[1..2], &ALL[2..], &[]] {
            let effects = effects(table);
            assert_eq!(Effects::from_values(&effects.to_values()), Some(effects));
        }
        assert_eq!(effects(&[]).to_values(), ["snapshots=false"]);
        let of = |values: &[&str]| Effects::from_values(&values.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>());
        for values in [
            &[][..],
            &[""],
            &["snapshots"],
            &["snapshots=yes"],
            &["watermark=approved"],
            &["snapshots=true", "snapshots=false"],
            &["snapshots=true", "latest=/aws/x"],
            &["snapshots=true", "deprecate=030"],
            &["snapshots=true", "group=all"],
        ] {
            assert_eq!(of(values), None, "{values:?}");
        }
    }

    #[test]
    fn people_read_what_is_done_and_nothing_where_nothing_is() {
        assert_eq!(effects(&[]).described(), []);
        let described = effects(&ALL).described();
        let lines: Vec<String> = described.iter().map(|(what, effect)| format!("{what}: {effect}")).collect();
        assert_eq!(
            lines,
            [
                "Snapshots: shared with the accounts",
                "Watermark: approved [2026]",
                "Parameter of the latest image: /golden-ami/{name}/latest",
                "Image that the parameter names now: deprecated after 30 days",
            ]
        );
    }

    #[test]
    fn the_longest_settings_fit_into_an_execution() {
        let latest = format!("/{}", "x".repeat(499));
        let watermark = "x".repeat(128);
        let longest = [("APPROVED_WATERMARK", watermark.as_str()), ("LATEST_PARAMETER", latest.as_str())];
        assert!(effects(&longest).to_values().iter().all(|value| value.len() <= MAX_VALUE));
    }

    #[test]
    fn a_deprecation_needs_the_parameter_that_tells_the_previous_image() {
        let env = Env::of_table(&ALL[3..]);
        let fault = env.read(|env| Some(Effects::from_env(env))).unwrap_err().to_string();
        assert!(fault.contains("expected LATEST_PARAMETER as well"), "{fault}");
    }

    #[test]
    fn a_name_is_what_systems_manager_accepts() {
        for text in ["/golden", "/golden-ami/{name}/latest", "/a_b.c/{name}-{name}", "/{name}"] {
            assert!(text.parse::<LatestParameter>().is_ok(), "{text}");
        }
        for text in [
            "",
            "/",
            "golden",
            "/golden/",
            "/golden//latest",
            "/golden-ami/{region}",
            "/golden ami",
            "/aws/x",
            "/SSM-x",
            "/{name}:3",
            &"/a".repeat(16),
            &format!("/{}", "a".repeat(500)),
        ] {
            assert!(text.parse::<LatestParameter>().is_err(), "{text}");
        }
    }
}
