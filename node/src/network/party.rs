//! Who is behind an address, as far as a limit for one must count them together.

use std::net::IpAddr;

/// What one party can be expected to hold: an IPv4 address, or the first half of an IPv6 one.
pub(crate) fn party(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let half = u128::from(address) & !u128::from(u64::MAX);
            IpAddr::V6(half.into())
        }
        address @ IpAddr::V4(_) => address,
    }
}
