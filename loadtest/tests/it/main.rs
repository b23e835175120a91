//! Each scenario, small, against a service of its own.

#[cfg(test)]
mod harness;

#[cfg(test)]
mod deployments;
#[cfg(test)]
mod scenarios;
