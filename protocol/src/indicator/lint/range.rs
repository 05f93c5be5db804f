//! Addresses that are not on the public Internet, those too that hold one of IPv4.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Why an address must not be published, if it is not public.
pub(super) fn not_public(address: IpAddr) -> Option<&'static str> {
    let public = match address {
        IpAddr::V4(v4) => public_v4(v4),
        IpAddr::V6(v6) => within(v6).map_or_else(|| public_v6(v6), public_v4),
    };
    (!public)
        .then_some("this address is private, local or reserved: blocking it would hit people's own networks")
}

fn public_v4(ip: Ipv4Addr) -> bool {
    let [a, b, ..] = ip.octets();
    let shared = a == 100 && (64..128).contains(&b);
    !(ip.is_private()
        || ip.is_loopback()
        || ip.is_link_local()
        || ip.is_multicast()
        || ip.is_broadcast()
        || ip.is_documentation()
        || a == 0
        || a >= 240
        || shared)
}

fn public_v6(ip: Ipv6Addr) -> bool {
    let [head, next, third, fourth, ..] = ip.segments();
    // What begins with a byte of zeros is nobody's, but for what holds an address of IPv4 (RFC 4291 §2.4).
    !(head < 0x100
        || ip.is_multicast()
        // Unique local, link-local and what was site-local before.
        || head & 0xfe00 == 0xfc00
        || head & 0xff80 == 0xfe80
        // Discard-only (RFC 6666).
        || (head, next, third, fourth) == (0x100, 0, 0, 0)
        // Documentation (RFC 3849, RFC 9637).
        || (head, next) == (0x2001, 0xdb8)
        || head == 0x3fff && next < 0x1000)
}

/// The address of IPv4 that one of IPv6 stands for: mapped or translated (RFC 4291 §2.5.5, RFC 6052 §2.1, RFC 2765 §2.1), or
/// that of a router of 6to4 (RFC 3056 §2).
fn within(ip: Ipv6Addr) -> Option<Ipv4Addr> {
    let [head, high, low, ..] = ip.segments();
    let (high, low) = match ip.segments() {
        [0, 0, 0, 0, 0, 0xffff, high, low]
        | [0, 0, 0, 0, 0xffff, 0, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => (high, low),
        _ if head == 0x2002 => (high, low),
        _ => return None,
    };
    let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
    Some(Ipv4Addr::new(a, b, c, d))
}
