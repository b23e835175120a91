//! The role that serves, beside the one that owns the tables.

use super::client::execute;

/// Makes a role that has in the database at `url`, whose schema is there, what the service needs and no more; gives
/// its address.
///
/// # Panics
/// If PostgreSQL refuses.
pub async fn serving(url: &str) -> String {
    let (owner, [scheme, password, rest]) = (url.to_owned(), parts(url));
    let database = rest.split(['/', '?']).nth(1).unwrap_or_default();
    let role = format!("serve_{database}");
    let statements = [
        format!("drop role if exists {role}"),
        format!("create role {role} login password '{password}'"),
        format!("select ledger_grant('{role}')"),
    ];
    let address = format!("{scheme}{role}:{password}@{rest}");
    tokio::task::spawn_blocking(move || execute(&owner, &statements)).await.unwrap().unwrap();
    address
}

/// What comes before the user, the password (one of our own if there is none), and what comes after both.
fn parts(url: &str) -> [&str; 3] {
    let (front, rest) = url.split_once('@').unwrap_or((url, ""));
    let at = front.find("://").map_or(0, |at| at + "://".len());
    let password = front[at..].split_once(':').map_or("unused", |(_, password)| password);
    [&front[..at], password, rest]
}
