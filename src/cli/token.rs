//! `token`: prints a token signed with `JWT_SECRET`.

use std::io::{Write as _, stdout};

use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgAction, ArgMatches, Command};

use super::Failure;
use crate::clock::{Clock as _, SystemClock};
use crate::config::Config;
use crate::domain::id::{ParticipantId, SessionId, TenantId};
use crate::domain::principal::{Principal, Provenance, Role, is_valid_name};
use crate::domain::time::Timestamp;
use crate::ids::Ids;
use crate::server::token_keys;

/// Ten years.
const MAX_TTL_MS: i64 = 3_660 * 24 * 3_600_000;

/// The principal that the token proves, and for how long.
#[derive(Debug)]
pub(super) struct Args {
    principal: Principal,
    ttl_ms: i64,
}

impl Args {
    pub(super) fn read(matches: &ArgMatches) -> Result<Self, Failure> {
        let text = |name| matches.get_one::<String>(name).map_or("", String::as_str);
        let sessions = matches.get_many::<SessionId>("session").map(|sessions| sessions.cloned().collect());
        Ok(Self {
            principal: Principal {
                tenant: TenantId::new(text("tenant"))?,
                subject: text("sub").to_owned(),
                role: Role::named(text("role")).unwrap_or(Role::Viewer),
                participant_id: matches.get_one::<ParticipantId>("participant-id").cloned(),
                sessions,
                locations: None,
                expires_at: None,
                provenance: Provenance::default(),
            },
            ttl_ms: ttl_ms(text("ttl")).ok_or(Failure::Ttl)?,
        })
    }
}

pub(super) fn command() -> Command {
    let roles = [Role::Viewer, Role::Participant, Role::Operator, Role::Admin].map(Role::as_str);
    let option = |name: &'static str, value: &'static str| Arg::new(name).long(name).value_name(value);
    Command::new("token").about("Prints a token signed with JWT_SECRET").args([
        option("tenant", "T").required(true).value_parser(tenant).help("The tenant whose sessions it sees"),
        option("role", "R")
            .required(true)
            .value_parser(PossibleValuesParser::new(roles))
            .help("The role of the caller"),
        option("sub", "S").required(true).value_parser(subject).help("The caller's name within the tenant"),
        option("participant-id", "P")
            .value_parser(|text: &str| ParticipantId::new(text))
            .help("The participant it acts for"),
        option("session", "ID")
            .action(ArgAction::Append)
            .value_parser(|text: &str| SessionId::new(text))
            .help("A session it is limited to; may be given more than once"),
        option("ttl", "SPAN").default_value("1h").help("How long it is valid: 90s, 15m, 1h, 7d"),
    ])
}

fn tenant(text: &str) -> Result<String, crate::domain::id::InvalidId> {
    TenantId::new(text).map(|tenant| tenant.as_str().to_owned())
}

fn subject(text: &str) -> Result<String, &'static str> {
    let accepted = "must be 1 to 256 bytes, without control characters and marks of direction";
    if is_valid_name(text) { Ok(text.to_owned()) } else { Err(accepted) }
}

/// Parses a span as people write it; a bare number is seconds.
fn ttl_ms(text: &str) -> Option<i64> {
    let unit_at = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    let ms = match unit {
        "" | "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.parse::<i64>().ok()?.checked_mul(ms).filter(|span| (1..=MAX_TTL_MS).contains(span))
}

pub(super) fn run(args: &Args, config: &Config) -> Result<(), Failure> {
    let token = sign(args, config, SystemClock::start().now())?;
    Ok(writeln!(stdout(), "{token}")?)
}

fn sign(args: &Args, config: &Config, now: Timestamp) -> Result<String, Failure> {
    // Only what the secret signs: whoever prints a token needs no other key.
    let only_secret = Config { jwt_public_key_file: None, jwt_jwks_url: None, ..config.clone() };
    let authenticator = token_keys::authenticator(&only_secret, None)?;
    if !authenticator.is_open() && args.ttl_ms > authenticator.max_life_ms() {
        return Err(Failure::TtlTooLong(authenticator.max_life_ms()));
    }
    let token_id = Some(Ids::default().uuid(now).to_string());
    let provenance = Provenance { token_id, issued_at: Some(now), ..Provenance::default() };
    let principal = Principal { provenance, ..args.principal.clone() };
    Ok(authenticator.sign(&principal, now + args.ttl_ms)?.token)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::Authenticator;
    use crate::config::Secret;

    const SECRET: &str = "a key of thirty-two bytes or more";

    const NOW: Timestamp = Timestamp::from_ms(1_767_225_600_000);

    fn args(line: &str) -> Result<Args, Failure> {
        Args::read(&command().try_get_matches_from(line.split(' '))?)
    }

    #[test]
    fn a_printed_token_proves_what_was_asked_for() {
        let config = Config { jwt_secret: Secret::new(SECRET), ..Config::default() };
        let args = args("token --tenant t --role participant --sub s --participant-id white --session a --session b");
        let token = sign(&args.unwrap(), &config, NOW).unwrap();
        let authenticator = Authenticator::new(config.jwt_secret.as_ref().map(Secret::as_bytes)).unwrap();
        let principal = authenticator.authenticate(Some(&token), NOW).unwrap();
        assert_eq!((principal.tenant.as_str(), principal.subject.as_str()), ("t", "s"));
        assert_eq!(principal.participant_id, ParticipantId::new("white").ok());
        assert_eq!(principal.sessions.as_ref().map(std::collections::BTreeSet::len), Some(2));
        assert_eq!(principal.expires_at, Some(NOW + 3_600_000));
    }

    #[test]
    fn without_a_key_there_is_no_token() {
        let args = args("token --tenant t --role admin --sub s").unwrap();
        assert!(matches!(sign(&args, &Config::default(), NOW), Err(Failure::NoSigningKey(_))));
    }

    #[test]
    fn a_token_that_the_service_would_refuse_is_not_printed() {
        let config = Config {
            jwt_secret: Secret::new(SECRET),
            jwt_issuers: vec!["us".into()],
            jwt_audiences: vec!["timers".into()],
            ..Config::default()
        };
        let asked = |ttl: &str| args(&format!("token --tenant t --role viewer --sub s --ttl {ttl}")).unwrap();
        assert!(matches!(sign(&asked("1441m"), &config, NOW), Err(Failure::TtlTooLong(86_400_000))));
        let longest = Config { max_token_life: std::time::Duration::from_hours(48), ..config.clone() };
        for (ttl, config) in [("1d", &config), ("2d", &longest)] {
            let token = sign(&asked(ttl), config, NOW).unwrap();
            assert!(token_keys::authenticator(config, None).unwrap().authenticate(Some(&token), NOW).is_ok(), "{ttl}");
        }
    }

    #[test]
    fn bad_arguments_are_refused() {
        for line in [
            "token --tenant t --role admin",
            "token --tenant a/b --role admin --sub s",
            "token --tenant t --role root --sub s",
            "token --tenant t --role viewer --sub s --session a/b",
            "token --tenant t --role viewer --sub s\u{202e}",
            "token --tenant t --role viewer --sub s --ttl soon",
        ] {
            assert!(args(line).is_err(), "{line}");
        }
    }

    #[test]
    fn spans_are_read_as_people_write_them() {
        for (text, ms) in [("90s", 90_000), ("15m", 900_000), ("1h", 3_600_000), ("7d", 604_800_000), ("5", 5_000)] {
            assert_eq!(ttl_ms(text), Some(ms), "{text}");
        }
        for bad in ["", "h", "1w", "-1h", "0s", "99999999999999999d", "4000d", "1h30m"] {
            assert_eq!(ttl_ms(bad), None, "{bad}");
        }
    }
}
