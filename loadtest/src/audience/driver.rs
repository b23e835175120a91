//! A driver process: this program again, with requests as lines on its standard input.

use std::io::{stdin, stdout};
use std::os::fd::AsFd as _;
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::net::unix::pipe;
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::crowd::protocol::{Reply, Request};
use crate::failure::Failure;

/// The command of a driver.
pub const COMMAND: &str = "drive";

pub struct Driver {
    /// Ended with this.
    _child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl Driver {
    pub fn start() -> Result<Self, Failure> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg(COMMAND).stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn()?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(Failure::Driver("it has no pipes".to_owned()));
        };
        Ok(Self { _child: child, input, output: BufReader::new(output).lines() })
    }

    pub async fn send(&mut self, request: &Request) -> Result<(), Failure> {
        Ok(self.input.write_all(format!("{}\n", serde_json::to_string(request)?).as_bytes()).await?)
    }

    pub async fn answer(&mut self) -> Result<Reply, Failure> {
        let line = self.output.next_line().await?;
        let line = line.ok_or_else(|| Failure::Driver("it ended".to_owned()))?;
        Ok(serde_json::from_str(&line)?)
    }
}

/// The pipe of requests. The runtime's own standard input would need a thread.
pub fn input() -> Result<pipe::Receiver, Failure> {
    Ok(pipe::Receiver::from_owned_fd(stdin().as_fd().try_clone_to_owned()?)?)
}

pub fn output() -> Result<pipe::Sender, Failure> {
    Ok(pipe::Sender::from_owned_fd(stdout().as_fd().try_clone_to_owned()?)?)
}
