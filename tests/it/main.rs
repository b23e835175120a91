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
mod behind_proxy;
#[cfg(test)]
mod chaos;
#[cfg(test)]
mod cli;
#[cfg(test)]
mod commands;
#[cfg(test)]
mod connections;
#[cfg(test)]
mod cors;
#[cfg(test)]
mod create;
#[cfg(test)]
mod dead_connections;
#[cfg(test)]
mod dead_letters;
#[cfg(test)]
mod deadlines;
#[cfg(test)]
mod delete;
#[cfg(test)]
mod deployments;
#[cfg(test)]
mod documented_rights;
#[cfg(test)]
mod durability;
#[cfg(test)]
mod event_stream;
#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod headers;
#[cfg(test)]
mod history;
#[cfg(test)]
mod idempotency;
#[cfg(test)]
mod ledger_outage;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod long_poll;
#[cfg(test)]
mod many_subscribers;
#[cfg(test)]
mod multi_instance;
#[cfg(test)]
mod on_postgres;
#[cfg(test)]
mod operations;
#[cfg(test)]
mod outage_logs;
#[cfg(test)]
mod positions;
#[cfg(test)]
mod problems;
#[cfg(test)]
mod processes;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod query_parameters;
#[cfg(test)]
mod readme;
#[cfg(test)]
mod refusals;
#[cfg(test)]
mod refused_versions;
#[cfg(test)]
mod restart;
#[cfg(test)]
mod resume;
#[cfg(test)]
mod revocations;
#[cfg(test)]
mod rights;
#[cfg(test)]
mod roaming_clients;
#[cfg(test)]
mod security_events;
#[cfg(test)]
mod settings;
#[cfg(test)]
mod signals;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod status_feed;
#[cfg(test)]
mod store_failures;
#[cfg(test)]
mod store_rollback;
#[cfg(test)]
mod takeover;
#[cfg(test)]
mod tokens;
#[cfg(test)]
mod unknown_ids;
#[cfg(test)]
mod websocket;
#[cfg(test)]
mod without_ledger;
