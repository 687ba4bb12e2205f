//! How many connections may be open, in all and from one address.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex};

use super::listen::Exempt;
use super::lock::lock;

/// Counts open connections over all cores.
#[derive(Debug)]
pub(super) struct Admission {
    total: usize,
    per_address: usize,
    exempt: Exempt,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    total: usize,
    by_block: HashMap<IpAddr, usize>,
}

/// Why a connection is not let in.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Full {
    Total,
    Address,
}

/// One open connection; gives its place back when dropped.
#[derive(Debug)]
pub(super) struct Seat {
    admission: Arc<Admission>,
    block: IpAddr,
}

impl Admission {
    /// `exempt` are networks whose addresses have no bound of their own, such
    /// as a proxy in front of us.
    pub(super) fn new(total: usize, per_address: usize, exempt: Exempt) -> Self {
        Self { total, per_address, exempt, open: Mutex::default() }
    }

    pub(super) fn enter(self: &Arc<Self>, address: IpAddr) -> Result<Seat, Full> {
        let address = address.to_canonical();
        let block = block(address);
        let mut open = lock(&self.open);
        if open.total >= self.total {
            return Err(Full::Total);
        }
        let here = open.by_block.get(&block).copied().unwrap_or_default();
        if here >= self.per_address && !self.exempt.load().iter().any(|network| network.contains(&address)) {
            return Err(Full::Address);
        }
        open.total += 1;
        *open.by_block.entry(block).or_default() += 1;
        Ok(Seat { admission: self.clone(), block })
    }

    pub(super) fn open(&self) -> usize {
        lock(&self.open).total
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut open = lock(&self.admission.open);
        open.total = open.total.saturating_sub(1);
        if let Entry::Occupied(mut here) = open.by_block.entry(self.block) {
            *here.get_mut() -= 1;
            if *here.get() == 0 {
                here.remove();
            }
        }
    }
}

/// What counts as one client: an IPv4 address, or the /64 of an IPv6 address,
/// which is what one subscriber is given.
fn block(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_place_is_free_again_when_its_connection_ends() {
        let admission = Arc::new(Admission::new(2, 1, Exempt::default()));

        let first = admission.enter(address("192.0.2.1")).unwrap();
        let _second = admission.enter(address("192.0.2.2")).unwrap();

        assert_eq!(admission.enter(address("192.0.2.3")).err(), Some(Full::Total));
        drop(first);
        assert!(admission.enter(address("192.0.2.3")).is_ok());
        assert_eq!(admission.open(), 1);
    }

    #[test]
    fn an_ipv6_network_of_64_bits_is_one_client() {
        let admission = Arc::new(Admission::new(9, 1, Exempt::default()));

        let _first = admission.enter(address("2001:db8::1")).unwrap();

        assert_eq!(admission.enter(address("2001:db8::ffff:1")).err(), Some(Full::Address));
        assert!(admission.enter(address("2001:db8:0:1::1")).is_ok());
    }

    #[test]
    fn an_ipv4_address_written_as_ipv6_is_the_same_client() {
        let admission = Arc::new(Admission::new(9, 1, Exempt::default()));

        let _first = admission.enter(address("192.0.2.1")).unwrap();

        assert_eq!(admission.enter(address("::ffff:192.0.2.1")).err(), Some(Full::Address));
        assert!(admission.enter(address("::ffff:192.0.2.2")).is_ok());
    }

    #[test]
    fn an_exempt_network_is_bounded_by_the_total_alone() {
        let exempt = Exempt::default();
        exempt.store(Arc::new(vec!["10.0.0.0/8".parse().unwrap()]));
        let admission = Arc::new(Admission::new(2, 1, exempt));

        let _first = admission.enter(address("10.0.0.1")).unwrap();
        let _second = admission.enter(address("10.0.0.1")).unwrap();

        assert_eq!(admission.enter(address("10.0.0.1")).err(), Some(Full::Total));
    }

    #[test]
    fn whoever_is_exempt_no_more_has_a_bound_from_then_on() {
        let exempt = Exempt::default();
        let admission = Arc::new(Admission::new(9, 1, exempt.clone()));
        let _first = admission.enter(address("10.1.2.3")).unwrap();
        exempt.store(Arc::new(vec!["10.0.0.0/8".parse().unwrap()]));
        let _second = admission.enter(address("10.1.2.3")).unwrap();
        exempt.store(Arc::default());
        assert_eq!(admission.enter(address("10.1.2.3")).err(), Some(Full::Address));
    }
}
