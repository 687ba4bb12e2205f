//! what a client and the proxies before us say of where a request came from, and what it may not say at all.

use std::net::{IpAddr, SocketAddr};

use crate::spelt;
use bolero::check;
use claviger::network::{Client, Networks, client_address};
use claviger::protected::Protected;
use claviger::testing::{api, synq};
use http::{HeaderMap, HeaderName, Method};

const WORDS: [&str; 17] = [
    "10.0.0.1",
    "10.0.0.2",
    "203.0.113.9",
    "198.51.100.7",
    "2001:db8::1",
    "[2001:db8::1]",
    ":443",
    ":51234",
    ", ",
    ",",
    "::ffff:10.0.0.1",
    "unknown",
    "10.0.0.9",
    "[",
    "]",
    "::ffff:203.0.113.9",
    "\u{e9}",
];

fn trusted() -> Networks {
    Networks::new(vec!["10.0.0.0/29".parse().unwrap()])
}

fn is_trusted(address: IpAddr) -> bool {
    matches!(address.to_canonical(), IpAddr::V4(v4) if v4.octets()[..3] == [10, 0, 0] && v4.octets()[3] < 8)
}

/// An entry as the standard library reads it, which knows addresses, and addresses with a port.
fn read(entry: &str) -> Option<IpAddr> {
    let bracketed = entry.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let v6 = bracketed.and_then(|inner| inner.parse::<std::net::Ipv6Addr>().ok()).map(IpAddr::from);
    entry.parse().ok().or_else(|| entry.parse().ok().map(|at: SocketAddr| at.ip())).or(v6)
}

#[test]
fn target() {
    let own = Protected::new(&api(synq()), []);
    check!().for_each(|bytes: &[u8]| {
        let Some((mode, bytes)) = bytes.split_first() else { return };
        let text = spelt(bytes, &WORDS);
        let peer: IpAddr = if mode & 1 == 0 { "10.0.0.1" } else { "198.51.100.1" }.parse().unwrap();
        let values: Vec<&str> = text.split('\n').collect();
        let client = client_address(peer, values.iter().copied(), &trusted());

        // The trail, the peer last: whoever wrote an entry stands to the right of it.
        let entries: Vec<&str> = values
            .iter()
            .flat_map(|value| value.split(','))
            .map(str::trim)
            .filter(|entry| !entry.is_empty())
            .collect();
        let trail: Vec<Option<IpAddr>> =
            entries.iter().map(|entry| read(entry)).chain([Some(peer)]).collect();
        // Everybody from some place on is a proxy of ours; the one before is the client.
        let proxies = trail.iter().rev().take_while(|one| one.is_some_and(is_trusted)).count();
        let expected = match trail.len().checked_sub(proxies + 1).and_then(|at| trail.get(at)) {
            Some(Some(address)) => Client::At(address.to_canonical()),
            Some(None) => {
                let last = trail.get(trail.len() - proxies).copied().flatten().unwrap();
                Client::UnknownBehind(last.to_canonical())
            }
            None => Client::At(trail.first().copied().flatten().unwrap().to_canonical()),
        };
        assert_eq!(client, expected, "{values:?}");

        // Whatever a name looks like: what is like a name of ours once it is spelt plainly does not pass.
        let mut headers = HeaderMap::new();
        for line in &values {
            if let Ok(name) = HeaderName::from_bytes(line.as_bytes()) {
                headers.append(name, "get".parse().unwrap());
            }
        }
        own.remove_from(&Method::GET, &mut headers).unwrap();
        for name in headers.keys() {
            let plain: String =
                name.as_str().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
            let ours = ["x-tenant-id", "x-org-id", "forwarded", "x-real-ip", "x-request-id", "authorization"];
            assert!(
                !ours.contains(&plain.as_str())
                    && !plain.starts_with("x-claviger-")
                    && !plain.starts_with("x-forwarded-"),
                "{name}"
            );
        }
    });
}
