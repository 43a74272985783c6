//! Networks of both versions of IP. An IPv4 address written as IPv6 (`::ffff:10.0.0.1`) is the IPv4 address.

use std::fmt;
use std::net::IpAddr;

/// A network, or a single address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Network {
    address: IpAddr,
    prefix: u32,
}

impl Network {
    /// `10.0.0.0/8`, `2001:db8::/32`, or an address alone. Bits behind the prefix are passed over.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (address, prefix) =
            text.split_once('/').map_or((text, None), |(address, prefix)| (address, Some(prefix)));
        let written: IpAddr = address.parse().ok()?;
        let address = written.to_canonical();
        let bits = bits(address);
        let prefix = match prefix {
            None => bits,
            Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => {
                let prefix: u32 = digits.parse().ok()?;
                // A mapped address counts the 96 bits before it; a prefix among them is no IPv4 network.
                let mapped = written.is_ipv6() && address.is_ipv4();
                if mapped { prefix.checked_sub(96)? } else { prefix }
            }
            Some(_) => return None,
        };
        (prefix <= bits).then_some(Self { address, prefix })
    }

    pub(crate) fn has(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        // A prefix of 0 shifts everything out, which the checked shift says by `None`.
        let differing = number(self.address) ^ number(address);
        let rest = bits(self.address).saturating_sub(self.prefix);
        self.address.is_ipv4() == address.is_ipv4() && differing.checked_shr(rest).unwrap_or(0) == 0
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

const fn bits(address: IpAddr) -> u32 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => v4.to_bits().into(),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edges_of_networks() {
        let cases = [
            ("10.0.0.0/8", "10.255.255.255", true),
            ("10.0.0.0/8", "11.0.0.0", false),
            ("10.1.2.3/8", "10.9.9.9", true),
            ("0.0.0.0/0", "255.255.255.255", true),
            ("0.0.0.0/0", "::1", false),
            ("::/0", "ffff::", true),
            ("::/0", "1.2.3.4", false),
            ("192.168.1.7", "192.168.1.7", true),
            ("192.168.1.7", "192.168.1.6", false),
            ("192.168.1.6/31", "192.168.1.7", true),
            ("2001:db8::/32", "2001:db8:ffff::1", true),
            ("2001:db8::/32", "2001:db9::", false),
            ("::1/128", "::1", true),
            ("10.0.0.0/8", "::ffff:10.1.1.1", true),
            ("::ffff:10.0.0.0/104", "10.1.1.1", true),
            ("::ffff:10.0.0.0/104", "11.1.1.1", false),
        ];
        for (network, address, held) in cases {
            let parsed = Network::parse(network).unwrap();
            assert_eq!(parsed.has(address.parse().unwrap()), held, "{address} in {network}");
        }
    }

    #[test]
    fn what_is_no_network() {
        for bad in [
            "",
            "/",
            "10.0.0.0/",
            "10.0.0.0/33",
            "::/129",
            "10.0.0/8",
            "10.0.0.0/+8",
            "10.0.0.0/-1",
            "010.0.0.1",
            "fe80::1%eth0",
            "::ffff:10.0.0.0/95",
            "10.0.0.0/8/8",
            " 10.0.0.1",
            "10.0.0.0/99999999999",
        ] {
            assert_eq!(Network::parse(bad), None, "{bad}");
        }
    }
}
