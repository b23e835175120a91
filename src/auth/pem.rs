//! Public keys in PEM (RFC 7468), as `openssl` writes them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::der::{public_key, rsa_public_key};
use super::key::Key;
use super::key_fault::KeyFault;
use super::key_list::KeyList;

const BEGIN: &str = "-----BEGIN ";
const END: &str = "-----END ";

/// The keys of a text; none if it has no section.
pub fn read(text: &str) -> KeyList {
    KeyList::of(Sections(text.lines()).map(|(label, body)| key(label, &body)))
}

fn key(label: &str, body: &str) -> Result<Key, KeyFault> {
    if label.ends_with("PRIVATE KEY") {
        return Err(KeyFault::PrivateKey);
    }
    let der = STANDARD.decode(body).map_err(|_| KeyFault::Invalid)?;
    match label {
        "PUBLIC KEY" => public_key(&der),
        "RSA PUBLIC KEY" => rsa_public_key(&der),
        _ => Err(KeyFault::Unsupported),
    }
}

/// Each section's label, and its lines joined. Text between sections is for people.
struct Sections<'a>(std::str::Lines<'a>);

impl<'a> Iterator for Sections<'a> {
    type Item = (&'a str, String);

    fn next(&mut self) -> Option<Self::Item> {
        let label = self.0.find_map(|line| line.trim().strip_prefix(BEGIN)?.strip_suffix("-----"))?;
        let body = self.0.by_ref().map(str::trim).take_while(|line| !line.starts_with(END)).collect();
        Some((label, body))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::key::Algorithm;

    /// Of RFC 8410, section 10.1.
    const ED25519: &str = "-----BEGIN PUBLIC KEY-----\n\
        MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n";

    #[test]
    fn sections_are_read_with_text_around_them_and_any_line_ends() {
        let text = format!("# Ours.\n{ED25519}\nAnd a note.\n");
        for text in [text.clone(), text.replace('\n', "\r\n"), text.replace("MCow", "\nMCow")] {
            let list = read(&text);
            assert_eq!((list.keys.len(), list.left_out.total()), (1, 0), "{text}");
            assert_eq!((list.keys[0].algorithm(), list.keys[0].id()), (Algorithm::EdDsa, None));
        }
    }

    #[test]
    fn what_is_no_public_key_is_left_out_with_its_reason() {
        for (label, why) in [
            ("PRIVATE KEY", KeyFault::PrivateKey),
            ("RSA PRIVATE KEY", KeyFault::PrivateKey),
            ("CERTIFICATE", KeyFault::Unsupported),
            ("RSA PUBLIC KEY", KeyFault::Invalid),
        ] {
            let list = read(&ED25519.replace("PUBLIC KEY", label));
            assert_eq!((list.keys.len(), list.left_out.of(why)), (0, 1), "{label}");
        }
        for broken in ["MCow", "=", "é"] {
            let list = read(&ED25519.replace("MCowBQ", broken));
            assert_eq!((list.keys.len(), list.left_out.of(KeyFault::Invalid)), (0, 1), "{broken}");
        }
        for none in ["", "MCowBQYDK2VwAyEA", "-----BEGIN PUBLIC KEY", "-----END PUBLIC KEY-----"] {
            assert_eq!((read(none).keys.len(), read(none).left_out.total()), (0, 0), "{none}");
        }
    }
}
