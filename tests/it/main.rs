//! The whole service, asked from outside: one file a subject, and the harness they share.

#[cfg(test)]
mod harness;

#[cfg(test)]
mod access;
#[cfg(test)]
mod bad_input;
#[cfg(test)]
mod batch;
#[cfg(test)]
mod chaos;
#[cfg(test)]
mod cli;
#[cfg(test)]
mod commands;
#[cfg(test)]
mod connections;
#[cfg(test)]
mod cost;
#[cfg(test)]
mod create;
#[cfg(test)]
mod crowd;
#[cfg(test)]
mod dead_letters;
#[cfg(test)]
mod deadlines;
#[cfg(test)]
mod deleting;
#[cfg(test)]
mod deployments;
#[cfg(test)]
mod documented_rights;
#[cfg(test)]
mod durability;
#[cfg(test)]
mod event_stream;
#[cfg(test)]
mod failing;
#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod going_back;
#[cfg(test)]
mod half_open;
#[cfg(test)]
mod headers;
#[cfg(test)]
mod ledger_away;
#[cfg(test)]
mod logged;
#[cfg(test)]
mod on_postgres;
#[cfg(test)]
mod operations;
#[cfg(test)]
mod past;
#[cfg(test)]
mod polling;
#[cfg(test)]
mod positions;
#[cfg(test)]
mod problems;
#[cfg(test)]
mod processes;
#[cfg(test)]
mod query_parameters;
#[cfg(test)]
mod random;
#[cfg(test)]
mod readme;
#[cfg(test)]
mod refusals;
#[cfg(test)]
mod refused;
#[cfg(test)]
mod repeats;
#[cfg(test)]
mod restarting;
#[cfg(test)]
mod resuming;
#[cfg(test)]
mod rights;
#[cfg(test)]
mod sharing;
#[cfg(test)]
mod signals;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod strangers;
#[cfg(test)]
mod takeover;
#[cfg(test)]
mod tokens;
#[cfg(test)]
mod walking;
#[cfg(test)]
mod watching;
#[cfg(test)]
mod without_ledger;
