//! Where a client calls from, behind reverse proxies that are trusted.
//!
//! Each proxy adds the address that it sees to the end of a list, so the list is read from its
//! end. What stands before the nearest untrusted address is the client's own claim.

use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, HeaderName, header};

static FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The client's address: the nearest that is not a trusted proxy's.
///
/// Headers of a peer that is none are its own claims. Where a trusted peer's headers cannot be
/// read, or `Forwarded` and `X-Forwarded-For` name different clients, it is the peer's own
/// address: a client gains nothing by making them so.
pub fn client_address(peer: IpAddr, headers: &HeaderMap, is_trusted: impl Fn(IpAddr) -> bool) -> IpAddr {
    let peer = peer.to_canonical();
    if !is_trusted(peer) {
        return peer;
    }
    let by_one = list(headers, &FORWARDED_FOR).map(|texts| nearest(&texts, address, &is_trusted));
    let by_other = list(headers, &header::FORWARDED).map(|texts| nearest(&texts, forwarded, &is_trusted));
    match (by_one, by_other) {
        (Some(Some(client)), None) | (None, Some(Some(client))) => client,
        (Some(Some(one)), Some(Some(other))) if one == other => one,
        _ => peer,
    }
}

/// The items of a header that is a list, over all lines of that name; `None` without the header.
fn list<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<Vec<&'a str>> {
    let lines = headers.get_all(name);
    lines.iter().next()?;
    // An unreadable line is an item that is no address.
    Some(lines.iter().flat_map(|line| line.to_str().unwrap_or_default().split(',')).map(str::trim).collect())
}

/// The last address that is not trusted, or the first of all; `None` if one on the way is none.
fn nearest(items: &[&str], read: fn(&str) -> Option<IpAddr>, is_trusted: impl Fn(IpAddr) -> bool) -> Option<IpAddr> {
    let mut farthest = None;
    for item in items.iter().rev() {
        let address = read(item)?;
        farthest = Some(address);
        if !is_trusted(address) {
            break;
        }
    }
    farthest
}

/// An address, perhaps with a port: `10.0.0.7`, `10.0.0.7:80`, `2001:db8::1`, `[2001:db8::1]:80`.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let ip = bare.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()));
    ip.map(|ip: IpAddr| ip.to_canonical())
}

/// The `for` of an element of `Forwarded` (RFC 7239): `for="[2001:db8::1]:80";proto=https`.
fn forwarded(element: &str) -> Option<IpAddr> {
    let mut parts = element.split(';').filter_map(|part| part.trim().split_once('='));
    let (_, value) = parts.find(|(name, _)| name.eq_ignore_ascii_case("for"))?;
    address(value.trim_matches('"'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROXY: &str = "10.0.0.7";

    fn client(peer: &str, lines: &[(&str, &[u8])]) -> String {
        let name = |name: &str| HeaderName::from_bytes(name.as_bytes()).unwrap();
        let value = |value: &[u8]| http::HeaderValue::from_bytes(value).unwrap();
        let mut headers = HeaderMap::new();
        for (line, text) in lines {
            headers.append(name(line), value(text));
        }
        let is_trusted = |ip: IpAddr| ip.to_string().starts_with("10.");
        client_address(peer.parse().unwrap(), &headers, is_trusted).to_string()
    }

    #[test]
    fn the_nearest_untrusted_hop_is_the_client() {
        for (list, expected) in [
            ("203.0.113.9", "203.0.113.9"),
            ("1.2.3.4, 203.0.113.9", "203.0.113.9"),
            ("1.2.3.4, 203.0.113.9, 10.0.0.8", "203.0.113.9"),
            ("203.0.113.9:4711", "203.0.113.9"),
            ("2001:db8::1", "2001:db8::1"),
            ("[2001:db8::1]:4711", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("::ffff:203.0.113.9", "203.0.113.9"),
            ("10.0.0.9, 10.0.0.8", "10.0.0.9"),
        ] {
            assert_eq!(client(PROXY, &[("x-forwarded-for", list.as_bytes())]), expected, "{list}");
        }
        let lines: [(&str, &[u8]); 2] = [("x-forwarded-for", b"1.2.3.4"), ("x-forwarded-for", b"203.0.113.9,10.0.0.8")];
        assert_eq!(client(PROXY, &lines), "203.0.113.9", "two lines are one list");
    }

    #[test]
    fn what_is_before_the_client_may_be_anything() {
        for list in ["garbage, 203.0.113.9", "unknown,,, 203.0.113.9, 10.0.0.8"] {
            assert_eq!(client(PROXY, &[("x-forwarded-for", list.as_bytes())]), "203.0.113.9", "{list}");
        }
    }

    #[test]
    fn forwarded_is_read_as_the_standard_writes_it() {
        for (list, expected) in [
            ("for=203.0.113.9", "203.0.113.9"),
            ("For=\"[2001:db8::1]:4711\";proto=https", "2001:db8::1"),
            ("for=1.2.3.4, proto=https; FOR=203.0.113.9:80 ;by=10.0.0.7", "203.0.113.9"),
            ("for=203.0.113.9, for=10.0.0.8", "203.0.113.9"),
        ] {
            assert_eq!(client(PROXY, &[("forwarded", list.as_bytes())]), expected, "{list}");
        }
    }

    #[test]
    fn garbage_is_the_peers_address() {
        for list in
            [&b""[..], b"unknown", b"203.0.113.9, _hidden", b"203.0.113.9,", b"\xff\xfe", b"203.0.113.999", b"*"]
        {
            let shown = String::from_utf8_lossy(list);
            assert_eq!(client(PROXY, &[("x-forwarded-for", list)]), PROXY, "{shown}");
            assert_eq!(client(PROXY, &[("forwarded", list)]), PROXY, "{shown}");
        }
        assert_eq!(client(PROXY, &[]), PROXY);
        assert_eq!(client(PROXY, &[("forwarded", b"for=unknown"), ("x-forwarded-for", b"203.0.113.9")]), PROXY);
    }

    #[test]
    fn a_client_cannot_add_a_second_header_to_be_another() {
        let both: [(&str, &[u8]); 2] = [("forwarded", b"for=1.2.3.4"), ("x-forwarded-for", b"203.0.113.9")];
        assert_eq!(client(PROXY, &both), PROXY);
        let alike: [(&str, &[u8]); 2] = [("forwarded", b"for=203.0.113.9"), ("x-forwarded-for", b"203.0.113.9")];
        assert_eq!(client(PROXY, &alike), "203.0.113.9");
    }

    #[test]
    fn nobody_else_is_believed() {
        assert_eq!(client("203.0.113.9", &[("x-forwarded-for", b"1.2.3.4")]), "203.0.113.9");
        assert_eq!(client("::ffff:10.0.0.7", &[("x-forwarded-for", b"1.2.3.4")]), "1.2.3.4");
    }
}
