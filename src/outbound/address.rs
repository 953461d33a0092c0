//! Which addresses may be connected to.
//!
//! An address that somebody else chose (the URL of a `webhook` stage) must not lead into the operator's own network:
//! to a metadata service, a database, Longboat itself. A name says nothing about that, because its owner decides what
//! it resolves to, and may decide anew between a check and the connection. So the policy is asked about each address
//! in the moment in which it is connected to, whatever name led there.
//!
//! The ranges are those of IANA's special-purpose registries that are not "globally reachable", and the metadata
//! addresses of clouds that lie outside of them.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// Which addresses may be connected to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AddressPolicy {
    /// Any: the addresses come from the operator's configuration.
    Any,
    /// Only those of the public internet, and what the list lets through besides.
    Public {
        /// What else may be connected to: the operator's own build server, for instance.
        except: Vec<Allowed>,
    },
}

/// Something that is let through although it is not public.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Allowed {
    /// A network, or a single address.
    Network {
        /// Its first address.
        base: IpAddr,
        /// How many leading bits are its own.
        prefix: u8,
    },
    /// A host by its exact name, in lower case: whatever it resolves to.
    Host(String),
}

/// Why a text is not something that can be let through.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is neither a network (`10.1.0.0/16`), nor an address (`10.1.2.3`), nor the name of a host (`build.internal`)"
)]
pub struct AllowedError(pub String);

impl AddressPolicy {
    /// Whether `address` may be connected to under the name `host` (of a literal address: its text).
    pub fn permits(&self, host: &str, address: IpAddr) -> bool {
        match self {
            Self::Any => true,
            Self::Public { except } => is_public(address) || except.iter().any(|allowed| allowed.covers(host, address)),
        }
    }
}

impl Allowed {
    fn covers(&self, host: &str, address: IpAddr) -> bool {
        match self {
            Self::Host(name) => name.eq_ignore_ascii_case(host.trim_end_matches('.')),
            Self::Network { base, prefix } => shares_prefix(*base, unmapped(address), *prefix),
        }
    }
}

impl FromStr for Allowed {
    type Err = AllowedError;

    /// Reads `10.0.0.0/8`, `fd00::/8`, `10.1.2.3`, `::1` or `build.internal`.
    fn from_str(text: &str) -> Result<Self, AllowedError> {
        let refused = || AllowedError(text.chars().take(100).collect());
        let (address, prefix) = text.split_once('/').map_or((text, None), |(address, prefix)| (address, Some(prefix)));
        if let Ok(base) = address.parse::<IpAddr>() {
            let longest = if base.is_ipv4() { 32 } else { 128 };
            let prefix = prefix.map_or(Ok(longest), str::parse::<u8>).map_err(|_| refused())?;
            return if prefix <= longest { Ok(Self::Network { base, prefix }) } else { Err(refused()) };
        }
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        // What ends in a number would be read as an address by some and as a name by others.
        let last = text.rsplit('.').next().unwrap_or_default();
        let named = prefix.is_none()
            && (1..=253).contains(&text.len())
            && text.bytes().all(legal)
            && !last.is_empty()
            && !last.starts_with(|letter: char| letter.is_ascii_digit());
        if named { Ok(Self::Host(text.to_ascii_lowercase())) } else { Err(refused()) }
    }
}

impl fmt::Display for Allowed {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network { base, prefix } => write!(out, "{base}/{prefix}"),
            Self::Host(name) => out.write_str(name),
        }
    }
}

/// Whether an address belongs to the public internet.
fn is_public(address: IpAddr) -> bool {
    match unmapped(address) {
        IpAddr::V4(address) => !NOT_PUBLIC_V4.iter().any(|(base, prefix)| shares_prefix_v4(*base, address, *prefix)),
        IpAddr::V6(address) => {
            // Only 2000::/3 is handed out at all; NAT64 reaches IPv4 addresses through a prefix outside of it.
            match embedded_v4(address) {
                Some(inner) => is_public(IpAddr::V4(inner)),
                None => {
                    shares_prefix_v6(Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), address, 3)
                        && !NOT_PUBLIC_V6.iter().any(|(base, prefix)| shares_prefix_v6(*base, address, *prefix))
                }
            }
        }
    }
}

/// `::ffff:10.0.0.1` is `10.0.0.1` to the system that connects.
fn unmapped(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(inner) => inner.to_ipv4_mapped().map_or(address, IpAddr::V4),
        IpAddr::V4(_) => address,
    }
}

/// The IPv4 address that an address of NAT64 (RFC 6052) or 6to4 (RFC 3056) leads to.
fn embedded_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let parts = address.segments();
    let of = |high: u16, low: u16| {
        let [a, b] = high.to_be_bytes();
        let [c, d] = low.to_be_bytes();
        Ipv4Addr::new(a, b, c, d)
    };
    match parts {
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => Some(of(high, low)),
        [0x2002, high, low, ..] => Some(of(high, low)),
        _ => None,
    }
}

const NOT_PUBLIC_V4: &[(Ipv4Addr, u8)] = &[
    (Ipv4Addr::new(0, 0, 0, 0), 8),        // this network; 0.0.0.0 reaches this machine
    (Ipv4Addr::new(10, 0, 0, 0), 8),       // private
    (Ipv4Addr::new(100, 64, 0, 0), 10),    // behind a carrier's NAT; 100.100.100.200 is a metadata service
    (Ipv4Addr::new(127, 0, 0, 0), 8),      // loopback
    (Ipv4Addr::new(168, 63, 129, 16), 32), // a metadata service
    (Ipv4Addr::new(169, 254, 0, 0), 16),   // link-local; 169.254.169.254 is the metadata service
    (Ipv4Addr::new(172, 16, 0, 0), 12),    // private
    (Ipv4Addr::new(192, 0, 0, 0), 24),     // protocols
    (Ipv4Addr::new(192, 0, 2, 0), 24),     // documentation
    (Ipv4Addr::new(192, 88, 99, 0), 24),   // 6to4 relays
    (Ipv4Addr::new(192, 168, 0, 0), 16),   // private
    (Ipv4Addr::new(198, 18, 0, 0), 15),    // benchmarks
    (Ipv4Addr::new(198, 51, 100, 0), 24),  // documentation
    (Ipv4Addr::new(203, 0, 113, 0), 24),   // documentation
    (Ipv4Addr::new(224, 0, 0, 0), 4),      // multicast
    (Ipv4Addr::new(240, 0, 0, 0), 4),      // reserved, and broadcast
];

const NOT_PUBLIC_V6: &[(Ipv6Addr, u8)] = &[
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23), // protocols: Teredo, benchmarks, ORCHID
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32), // documentation
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20), // documentation
];

fn shares_prefix(base: IpAddr, address: IpAddr, prefix: u8) -> bool {
    match (base, address) {
        (IpAddr::V4(base), IpAddr::V4(address)) => shares_prefix_v4(base, address, prefix),
        (IpAddr::V6(base), IpAddr::V6(address)) => shares_prefix_v6(base, address, prefix),
        _ => false,
    }
}

fn shares_prefix_v4(base: Ipv4Addr, address: Ipv4Addr, prefix: u8) -> bool {
    (base.to_bits() ^ address.to_bits()).leading_zeros() >= u32::from(prefix)
}

fn shares_prefix_v6(base: Ipv6Addr, address: Ipv6Addr, prefix: u8) -> bool {
    (base.to_bits() ^ address.to_bits()).leading_zeros() >= u32::from(prefix)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn public() -> AddressPolicy {
        AddressPolicy::Public { except: Vec::new() }
    }

    #[test]
    fn what_is_not_the_public_internet_is_refused_in_every_spelling() {
        for address in [
            "0.0.0.0",
            "10.0.0.1",
            "100.64.0.1",
            "100.100.100.200",
            "127.0.0.1",
            "127.255.255.254",
            "168.63.129.16",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.170",
            "192.0.2.1",
            "192.168.1.1",
            "198.19.0.1",
            "203.0.113.7",
            "224.0.0.251",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "::127.0.0.1",
            "fe80::1",
            "fc00::1",
            "fd00:ec2::254",
            "fec0::1",
            "ff02::1",
            "64:ff9b::a00:1",
            "64:ff9b:1::1",
            "2002:7f00:1::",
            "2002:a00:1::1",
            "2001::1",
            "2001:db8::1",
            "3fff::1",
            "5f00::1",
            "100::1",
        ] {
            let address: IpAddr = address.parse().expect("an address");
            assert!(!public().permits("evil.example", address), "{address}");
            assert!(AddressPolicy::Any.permits("x", address), "{address}");
        }
        for address in [
            "1.1.1.1",
            "8.8.8.8",
            "100.63.255.255",
            "100.128.0.1",
            "172.15.0.1",
            "172.32.0.1",
            "192.167.0.1",
            "223.255.255.255",
            "168.63.129.17",
            "2606:4700::1111",
            "2a00:1450::1",
            "::ffff:8.8.8.8",
            "64:ff9b::808:808",
        ] {
            let address: IpAddr = address.parse().expect("an address");
            assert!(public().permits("good.example", address), "{address}");
        }
    }

    #[test]
    fn the_list_lets_networks_and_hosts_through() {
        let list = ["10.1.0.0/16", "192.168.7.7", "fd12::/16", "Build.Internal", "127.0.0.1/32"];
        let except = list.iter().map(|text| text.parse().expect("legal")).collect();
        let policy = AddressPolicy::Public { except };
        for (host, address, expected) in [
            ("a", "10.1.2.3", true),
            ("a", "::ffff:10.1.2.3", true),
            ("a", "10.2.0.1", false),
            ("a", "192.168.7.7", true),
            ("a", "192.168.7.8", false),
            ("a", "fd12::9", true),
            ("a", "fd13::9", false),
            ("build.internal", "172.16.0.9", true),
            ("BUILD.internal.", "172.16.0.9", true),
            ("xbuild.internal", "172.16.0.9", false),
            ("a", "127.0.0.1", true),
            ("a", "127.0.0.2", false),
            ("a", "9.9.9.9", true),
        ] {
            assert_eq!(policy.permits(host, address.parse().expect("an address")), expected, "{host} {address}");
        }
    }

    #[test]
    fn what_can_be_let_through_is_read_strictly() {
        for bad in [
            "",
            "10.0.0.0/33",
            "::/129",
            "10.0.0.0/",
            "10.0.0/8",
            "a b",
            "http://x",
            "x/8",
            "1.2.3",
            "a.",
            "10.0.0.1:80",
        ] {
            assert!(bad.parse::<Allowed>().is_err(), "{bad}");
        }
        for good in ["0.0.0.0/0", "10.1.2.3/32", "fd00::/8", "build.internal", "build-1"] {
            assert_eq!(good.parse::<Allowed>().expect("legal").to_string(), good);
        }
        let error = "10/8".parse::<Allowed>().expect_err("refused");
        assert!(error.to_string().starts_with("`10/8` is neither a network"), "{error}");
    }
}
