//! The document AWS publishes, ip-ranges.json: reading it, and choosing from it.
//!
//! Source: VPC User Guide, "AWS IP address ranges: JSON syntax".

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::str::Utf8Error;

use ipnet::IpNet;
use serde::{Deserialize, de};

use crate::family::Family;
use crate::service::Service;
use crate::special_purpose::special_purpose;

/// A document is refused where the ranges of a service, joined, cover one network broader than this: AWS's own broadest
/// are a /10 and a /32, and rules for it would open the origin to untrusted addresses.
const MIN_LENGTH_IPV4: u8 = 8;
const MIN_LENGTH_IPV6: u8 = 20;
/// Nor is it used where all services that are requested cover more addresses than this. AMAZON, which has nearly all ranges
/// of the others, covered six /8 and twenty /32 in August 2026.
const MAX_ADDRESSES_IPV4: u128 = 16 << (32 - 8);
const MAX_ADDRESSES_IPV6: u128 = 1 << (128 - 20);
/// How far, in seconds, a document's `syncToken` may be ahead of the clock.
pub const MAX_SECONDS_AHEAD: u64 = 24 * 3_600;

/// Which ranges are requested.
#[derive(Debug, Clone, Copy)]
pub struct Selection<'a> {
    /// Services, each once.
    pub services: &'a [Service],
    /// Address families.
    pub families: &'a [Family],
    /// `region` values of the services that name none of their own; empty means all.
    pub range_regions: &'a [String],
    /// Join adjacent and contained ranges.
    pub aggregate: bool,
}

/// What was chosen from one document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// When the document was made, as seconds since 1970-01-01.
    pub sync_token: u64,
    /// The ranges of each service that was requested, in that order. A service may have none.
    pub services: Vec<(String, BTreeSet<IpNet>)>,
    /// Those of the requested `region` values that none of these ranges has.
    pub regions_not_seen: Vec<RegionNotSeen>,
}

/// A requested `region` that no range of the service has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegionNotSeen {
    /// The service for which it is requested; `None` where it is requested for every service.
    pub service: Option<String>,
    pub region: String,
}

/// Why a document is not used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DocumentError {
    /// Not the JSON that AWS publishes.
    #[error("the document is not ip-ranges.json as AWS publishes it")]
    Malformed(#[source] serde_json::Error),
    /// Not even text.
    #[error("the document is not UTF-8")]
    Encoding(#[from] Utf8Error),
    /// The token that orders documents is not a number.
    #[error("the document's syncToken is {0:?}, expected seconds since 1970-01-01")]
    SyncToken(String),
    /// The token is that of a time to come. Once it was followed, every real document would be older.
    #[error(
        "the document's syncToken is {sync_token}, more than a day after now, {now}: expected the time at which AWS made the document"
    )]
    FromFuture {
        sync_token: u64,
        /// The time of the run, in seconds since 1970-01-01.
        now: u64,
    },
    /// Ranges that lie next to each other cover too much together.
    #[error("the ranges of {service} cover {range}, expected {expected}: nothing that AWS publishes is so broad")]
    TooBroad {
        service: String,
        /// A network that they cover.
        range: IpNet,
        /// How broad one may be.
        expected: &'static str,
    },
    /// All ranges together cover too much.
    #[error("the {family} ranges of {services} cover more than {expected}: nothing that AWS publishes covers so much")]
    TooMuch {
        services: String,
        family: Family,
        /// How much may be covered.
        expected: &'static str,
    },
}

impl Published {
    /// Whether the document can be of this time, `now` in seconds since 1970-01-01.
    ///
    /// # Errors
    ///
    /// [`DocumentError::FromFuture`].
    pub fn check_time(&self, now: u64) -> Result<(), DocumentError> {
        let sync_token = self.sync_token;
        if is_from_future(sync_token, now) { Err(DocumentError::FromFuture { sync_token, now }) } else { Ok(()) }
    }
}

/// Whether no document of this time, `now` in seconds since 1970-01-01, can have the token.
#[must_use]
pub fn is_from_future(sync_token: u64, now: u64) -> bool {
    sync_token > now.saturating_add(MAX_SECONDS_AHEAD)
}

/// Reads the document and keeps what is requested.
///
/// # Errors
///
/// [`DocumentError`]. One range of a selected service that is no network of global unicast addresses, or ranges that cover
/// too much together, refuse the whole document: the rest of it is not to be trusted either.
pub fn read(document: &[u8], selection: Selection<'_>) -> Result<Published, DocumentError> {
    // As text, whose strings need not be checked for UTF-8 one by one.
    let document: Document<'_> = serde_json::from_str(str::from_utf8(document)?).map_err(DocumentError::Malformed)?;
    let Document { sync_token, prefixes, ipv6_prefixes } = document;
    let sync_token = sync_token.parse().map_err(|_| DocumentError::SyncToken(sync_token.into_owned()))?;
    let Selection { services, families, range_regions, aggregate } = selection;
    let mut ranges = vec![Vec::new(); services.len()];
    let mut regions_seen = vec![false; range_regions.len()];
    let mut own_regions_seen = vec![BTreeSet::new(); services.len()];
    let lists = [(Family::Ipv4, prefixes), (Family::Ipv6, ipv6_prefixes)];
    for (family, prefixes) in lists.into_iter().filter(|(family, _)| families.contains(family)) {
        for prefix in prefixes {
            let region = range_regions.iter().position(|region| *region == prefix.region);
            if let Some(region) = region {
                regions_seen[region] = true;
            }
            let Some(index) = services.iter().position(|service| service.name == prefix.service) else { continue };
            let service = &services[index];
            let own_region = service.regions.get(prefix.region.as_ref());
            own_regions_seen[index].extend(own_region);
            let is_in_region = if service.regions.is_empty() {
                range_regions.is_empty() || region.is_some()
            } else {
                own_region.is_some()
            };
            if is_in_region {
                let range =
                    range(&prefix, family).map_err(|fault| DocumentError::Malformed(de::Error::custom(fault)))?;
                ranges[index].push(range);
            }
        }
    }
    let all = IpNet::aggregate(&ranges.concat());
    let mut selected = Vec::new();
    for (service, ranges) in services.iter().zip(ranges) {
        // What would be let in counts, joined or not.
        let joined = IpNet::aggregate(&ranges);
        if let Some((range, expected)) = joined.iter().find_map(|range| Some((*range, too_broad(range)?))) {
            return Err(DocumentError::TooBroad { service: service.name.clone(), range, expected });
        }
        let ranges = if aggregate { joined } else { ranges };
        selected.push((service.name.clone(), ranges.into_iter().collect()));
    }
    if let Some((family, expected)) = too_much(&all) {
        let names: Vec<_> = services.iter().map(|service| service.name.as_str()).collect();
        return Err(DocumentError::TooMuch { services: names.join(", "), family, expected });
    }
    let not_seen = range_regions.iter().zip(regions_seen).filter(|(_, seen)| !seen);
    let not_seen = not_seen.map(|(region, _)| RegionNotSeen { service: None, region: region.clone() });
    let own_not_seen = services.iter().zip(&own_regions_seen).flat_map(|(service, seen)| {
        let not_seen = service.regions.iter().filter(|region| !seen.contains(region));
        not_seen.map(|region| RegionNotSeen { service: Some(service.name.clone()), region: region.clone() })
    });
    Ok(Published { sync_token, services: selected, regions_not_seen: not_seen.chain(own_not_seen).collect() })
}

/// All names of services in the document, with the values of `region` of each. Read only to tell a person which there are.
fn names(document: &[u8]) -> Result<BTreeMap<&str, BTreeSet<&str>>, DocumentError> {
    #[derive(Deserialize)]
    struct Names<'a> {
        #[serde(borrow)]
        prefixes: Vec<Name<'a>>,
        #[serde(borrow)]
        ipv6_prefixes: Vec<Name<'a>>,
    }
    #[derive(Deserialize)]
    struct Name<'a> {
        service: &'a str,
        region: &'a str,
    }
    let names: Names<'_> = serde_json::from_slice(document).map_err(DocumentError::Malformed)?;
    let mut regions_by_service: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for Name { service, region } in names.prefixes.into_iter().chain(names.ipv6_prefixes) {
        regions_by_service.entry(service).or_default().insert(region);
    }
    Ok(regions_by_service)
}

/// The document. Its texts borrow from it unless they hold an escape. A document cut short on its way lacks
/// `ipv6_prefixes`, which is an error: taken as "none", it would remove ranges.
///
/// Hand-written visitors that store only what is requested took 1.66 ms for 2.6 MB, this takes 1.70 ms.
#[derive(Deserialize)]
#[serde(expecting = "an object with syncToken, prefixes and ipv6_prefixes")]
struct Document<'a> {
    #[serde(borrow, rename = "syncToken")]
    sync_token: Cow<'a, str>,
    #[serde(borrow)]
    prefixes: Vec<Prefix<'a>>,
    #[serde(borrow)]
    ipv6_prefixes: Vec<Prefix<'a>>,
}

#[derive(Deserialize)]
struct Prefix<'a> {
    #[serde(borrow, alias = "ipv6_prefix")]
    ip_prefix: Cow<'a, str>,
    #[serde(borrow)]
    region: Cow<'a, str>,
    #[serde(borrow)]
    service: Cow<'a, str>,
}

fn range(prefix: &Prefix<'_>, family: Family) -> Result<IpNet, String> {
    let fault =
        |expected: &str| Err(format!("{} has the prefix {:?}, expected {expected}", prefix.service, prefix.ip_prefix));
    let Ok(range) = prefix.ip_prefix.parse::<IpNet>() else { return fault("a network such as 192.0.2.0/24") };
    if Family::of(&range) != family {
        return fault(&format!("a network of {family}"));
    }
    if let Some(expected) = too_broad(&range) {
        return fault(expected);
    }
    if range.trunc() != range {
        return fault("a network with no host bits set");
    }
    if let Some(block) = special_purpose(&range) {
        return fault(&format!("global unicast addresses only, and not those of {block}"));
    }
    Ok(range)
}

/// How broad a network may be, where this one is broader.
fn too_broad(range: &IpNet) -> Option<&'static str> {
    let (min_length, expected) = match Family::of(range) {
        Family::Ipv4 => (MIN_LENGTH_IPV4, "an IPv4 network of /8 or smaller"),
        Family::Ipv6 => (MIN_LENGTH_IPV6, "an IPv6 network of /20 or smaller"),
    };
    (range.prefix_len() < min_length).then_some(expected)
}

/// The family of which these joined ranges cover too many addresses, and how many they may.
fn too_much(joined: &[IpNet]) -> Option<(Family, &'static str)> {
    Family::BOTH.into_iter().find_map(|family| {
        let (bits, max, expected) = match family {
            Family::Ipv4 => (32, MAX_ADDRESSES_IPV4, "sixteen networks of /8"),
            Family::Ipv6 => (128, MAX_ADDRESSES_IPV6, "a network of /20"),
        };
        let of_family = joined.iter().filter(|range| Family::of(range) == family);
        // Each range is at most a /8 or a /20, so it has fewer addresses than the type holds.
        let sizes = of_family.map(|range| 1_u128 << (bits - u32::from(range.prefix_len())));
        (sizes.fold(0, u128::saturating_add) > max).then_some((family, expected))
    })
}

/// What is wrong with the selection.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SelectionError {
    /// No such service in the document.
    #[error("SERVICE names {service:?}, which AWS does not publish; {hint}")]
    UnknownService {
        /// The name as it was set.
        service: String,
        /// Names that are near, or all.
        hint: String,
    },
    /// No range of the document has this `region`.
    #[error("RANGE_REGIONS names {region:?}, which no range in the document has; nothing was changed; {hint}")]
    UnknownRegion {
        /// The value as it was set.
        region: String,
        /// Values that are near, or all.
        hint: String,
    },
    /// No range of the service has the requested `region`.
    #[error(
        "SERVICE names {service}@{region}, and no range of {service} in the document has this region; nothing was changed for {service}; {hint}"
    )]
    UnknownRegionOfService {
        /// The service's name.
        service: String,
        /// The value as it was set.
        region: String,
        /// Values that are near, or all of the service.
        hint: String,
    },
    /// The service exists, but ADDRESS_FAMILIES and RANGE_REGIONS, or its own Regions, leave none of its ranges.
    #[error(
        "{service} has no range in the document with the families and regions of ADDRESS_FAMILIES and of RANGE_REGIONS or SERVICE; nothing was changed for it"
    )]
    NoRanges {
        /// The service's name.
        service: String,
    },
}

/// Takes from `published` what is not to be acted on, and says why: services without a range, those of which a `region` is
/// requested that they do not have, and all services where a `region` is requested that does not exist.
///
/// An empty answer for a service is far likelier to be a fault than a service with no addresses, so its rules are left
/// alone. A mistyped `region` would remove the ranges of the one that is meant.
///
/// # Errors
///
/// [`DocumentError::Malformed`].
pub fn faults(published: &mut Published, document: &[u8]) -> Result<Vec<SelectionError>, DocumentError> {
    let is_complete = published.regions_not_seen.is_empty();
    if is_complete && published.services.iter().all(|(_, ranges)| !ranges.is_empty()) {
        return Ok(Vec::new());
    }
    let known = names(document)?;
    let regions: BTreeSet<&str> = known.values().flatten().copied().collect();
    let not_seen = std::mem::take(&mut published.regions_not_seen);
    let (of_services, of_all): (Vec<_>, Vec<_>) = not_seen.into_iter().partition(|not_seen| not_seen.service.is_some());
    let unknown =
        of_all.into_iter().map(|not_seen| not_seen.region).filter(|region| !regions.contains(region.as_str()));
    let unknown: Vec<_> =
        unknown.map(|region| SelectionError::UnknownRegion { hint: region_hint(&region, &regions), region }).collect();
    if !unknown.is_empty() {
        published.services.clear();
        return Ok(unknown);
    }
    let mut faults = Vec::new();
    published.services.retain(|(service, ranges)| {
        let before = faults.len();
        match known.get(service.as_str()) {
            None => {
                let names = known.keys().copied().collect();
                let hint = hint("services", service, &service.to_ascii_uppercase(), &names);
                faults.push(SelectionError::UnknownService { service: service.clone(), hint });
            }
            Some(regions) => {
                let own = of_services.iter().filter(|not_seen| not_seen.service.as_deref() == Some(service));
                let unknown = own.map(|not_seen| &not_seen.region).filter(|region| !regions.contains(region.as_str()));
                faults.extend(unknown.map(|region| SelectionError::UnknownRegionOfService {
                    service: service.clone(),
                    region: region.clone(),
                    hint: region_hint(region, regions),
                }));
                if ranges.is_empty() && faults.len() == before {
                    faults.push(SelectionError::NoRanges { service: service.clone() });
                }
            }
        }
        faults.len() == before
    });
    Ok(faults)
}

fn region_hint(region: &str, known: &BTreeSet<&str>) -> String {
    hint("regions", region, &region.to_ascii_lowercase(), known)
}

/// Names like the one that was mistyped, nearest first, and all that there are. `spelled` is the name in the letters
/// that AWS uses.
fn hint(kind: &str, name: &str, spelled: &str, names: &BTreeSet<&str>) -> String {
    let mut near: BTreeMap<usize, Vec<&str>> = BTreeMap::new();
    for known in names {
        let likeness = strsim::jaro_winkler(spelled, known).max(strsim::jaro_winkler(name, known));
        if likeness > 0.8 {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to 200")]
            near.entry(((1.0 - likeness) * 1_000.0) as usize).or_default().push(known);
        }
    }
    let near: Vec<&str> = near.into_values().flatten().take(3).collect();
    let known = names.iter().copied().collect::<Vec<_>>().join(", ");
    if near.is_empty() {
        format!("the known {kind} are {known}")
    } else {
        format!("did you mean {}? The known {kind} are {known}", near.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Read as _;
    use std::path::Path;

    const DOCUMENT: &str = r#"{
      "syncToken": "1786607225", "createDate": "2026-08-13-07-47-05", "future": {"a": [1, null]},
      "prefixes": [
        {"ip_prefix": "3.0.2.0/25", "region": "GLOBAL", "service": "CLOUDFRONT", "network_border_group": "GLOBAL"},
        {"ip_prefix": "3.0.2.128/25", "region": "eu-west-1", "service": "CLOUDFRONT", "network_border_group": "eu-west-1"},
        {"ip_prefix": "3.51.100.0/24", "region": "eu-west-1", "service": "S3", "network_border_group": "eu-west-1"}
      ],
      "ipv6_prefixes": [
        {"ipv6_prefix": "2600:db8::/32", "region": "GLOBAL", "service": "CLOUDFRONT", "network_border_group": "GLOBAL"}
      ]
    }"#;

    fn gunzip(path: &Path) -> Vec<u8> {
        let mut bytes = Vec::new();
        flate2::read::GzDecoder::new(std::fs::File::open(path).unwrap()).read_to_end(&mut bytes).unwrap();
        bytes
    }

    fn select(services: &[&str], families: &[Family], regions: &[&str], aggregate: bool) -> Vec<String> {
        let services: Vec<Service> = services.iter().map(|service| service.parse().unwrap()).collect();
        let range_regions: Vec<String> = regions.iter().map(ToString::to_string).collect();
        let selection = Selection { services: &services, families, range_regions: &range_regions, aggregate };
        let published = read(DOCUMENT.as_bytes(), selection).unwrap();
        published
            .services
            .into_iter()
            .map(|(name, ranges)| {
                let ranges: Vec<String> = ranges.iter().map(ToString::to_string).collect();
                format!("{name}: {}", ranges.join(" "))
            })
            .collect()
    }

    #[test]
    fn ranges_are_chosen_by_service_family_and_region() {
        let both = &Family::BOTH[..];
        assert_eq!(select(&["CLOUDFRONT"], both, &[], true), ["CLOUDFRONT: 3.0.2.0/24 2600:db8::/32"]);
        assert_eq!(select(&["CLOUDFRONT"], both, &[], false), ["CLOUDFRONT: 3.0.2.0/25 3.0.2.128/25 2600:db8::/32"]);
        assert_eq!(select(&["CLOUDFRONT"], &[Family::Ipv6], &[], true), ["CLOUDFRONT: 2600:db8::/32"]);
        assert_eq!(select(&["CLOUDFRONT"], both, &["eu-west-1"], true), ["CLOUDFRONT: 3.0.2.128/25"]);
        assert_eq!(
            select(&["S3", "CLOUDFRONT"], &[Family::Ipv4], &[], true),
            ["S3: 3.51.100.0/24", "CLOUDFRONT: 3.0.2.0/24"]
        );
    }

    #[test]
    fn the_regions_of_one_service_take_the_place_of_those_of_all() {
        let both = &Family::BOTH[..];
        assert_eq!(
            select(&["CLOUDFRONT@eu-west-1", "S3"], both, &[], true),
            ["CLOUDFRONT: 3.0.2.128/25", "S3: 3.51.100.0/24"]
        );
        assert_eq!(
            select(&["CLOUDFRONT@GLOBAL", "S3"], both, &["eu-west-1"], true),
            ["CLOUDFRONT: 3.0.2.0/25 2600:db8::/32", "S3: 3.51.100.0/24"]
        );
        assert_eq!(
            select(&["CLOUDFRONT@eu-west-1@GLOBAL"], both, &["eu-west-1"], true),
            ["CLOUDFRONT: 3.0.2.0/24 2600:db8::/32"]
        );
    }

    #[test]
    fn a_region_that_no_range_of_the_service_has_stops_that_service() {
        let faults = |services: &[&str], families: &[Family]| {
            let services: Vec<Service> = services.iter().map(|service| service.parse().unwrap()).collect();
            let selection = Selection { services: &services, families, range_regions: &[], aggregate: true };
            let mut published = read(DOCUMENT.as_bytes(), selection).unwrap();
            let faults = self::faults(&mut published, DOCUMENT.as_bytes()).unwrap();
            let left: Vec<String> = published.services.into_iter().map(|(service, _)| service).collect();
            (left.join(" "), faults.iter().map(ToString::to_string).collect::<Vec<_>>())
        };
        let unknown = |service: &str, region: &str, hint: &str| {
            format!(
                "SERVICE names {service}@{region}, and no range of {service} in the document has this region; \
                 nothing was changed for {service}; {hint}"
            )
        };
        // GLOBAL exists, but S3 does not have it.
        let hint = "the known regions are eu-west-1";
        assert_eq!(
            faults(&["S3@GLOBAL", "CLOUDFRONT@GLOBAL"], &Family::BOTH),
            ("CLOUDFRONT".to_owned(), vec![unknown("S3", "GLOBAL", hint)])
        );
        // One that is mistyped beside one that is not: the ranges of the one that is meant must not go.
        let hint = "did you mean eu-west-1? The known regions are GLOBAL, eu-west-1";
        assert_eq!(
            faults(&["CLOUDFRONT@GLOBAL@EU-WEST-1"], &Family::BOTH),
            (String::new(), vec![unknown("CLOUDFRONT", "EU-WEST-1", hint)])
        );
        // The Region is known, though not in the family that is requested.
        assert_eq!(faults(&["CLOUDFRONT@GLOBAL@eu-west-1"], &[Family::Ipv6]), ("CLOUDFRONT".to_owned(), vec![]));
        let (left, no_ranges) = faults(&["CLOUDFRONT@eu-west-1", "S3"], &[Family::Ipv6]);
        assert!(left.is_empty() && no_ranges.iter().all(|fault| fault.contains("has no range")), "{no_ranges:?}");
        // A service that does not exist is not told of its Regions.
        let (_, unknown) = faults(&["S4@eu-west-1"], &Family::BOTH);
        assert!(unknown.len() == 1 && unknown[0].starts_with("SERVICE names \"S4\", which AWS"), "{unknown:?}");
    }

    #[test]
    fn a_document_that_is_not_whole_is_refused() {
        let services = ["CLOUDFRONT".parse().unwrap()];
        let selection = Selection { services: &services, families: &Family::BOTH, range_regions: &[], aggregate: true };
        let cases = [
            ("<html>", "expected value"),
            (&DOCUMENT[..DOCUMENT.len() / 2], "EOF"),
            (r#"{"syncToken":"1","prefixes":[]}"#, "missing field `ipv6_prefixes`"),
            (r#"{"syncToken":"1","ipv6_prefixes":[]}"#, "missing field `prefixes`"),
            (r#"{"prefixes":[],"ipv6_prefixes":[]}"#, "missing field `syncToken`"),
            (r#"{"syncToken":"soon","prefixes":[],"ipv6_prefixes":[]}"#, "\"soon\""),
            (&format!("{DOCUMENT}x"), "trailing characters"),
        ];
        for (document, expected) in cases {
            let error = gatehouse_shared::failure::chain(&read(document.as_bytes(), selection).unwrap_err());
            assert!(error.contains(expected), "{document}: {error}");
        }
        let latin_1 = b"{\"syncToken\":\"1\",\"prefixes\":[],\"ipv6_prefixes\":[],\"\xe9\":1}";
        assert!(matches!(read(latin_1, selection), Err(DocumentError::Encoding(_))));
    }

    #[test]
    fn one_bad_range_refuses_the_document() {
        let services = ["X".parse().unwrap()];
        let selection = Selection { services: &services, families: &Family::BOTH, range_regions: &[], aggregate: true };
        for (prefix, expected) in [
            ("0.0.0.0/0", "/8 or smaller"),
            ("2.0.0.0/7", "/8 or smaller"),
            ("3.0.0.1/8", "no host bits"),
            ("10.2.0.0/16", "global unicast addresses only, and not those of 10.0.0.0/8, private use"),
            ("192.0.0.0/16", "not those of 192.0.0.0/24, IETF protocol assignments"),
            ("2600:db8::/32", "a network of ipv4"),
            ("ten", "a network such as"),
        ] {
            let document = format!(
                r#"{{"syncToken":"1","prefixes":[{{"ip_prefix":"{prefix}","region":"GLOBAL","service":"X"}}],"ipv6_prefixes":[]}}"#
            );
            let error = gatehouse_shared::failure::chain(&read(document.as_bytes(), selection).unwrap_err());
            assert!(error.contains(prefix) && error.contains(expected), "{prefix}: {error}");
        }
    }

    /// A document of this service, with these ranges.
    fn document_of(service: &str, ranges: &[IpNet]) -> String {
        let list = |family, field: &str| {
            let of_family = ranges.iter().filter(|range| Family::of(range) == family);
            let entry = |range: &IpNet| format!(r#"{{"{field}":"{range}","region":"GLOBAL","service":"{service}"}}"#);
            of_family.map(entry).collect::<Vec<_>>().join(",")
        };
        let (ipv4, ipv6) = (list(Family::Ipv4, "ip_prefix"), list(Family::Ipv6, "ipv6_prefix"));
        format!(r#"{{"syncToken":"1","prefixes":[{ipv4}],"ipv6_prefixes":[{ipv6}]}}"#)
    }

    fn read_x(ranges: &[IpNet], aggregate: bool) -> Result<Published, DocumentError> {
        let services = ["X".parse().unwrap()];
        let selection = Selection { services: &services, families: &Family::BOTH, range_regions: &[], aggregate };
        read(document_of("X", ranges).as_bytes(), selection)
    }

    #[test]
    fn ranges_that_cover_too_much_together_refuse_the_document() {
        let halves = |range: &str, length: u8| -> Vec<IpNet> {
            range.parse::<IpNet>().unwrap().subnets(length).unwrap().collect()
        };
        for aggregate in [true, false] {
            for (range, length) in [("2.0.0.0/7", 8), ("2.0.0.0/7", 12), ("2600::/19", 20), ("2600::/19", 24)] {
                let error = read_x(&halves(range, length), aggregate).unwrap_err();
                assert!(error.to_string().contains(&format!("the ranges of X cover {range}, expected")), "{error}");
            }
            for (range, length) in [("3.0.0.0/8", 12), ("2600::/20", 24)] {
                assert!(read_x(&halves(range, length), aggregate).is_ok(), "{range}");
            }
        }
    }

    /// Ranges that do not touch, so that nothing joins them.
    #[test]
    fn ranges_that_cover_too_much_in_sum_refuse_the_document() {
        let of = |family, count: usize| -> Vec<IpNet> {
            let (block, length) = match family {
                Family::Ipv4 => ("128.0.0.0/2", 9),
                Family::Ipv6 => ("2800::/5", 24),
            };
            block.parse::<IpNet>().unwrap().subnets(length).unwrap().step_by(2).take(count).collect()
        };
        for aggregate in [true, false] {
            for (family, most) in [(Family::Ipv4, 32), (Family::Ipv6, 16)] {
                assert!(read_x(&of(family, most), aggregate).is_ok(), "{family}");
                let error = read_x(&of(family, most + 1), aggregate).unwrap_err().to_string();
                assert!(error.starts_with(&format!("the {family} ranges of X cover more than ")), "{error}");
            }
        }
        // Services count together, and what two of them share counts once.
        let half = of(Family::Ipv4, 32);
        let services = ["X", "Y"].map(|service| service.parse().unwrap());
        let selection = Selection { services: &services, families: &Family::BOTH, range_regions: &[], aggregate: true };
        let both = |of_y: &str| {
            let of_x = document_of("X", &half);
            let document = of_x.replacen(
                "\"prefixes\":[",
                &format!("\"prefixes\":[{{\"ip_prefix\":\"{of_y}\",\"region\":\"GLOBAL\",\"service\":\"Y\"}},"),
                1,
            );
            read(document.as_bytes(), selection)
        };
        assert!(both(&half[0].to_string()).is_ok());
        let error = both("80.0.0.0/32").unwrap_err().to_string();
        assert!(error.starts_with("the ipv4 ranges of X, Y cover more than sixteen networks of /8: "), "{error}");
    }

    #[test]
    fn a_document_of_a_time_to_come_is_refused() {
        let published = |sync_token| Published { sync_token, services: Vec::new(), regions_not_seen: Vec::new() };
        let now = 1_786_607_225;
        for ahead in [0, 3_601, MAX_SECONDS_AHEAD] {
            assert!(published(now + ahead).check_time(now).is_ok());
        }
        let error = published(now + MAX_SECONDS_AHEAD + 1).check_time(now).unwrap_err();
        assert!(error.to_string().contains("more than a day after now"), "{error}");
        assert!(published(u64::MAX).check_time(u64::MAX).is_ok(), "no overflow");
    }

    #[test]
    fn escapes_are_understood() {
        let services = ["X".parse().unwrap()];
        let selection = Selection { services: &services, families: &Family::BOTH, range_regions: &[], aggregate: true };
        let document = r#"{"syncToken":"1","prefixes":[{"ip_prefix":"3.0.2.0\/24","region":"GLOBAL","service":"X"}],"ipv6_prefixes":[]}"#;
        assert_eq!(read(document.as_bytes(), selection).unwrap().services[0].1.len(), 1);
    }

    #[test]
    fn a_service_without_ranges_is_told_from_one_that_does_not_exist() {
        let services = ["CLOUDFRNT", "S3", "CLOUDFRONT"].map(|service| service.parse().unwrap());
        let selection =
            Selection { services: &services, families: &[Family::Ipv6], range_regions: &[], aggregate: true };
        let mut published = read(DOCUMENT.as_bytes(), selection).unwrap();
        let faults = self::faults(&mut published, DOCUMENT.as_bytes()).unwrap();
        assert_eq!(published.services.len(), 1);
        assert_eq!(
            faults[0].to_string(),
            "SERVICE names \"CLOUDFRNT\", which AWS does not publish; did you mean CLOUDFRONT? The known services are CLOUDFRONT, S3"
        );
        assert_eq!(faults[1], SelectionError::NoRanges { service: "S3".into() });
    }

    #[test]
    fn a_region_that_no_range_has_stops_everything() {
        let services = ["CLOUDFRONT".parse().unwrap()];
        let faults = |families: &[Family], regions: &[&str]| {
            let range_regions: Vec<String> = regions.iter().map(ToString::to_string).collect();
            let selection = Selection { services: &services, families, range_regions: &range_regions, aggregate: true };
            let mut published = read(DOCUMENT.as_bytes(), selection).unwrap();
            let faults = self::faults(&mut published, DOCUMENT.as_bytes()).unwrap();
            (published.services.len(), faults.iter().map(ToString::to_string).collect::<Vec<_>>())
        };
        assert_eq!(faults(&Family::BOTH, &["GLOBAL", "eu-west-1"]), (1, vec![]));
        // IPv4 ranges have it, and are not looked at.
        assert_eq!(faults(&[Family::Ipv6], &["GLOBAL", "eu-west-1"]), (1, vec![]));
        let expected = "RANGE_REGIONS names \"eu-wset-1\", which no range in the document has; nothing was changed; \
                        did you mean eu-west-1? The known regions are GLOBAL, eu-west-1";
        assert_eq!(faults(&Family::BOTH, &["GLOBAL", "eu-wset-1"]), (0, vec![expected.to_owned()]));
    }

    #[test]
    fn real_documents_are_read() {
        let Some(folder) = gatehouse_testkit::real("ip-ranges") else { return };
        let services = ["CLOUDFRONT", "CLOUDFRONT_ORIGIN_FACING"].map(|service| service.parse().unwrap());
        let selection =
            Selection { services: &services, families: &Family::BOTH, range_regions: &[], aggregate: false };
        let count = |name: &str, selection| {
            let document = gunzip(&folder.join(name));
            let published = read(&document, selection).unwrap();
            published
                .services
                .iter()
                .map(|(_, ranges)| {
                    let ipv4 = ranges.iter().filter(|range| Family::of(range) == Family::Ipv4).count();
                    (ipv4, ranges.len() - ipv4)
                })
                .collect::<Vec<_>>()
        };
        assert_eq!(count("2026-08-13-07-47-05.json.gz", selection), [(211, 32), (46, 3)]);
        assert_eq!(count("2026-08-13-07-47-05.json.gz", Selection { aggregate: true, ..selection })[0].0, 180);
    }

    /// What the README says of the bounds.
    #[test]
    fn real_documents_are_far_below_the_bounds_and_grow_fast() {
        let Some(folder) = gatehouse_testkit::real("ip-ranges") else { return };
        let covered = |name: &str, service: &str, family, length: u32| {
            let services = [service.parse().unwrap()];
            let selection = Selection { services: &services, families: &[family], range_regions: &[], aggregate: true };
            let published = read(&gunzip(&folder.join(name)), selection).unwrap();
            let bits = if family == Family::Ipv4 { 32 } else { 128 };
            let sizes = published.services[0].1.iter().map(|range| 1_u128 << (bits - u32::from(range.prefix_len())));
            sizes.sum::<u128>() >> (bits - length)
        };
        assert_eq!(covered("2026-08-13-07-47-05.json.gz", "AMAZON", Family::Ipv4, 8), 6);
        assert_eq!(covered("2026-08-13-07-47-05.json.gz", "AMAZON", Family::Ipv6, 32), 20);
        let [before, after] = ["2025-07-08-23-33-31.json.gz", "2025-10-27-18-28-20.json.gz"]
            .map(|name| covered(name, "CLOUDFRONT_ORIGIN_FACING", Family::Ipv6, 64));
        assert_eq!(after / before, 6);
    }

    /// All services of all real documents: nothing that AWS published is refused.
    #[test]
    fn all_services_of_real_documents_are_read() {
        let Some(folder) = gatehouse_testkit::real("ip-ranges") else { return };
        for entry in std::fs::read_dir(folder).unwrap() {
            let document = gunzip(&entry.unwrap().path());
            let services: Vec<Service> =
                names(&document).unwrap().into_keys().map(|name| name.parse().unwrap()).collect();
            for aggregate in [true, false] {
                let selection =
                    Selection { services: &services, families: &Family::BOTH, range_regions: &[], aggregate };
                let published = read(&document, selection).unwrap();
                assert!(services.len() > 10 && published.services.iter().all(|(_, ranges)| !ranges.is_empty()));
            }
        }
    }

    fn any_range() -> impl Strategy<Value = IpNet> {
        prop_oneof![
            (any::<u32>(), 7u8..=32).prop_map(|(bits, length)| {
                IpNet::new(std::net::Ipv4Addr::from(bits).into(), length).unwrap().trunc()
            }),
            (any::<u128>(), 18u8..=128).prop_map(|(bits, length)| {
                IpNet::new(std::net::Ipv6Addr::from(bits >> 3 | 1 << 125).into(), length).unwrap().trunc()
            }),
            // Close together, so that many can be joined.
            (0u32..16, 8u8..=11).prop_map(|(bits, length)| {
                IpNet::new(std::net::Ipv4Addr::from(0x0200_0000 + (bits << 21)).into(), length).unwrap().trunc()
            }),
        ]
    }

    fn range_strategy() -> impl Strategy<Value = IpNet> {
        prop_oneof![
            (0u32..4096, 20u8..=32).prop_map(|(bits, length)| {
                IpNet::new(std::net::Ipv4Addr::from(0x0a00_0000 + (bits << 4)).into(), length).unwrap().trunc()
            }),
            (0u128..4096, 116u8..=128).prop_map(|(bits, length)| {
                IpNet::new(std::net::Ipv6Addr::from((0x2001_0db8_u128 << 96) + (bits << 4)).into(), length)
                    .unwrap()
                    .trunc()
            }),
        ]
    }

    proptest! {
        /// Aggregation is `ipnet`'s; what matters here is that not one address is gained or lost.
        #[test]
        fn aggregation_keeps_exactly_the_same_addresses(ranges in prop::collection::vec(range_strategy(), 0..40), probes in prop::collection::vec(range_strategy(), 40)) {
            let joined = IpNet::aggregate(&ranges);
            let within = |ranges: &[IpNet], address| ranges.iter().any(|range| range.contains(&address));
            let edges = ranges.iter().flat_map(|range| [range.network(), range.broadcast()]);
            for address in edges.chain(probes.iter().flat_map(|probe| [probe.network(), probe.broadcast()])) {
                prop_assert_eq!(within(&ranges, address), within(&joined, address), "{}", address);
            }
            for (index, range) in joined.iter().enumerate() {
                prop_assert!(joined[index + 1..].iter().all(|other| !range.contains(other) && !other.contains(range)));
            }
        }

        /// Whatever a document holds, no network that its rules let in is broader than the bound, and all is global unicast.
        #[test]
        fn what_is_let_in_is_bounded(ranges in prop::collection::vec(any_range(), 1..20), aggregate: bool) {
            if let Ok(published) = read_x(&ranges, aggregate) {
                let let_in: Vec<IpNet> = published.services[0].1.iter().copied().collect();
                for range in IpNet::aggregate(&let_in) {
                    prop_assert!(range.prefix_len() >= if range.max_prefix_len() == 32 { 8 } else { 20 }, "{}", range);
                    prop_assert_eq!(special_purpose(&range), None);
                }
            }
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let services = ["X".parse().unwrap()];
            let selection = Selection { services: &services, families: &Family::BOTH, range_regions: &[], aggregate: true };
            let error = read(&bytes, selection).unwrap_err();
            prop_assert!(matches!(error, DocumentError::Malformed(_) | DocumentError::Encoding(_)), "{error:?}");
        }
    }
}
