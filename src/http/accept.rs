//! `Accept` (RFC 9110, section 12.5.1): whether the form an answer has is one the caller takes.
//!
//! Each route answers in one form, so nothing is chosen: either it is taken, or 406.

use axum::http::{HeaderMap, header};

/// What a route answers with: the forms, each as type and subtype.
pub type Forms = &'static [&'static str];

pub const JSON: Forms = &["application/json", "application/problem+json"];
pub const EVENTS: Forms = &["text/event-stream"];
/// No body, or no route: there is nothing to take or not to take.
pub const NONE: Forms = &[];

/// Whether the caller takes whatever comes, as most say: nothing needs to be looked up for them.
pub fn takes_anything(headers: &HeaderMap) -> bool {
    headers.get_all(header::ACCEPT).iter().all(|value| value == "*/*")
}

/// Whether the caller takes one of `forms`. Without an `Accept`, or with one that cannot
/// be read, anything is taken.
pub fn takes(headers: &HeaderMap, forms: Forms) -> bool {
    let values = headers.get_all(header::ACCEPT);
    if forms.is_empty() {
        return true;
    }
    let ranges: Vec<_> = values.iter().filter_map(|value| value.to_str().ok()).flat_map(ranges).collect();
    ranges.is_empty() || forms.iter().any(|form| is_taken(form, &ranges))
}

/// A range of media types, and whether it is wanted at all.
struct Range<'a> {
    kind: &'a str,
    subtype: &'a str,
    is_wanted: bool,
}

fn ranges(value: &str) -> impl Iterator<Item = Range<'_>> {
    value.split(',').filter_map(range)
}

/// A range as it can be read; a parameter other than `q` does not make it another type here.
fn range(text: &str) -> Option<Range<'_>> {
    let mut parts = text.split(';').map(str::trim);
    let (kind, subtype) = parts.next()?.split_once('/')?;
    let weight = parts.find_map(|part| part.strip_prefix("q=").or(part.strip_prefix("Q=")));
    let weight = weight.map_or(Some(1.0), |weight| weight.parse::<f32>().ok().filter(|weight| *weight >= 0.0))?;
    let is_range = !kind.is_empty() && !subtype.is_empty() && (kind != "*" || subtype == "*");
    is_range.then_some(Range { kind, subtype, is_wanted: weight > 0.0 })
}

/// The narrowest range that holds a form decides.
fn is_taken(form: &str, ranges: &[Range<'_>]) -> bool {
    let (kind, subtype) = form.split_once('/').unwrap_or_default();
    let width = |range: &&Range<'_>| {
        let has_kind = range.kind.eq_ignore_ascii_case(kind);
        match (range.kind, range.subtype) {
            ("*", "*") => Some(2),
            (_, "*") if has_kind => Some(1),
            (_, narrow) if has_kind && narrow.eq_ignore_ascii_case(subtype) => Some(0),
            _ => None,
        }
    };
    let holding = ranges.iter().filter_map(|range| width(&range).map(|width| (width, range.is_wanted)));
    // Of two equally narrow ones the kinder.
    holding.min_by_key(|(width, is_wanted)| (*width, !is_wanted)).is_some_and(|(_, is_wanted)| is_wanted)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn does_take(values: &[&[u8]], forms: Forms) -> bool {
        let values = values.iter().map(|value| (header::ACCEPT, HeaderValue::from_bytes(value).unwrap()));
        takes(&values.collect(), forms)
    }

    #[test]
    fn honest_clients_are_served() {
        let browser = b"text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8";
        let jquery = b"application/json, text/javascript, */*; q=0.01";
        let honest: [&[u8]; 9] = [
            b"*/*",
            b"",
            b" ",
            browser,
            jquery,
            b"application/json",
            b"Application/JSON;charset=utf-8;q=0.1",
            b"application/*",
            b"*/*;q=0.001",
        ];
        assert!(does_take(&[], JSON));
        for value in honest {
            assert!(does_take(&[value], JSON), "{}", String::from_utf8_lossy(value));
        }
        assert!(does_take(&[b"text/html", b"application/json"], JSON), "two headers are one list");
        assert!(does_take(&[b"text/event-stream"], EVENTS));
        assert!(does_take(&[browser], EVENTS));
    }

    #[test]
    fn what_no_form_meets_is_not_taken() {
        for value in [
            &b"text/html"[..],
            b"text/event-stream",
            b"text/*",
            b"application/xml",
            b"application/json;q=0, application/problem+json;q=0",
            b"application/json;q=0.000, application/problem+json; q=0, */*",
            b"application/*;q=0, */*",
            b"*/*;q=0",
        ] {
            assert!(!does_take(&[value], JSON), "{}", String::from_utf8_lossy(value));
        }
        assert!(!does_take(&[b"application/json"], EVENTS));
    }

    #[test]
    fn what_cannot_be_read_counts_as_none() {
        for value in [&b"json"[..], b"\xff\xfe", b"*/json", b"/", b";;;", b",,,", b"application/json;q=x", b"*/*;q=-1"]
        {
            assert!(does_take(&[value], EVENTS), "{}", String::from_utf8_lossy(value));
        }
        assert!(!does_take(&[b"json, application/json"], EVENTS), "the part that can be read counts");
    }
}
