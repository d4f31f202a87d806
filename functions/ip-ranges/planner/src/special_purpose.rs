//! Address blocks that no range of AWS can be in: all that is not global unicast.
//!
//! Sources: IANA IPv4 and IPv6 Special-Purpose Address Registries (RFC 6890), IANA IPv4 Multicast Address Space Registry,
//! IANA IPv6 Address Space Registry. Blocks of the registries that are globally reachable are left out, but those inside a
//! larger block that is not.

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use std::net::{Ipv4Addr, Ipv6Addr};

/// Each block with what it is for.
const IPV4: [(Ipv4Net, &str); 16] = [
    (ipv4([0, 0, 0, 0], 8), "this network"),
    (ipv4([10, 0, 0, 0], 8), "private use"),
    (ipv4([100, 64, 0, 0], 10), "shared address space"),
    (ipv4([127, 0, 0, 0], 8), "loopback"),
    (ipv4([169, 254, 0, 0], 16), "link-local"),
    (ipv4([172, 16, 0, 0], 12), "private use"),
    (ipv4([192, 0, 0, 0], 24), "IETF protocol assignments"),
    (ipv4([192, 0, 2, 0], 24), "documentation"),
    (ipv4([192, 88, 99, 0], 24), "6to4 relay anycast"),
    (ipv4([192, 168, 0, 0], 16), "private use"),
    (ipv4([198, 18, 0, 0], 15), "benchmarking"),
    (ipv4([198, 51, 100, 0], 24), "documentation"),
    (ipv4([203, 0, 113, 0], 24), "documentation"),
    (ipv4([224, 0, 0, 0], 4), "multicast"),
    (ipv4([240, 0, 0, 0], 4), "reserved"),
    (ipv4([255, 255, 255, 255], 32), "limited broadcast"),
];

/// The only IPv6 addresses that are allocated as global unicast. It leaves out `::1`, addresses that stand for IPv4 ones
/// (`::ffff:0:0/96`, `64:ff9b::/96`), unique local, link-local and multicast ones.
const GLOBAL_UNICAST: Ipv6Net = ipv6([0x2000, 0], 3);

/// Blocks in [`GLOBAL_UNICAST`], each with what it is for.
const IPV6: [(Ipv6Net, &str); 4] = [
    (ipv6([0x2001, 0], 23), "IETF protocol assignments, Teredo among them"),
    (ipv6([0x2001, 0x0db8], 32), "documentation"),
    (ipv6([0x2002, 0], 16), "6to4"),
    (ipv6([0x3fff, 0], 20), "documentation"),
];

const fn ipv4([a, b, c, d]: [u8; 4], length: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), length)
}

const fn ipv6([a, b]: [u16; 2], length: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, 0, 0, 0, 0, 0, 0), length)
}

/// What the range holds besides global unicast addresses: a block of the registries that it is in, or that is in it.
pub(crate) fn special_purpose(range: &IpNet) -> Option<String> {
    let overlaps = |block: IpNet| block.contains(range) || range.contains(&block);
    let found = match range {
        IpNet::V4(_) => IPV4.iter().map(|(block, name)| (IpNet::V4(*block), *name)).find(|(block, _)| overlaps(*block)),
        IpNet::V6(range) if !GLOBAL_UNICAST.contains(range) => Some((IpNet::V6(*range), "outside 2000::/3")),
        IpNet::V6(_) => IPV6.iter().map(|(block, name)| (IpNet::V6(*block), *name)).find(|(block, _)| overlaps(*block)),
    };
    found.map(|(block, name)| format!("{block}, {name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(range: &str) -> Option<String> {
        special_purpose(&range.parse().unwrap())
    }

    #[test]
    fn a_range_in_each_block_around_it_or_at_its_edges_is_found() {
        let blocks = [
            "0.0.0.0/8",
            "10.0.0.0/8",
            "100.64.0.0/10",
            "127.0.0.0/8",
            "169.254.0.0/16",
            "172.16.0.0/12",
            "192.0.0.0/24",
            "192.0.2.0/24",
            "192.88.99.0/24",
            "192.168.0.0/16",
            "198.18.0.0/15",
            "198.51.100.0/24",
            "203.0.113.0/24",
            "224.0.0.0/4",
            "240.0.0.0/4",
            "255.255.255.255/32",
            "::/128",
            "::1/128",
            "::ffff:0:0/96",
            "64:ff9b::/96",
            "64:ff9b:1::/48",
            "100::/64",
            "2001::/23",
            "2001::/32",
            "2001:2::/48",
            "2001:db8::/32",
            "2002::/16",
            "3fff::/20",
            "5f00::/16",
            "fc00::/7",
            "fe80::/10",
            "ff00::/8",
            "4000::/3",
        ];
        for block in blocks {
            let net: IpNet = block.parse().unwrap();
            let host = if net.max_prefix_len() == 32 { 32 } else { 128 };
            for inner in [net, IpNet::new(net.network(), host).unwrap(), IpNet::new(net.broadcast(), host).unwrap()] {
                assert!(special_purpose(&inner).is_some(), "{inner}");
            }
            let around = net.supernet().unwrap();
            assert!(special_purpose(&around).is_some(), "{around}");
        }
    }

    #[test]
    fn the_neighbours_of_each_block_are_global() {
        let neighbours = [
            "1.0.0.0/8",
            "9.0.0.0/8",
            "11.0.0.0/8",
            "100.0.0.0/10",
            "100.128.0.0/9",
            "126.0.0.0/8",
            "128.0.0.0/8",
            "169.253.0.0/16",
            "169.255.0.0/16",
            "172.0.0.0/12",
            "172.32.0.0/11",
            "192.0.1.0/24",
            "192.0.3.0/24",
            "192.88.98.0/24",
            "192.88.100.0/24",
            "192.167.0.0/16",
            "192.169.0.0/16",
            "198.16.0.0/15",
            "198.20.0.0/14",
            "198.51.99.0/24",
            "198.51.101.0/24",
            "203.0.112.0/24",
            "203.0.114.0/24",
            "223.0.0.0/8",
            "2001:200::/23",
            "2001:db7::/32",
            "2001:db9::/32",
            "2003::/16",
            "2600::/12",
            "3ffe::/16",
            "3fff:1000::/20",
            "2000::/16",
        ];
        for range in neighbours {
            assert_eq!(found(range), None, "{range}");
        }
        assert_eq!(found("192.0.2.128/25").as_deref(), Some("192.0.2.0/24, documentation"));
        assert_eq!(found("::ffff:3.0.0.0/104").as_deref(), Some("::ffff:3.0.0.0/104, outside 2000::/3"));
    }
}
