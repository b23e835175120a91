//! The whole service, asked from outside: one file a subject, and the harness they share.

#[cfg(test)]
mod harness;

#[cfg(test)]
mod commands;
#[cfg(test)]
mod create;
#[cfg(test)]
mod readme;
