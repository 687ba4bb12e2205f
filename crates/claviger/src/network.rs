//! Networks in CIDR notation (RFC 4632, RFC 4291) and the address a request really came from.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use ipnet::IpNet;

/// A list of networks. An empty list contains no address.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Networks(Box<[IpNet]>);

impl Networks {
    /// From networks already read.
    pub fn new(networks: Vec<Network>) -> Self {
        Self(networks.into_iter().map(|network| network.0).collect())
    }

    /// Whether `address` is in one of them. An IPv4 address that came in mapped into IPv6 counts as IPv4, or a
    /// dual-stack listener would make every IPv4 entry one that never matches.
    pub fn contain(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }

    /// Whether each of these is within one of `others`.
    pub fn within(&self, others: &Networks) -> bool {
        self.0.iter().all(|network| others.0.iter().any(|other| other.contains(network)))
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Each network in its canonical spelling.
    pub fn iter(&self) -> impl Iterator<Item = String> {
        self.0.iter().map(ToString::to_string)
    }
}

/// One network, `10.0.0.0/8` or a single address. Bits behind the prefix must be zero, so that `10.1.2.3/8`,
/// which rarely means what it says, is refused rather than guessed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network(IpNet);

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let network = match text.parse::<IpAddr>() {
            Ok(address) => IpNet::from(address),
            Err(_) => text.parse::<IpNet>().map_err(|_| {
                format!("`{text}` is not a network such as `10.0.0.0/8`, `2001:db8::/32` or `192.0.2.7`")
            })?,
        };
        if network.trunc() != network {
            return Err(format!("`{text}` has bits behind its prefix; `{}` contains it", network.trunc()));
        }
        if matches!(network, IpNet::V6(v6) if v6.addr().to_ipv4_mapped().is_some()) {
            return Err(format!("`{text}` is an IPv4 network in IPv6 clothes; write it as IPv4"));
        }
        Ok(Self(network))
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Where a request came from, trusted proxies looked through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Client {
    /// This address.
    At(IpAddr),
    /// A trusted proxy, which named it in a way that is no address: not to be taken for the proxy itself.
    UnknownBehind(IpAddr),
}

impl Client {
    /// The address, where it is known.
    pub fn address(self) -> Option<IpAddr> {
        match self {
            Self::At(address) => Some(address),
            Self::UnknownBehind(_) => None,
        }
    }

    /// What is counted together with it: its [block](client_block), or that of the proxy it is behind.
    pub fn block(self) -> IpAddr {
        match self {
            Self::At(address) | Self::UnknownBehind(address) => client_block(address),
        }
    }
}

impl From<IpAddr> for Client {
    fn from(address: IpAddr) -> Self {
        Self::At(address)
    }
}

/// The address, or `unknown` (RFC 7239, section 6.2).
impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::At(address) => address.fmt(f),
            Self::UnknownBehind(_) => f.write_str("unknown"),
        }
    }
}

/// The address a request is from: the peer's, or, where the peer is a trusted proxy, the right-most address in
/// `X-Forwarded-For` that is not a trusted proxy's too.
///
/// `forwarded` is the header's values in the order they came. Read from the right, because everything left of
/// the last trusted proxy's entry is the client's own claim. An entry that is no address ends the walk: the client
/// is unknown, and not the proxy that wrote it.
pub fn client_address<'a>(
    peer: IpAddr,
    forwarded: impl DoubleEndedIterator<Item = &'a str>,
    trusted: &Networks,
) -> Client {
    let mut client = peer.to_canonical();
    let entries = forwarded.rev().flat_map(|value| value.rsplit(',')).map(str::trim);
    // A list may have empty elements, which say nothing (RFC 9110, section 5.6.1.2).
    for entry in entries.filter(|entry| !entry.is_empty()) {
        if !trusted.contain(client) {
            break;
        }
        match forwarded_address(entry) {
            Some(address) => client = address.to_canonical(),
            None => return Client::UnknownBehind(client),
        }
    }
    Client::At(client)
}

/// An entry of `X-Forwarded-For`: an address, IPv6 perhaps in brackets, and perhaps a port behind it, as some
/// gateways write it.
fn forwarded_address(entry: &str) -> Option<IpAddr> {
    let bare = || entry.strip_prefix('[')?.strip_suffix(']')?.parse().ok().map(IpAddr::V6);
    let with_port = || entry.parse::<std::net::SocketAddr>().ok().map(|socket| socket.ip());
    entry.parse().ok().or_else(with_port).or_else(bare)
}

/// What counts as one client: an IPv4 address, or an IPv6 /64, which one customer of a provider gets whole.
pub fn client_block(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(v4) => IpAddr::V4(v4),
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn networks(list: &[&str]) -> Networks {
        Networks::new(list.iter().map(|text| text.parse().unwrap()).collect())
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn networks_are_within_others_one_by_one() {
        let networks = |list: &[&str]| Networks::new(list.iter().map(|text| text.parse().unwrap()).collect());
        let ours = networks(&["10.0.0.0/8", "2001:db8::/32"]);
        for within in [&["10.1.0.0/16", "2001:db8:1::/48"][..], &["10.0.0.0/8"], &["10.9.8.7"], &[]] {
            assert!(networks(within).within(&ours), "{within:?}");
        }
        for beyond in [&["10.1.0.0/16", "192.0.2.0/24"][..], &["0.0.0.0/0"], &["::/0"], &["8.0.0.0/6"]] {
            assert!(!networks(beyond).within(&ours), "{beyond:?}");
        }
        assert!(!ours.within(&networks(&[])));
    }

    #[test]
    fn trap_cidr_that_never_matches() {
        let list = networks(&["10.0.0.0/8", "192.0.2.7", "2001:db8::/32"]);
        for inside in ["10.255.1.2", "::ffff:10.1.1.1", "192.0.2.7", "2001:db8:1::5"] {
            assert!(list.contain(address(inside)), "{inside}");
        }
        for outside in ["11.0.0.1", "192.0.2.8", "2001:db9::1", "::1"] {
            assert!(!list.contain(address(outside)), "{outside}");
        }
        for bad in ["10.1.2.3/8", "10.0.0.0/33", "office", "", "::ffff:10.0.0.0/104"] {
            assert!(bad.parse::<Network>().is_err(), "{bad}");
        }
    }

    #[test]
    fn trap_left_most_xff_trusted() {
        let trusted = networks(&["10.0.0.0/8"]);
        let client = |peer, lines: &[&'static str]| {
            client_address(address(peer), lines.iter().copied(), &trusted).address()
        };
        let address = |text| Some(address(text));
        // The client wrote 1.1.1.1 itself; the proxy at 10.0.0.1 added 203.0.113.9.
        assert_eq!(client("10.0.0.1", &["1.1.1.1, 203.0.113.9"]), address("203.0.113.9"));
        assert_eq!(client("10.0.0.1", &["1.1.1.1", "203.0.113.9, 10.0.0.2"]), address("203.0.113.9"));
        // Nobody we know: the header is the peer's own claim.
        assert_eq!(client("198.51.100.1", &["10.0.0.9"]), address("198.51.100.1"));
        assert_eq!(client("10.0.0.1", &[]), address("10.0.0.1"));
        assert_eq!(client("::ffff:10.0.0.1", &["203.0.113.9"]), address("203.0.113.9"));
    }

    #[test]
    fn core_06_x01_an_entry_with_a_port_is_read_and_one_that_is_no_address_is_nobodys() {
        let trusted = networks(&["10.0.0.0/8", "2001:db8:f::/48"]);
        let client = |line: &'static str| client_address(address("10.0.0.1"), [line].into_iter(), &trusted);
        for (line, expected) in [
            ("203.0.113.9:51234", "203.0.113.9"),
            ("1.1.1.1:80, 203.0.113.9:51234", "203.0.113.9"),
            ("203.0.113.9:51234, 10.0.0.2:443", "203.0.113.9"),
            ("[2001:db8::1]:51234", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("2001:db8::1, [2001:db8:f::2]:1", "2001:db8::1"),
            ("::ffff:203.0.113.9", "203.0.113.9"),
            ("[::ffff:203.0.113.9]:80", "203.0.113.9"),
            ("203.0.113.9, , ", "203.0.113.9"),
            ("", "10.0.0.1"),
        ] {
            assert_eq!(client(line), Client::At(address(expected)), "{line}");
        }
        for line in [
            "unknown",
            "203.0.113.9, unknown",
            "_hidden",
            "203.0.113.9:",
            "203.0.113.9:port",
            "203.0.113.9:99999",
            "203.0.113.009",
            "[203.0.113.9]",
            "2001:db8::1]",
            "203.0.113.9/32",
            "\"203.0.113.9\"",
        ] {
            assert_eq!(client(line), Client::UnknownBehind(address("10.0.0.1")), "{line}");
        }
        let behind_two = client("unknown, 10.0.0.2:443");
        assert_eq!((behind_two.address(), behind_two.block()), (None, address("10.0.0.2")));
        assert_eq!(behind_two.to_string(), "unknown");
        let client_of_its_own =
            |line: &'static str| client_address(address("198.51.100.1"), [line].into_iter(), &trusted);
        assert_eq!(client_of_its_own("unknown"), Client::At(address("198.51.100.1")));
    }

    #[test]
    fn an_ipv6_client_is_its_whole_64() {
        assert_eq!(client_block(address("2001:db8:1:2:3:4:5:6")), address("2001:db8:1:2::"));
        assert_eq!(client_block(address("::ffff:192.0.2.1")), address("192.0.2.1"));
    }
}
