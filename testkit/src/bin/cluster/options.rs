//! The options of the commands.

use std::path::{Path, PathBuf};

use crate::failure::Failure;

/// What `--port` may be: others need root, or leave no room for the hundred behind it.
const PORTS: std::ops::RangeInclusive<u16> = 1_024..=65_400;

#[derive(Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub struct Options {
    pub state: Option<PathBuf>,
    pub base: u16,
    pub is_release: bool,
    pub has_redis_cluster: bool,
    pub has_aof: bool,
    pub has_worker: bool,
    /// How far each instance's own clock is off, as `faketime` takes it.
    pub offsets: Vec<String>,
    /// Flags for every instance.
    pub flags: Vec<String>,
}

impl Options {
    pub fn read(words: &[&str]) -> Result<Self, Failure> {
        let (mut options, mut words) = (Self::default(), words.iter().copied());
        while let Some(word) = words.next() {
            match word {
                "--redis-cluster" => options.has_redis_cluster = true,
                "--aof" => options.has_aof = true,
                "--worker" => options.has_worker = true,
                "--release" => options.is_release = true,
                "--state" | "--port" | "--faketime" | "--set" => {
                    let value = words.next().ok_or_else(|| format!("{word} wants a value"))?;
                    options.read_value(word, value)?;
                }
                _ => return Err(format!("there is no option {word}; scripts/cluster help says what there is").into()),
            }
        }
        Ok(options)
    }

    fn read_value(&mut self, option: &str, value: &str) -> Result<(), Failure> {
        match option {
            "--state" => self.state = Some(std::path::absolute(Path::new(value))?),
            "--port" => {
                let port = value.parse().ok().filter(|port| PORTS.contains(port));
                self.base = port.ok_or_else(|| format!("--port wants a number from 1024 to 65400, not {value}"))?;
            }
            "--faketime" => {
                self.offsets = value.split(',').map(str::to_owned).collect();
                if !self.offsets.iter().all(|offset| is_offset(offset)) {
                    return Err(format!("--faketime wants offsets such as -5m,0,+5m, not {value}").into());
                }
            }
            _ => {
                let setting = value.split_once('=').filter(|(name, value)| is_setting(name) && !value.is_empty());
                let (name, value) = setting.ok_or_else(|| format!("--set wants NAME=VALUE, not {value}"))?;
                self.flags.push(format!("--{}", name.to_lowercase().replace('_', "-")));
                self.flags.push(value.to_owned());
            }
        }
        Ok(())
    }
}

/// `0`, or a sign, a number and perhaps a unit.
fn is_offset(text: &str) -> bool {
    let Some(rest) = text.strip_prefix(['-', '+']) else { return text == "0" };
    let number = rest.strip_suffix(['s', 'm', 'h', 'd', 'y']).unwrap_or(rest);
    !number.is_empty() && number.chars().all(|letter| letter.is_ascii_digit() || letter == '.')
}

fn is_setting(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|letter| letter.is_ascii_uppercase() || letter == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read() {
        let words = ["--worker", "--port", "20000", "--faketime", "-5m,0,+1.5h", "--set", "DURABLE=always"];
        let options = Options::read(&words).map_err(|failure| failure.to_string());
        let expected = Options {
            base: 20_000,
            has_worker: true,
            offsets: vec!["-5m".to_owned(), "0".to_owned(), "+1.5h".to_owned()],
            flags: vec!["--durable".to_owned(), "always".to_owned()],
            ..Options::default()
        };
        assert_eq!(options, Ok(expected));
    }

    #[test]
    fn what_is_no_option_is_refused() {
        for (words, says) in [
            (&["--what"][..], "there is no option --what"),
            (&["--port"], "--port wants a value"),
            (&["--port", "80"], "from 1024 to 65400, not 80"),
            (&["--faketime", "5m"], "not 5m"),
            (&["--faketime", "+"], "not +"),
            (&["--set", "durable=always"], "not durable=always"),
            (&["--set", "DURABLE="], "not DURABLE="),
        ] {
            let said = Options::read(words).map_err(|failure| failure.to_string());
            assert!(said.as_ref().is_err_and(|said| said.contains(says)), "{words:?}: {said:?}");
        }
    }
}
