//! Labels: what lists filter sessions by, as digests of one size. So any text fits an index,
//! and each tenant has labels of its own.

use crate::domain::chain::Digest;
use crate::domain::id::{ParticipantId, TenantId};
use crate::ledger::Filter;
use crate::ledger::row::SessionColumns;

/// Half a digest, enough to avoid collisions.
pub(super) const LABEL_BYTES: i32 = 16;

pub(super) type Label = Vec<u8>;

/// The labels of a session, sorted, so that equal sets are equal.
pub(super) fn of_session(tenant: &TenantId, session: &SessionColumns) -> Vec<Label> {
    let participants = session.participants.iter().map(ParticipantId::as_str);
    let metadata = session.metadata.iter().map(|(name, text)| (name.as_str(), text.as_str()));
    labels(tenant, Some(session.sync_mode.as_str()), participants, metadata)
}

/// The labels that a session must have to pass.
pub(super) fn of_filter(tenant: &TenantId, filter: &Filter) -> Vec<Label> {
    let metadata = filter.metadata.iter().map(|(name, text)| (name.as_str(), text.as_str()));
    labels(tenant, filter.sync_mode.as_deref(), filter.participant_id.as_deref(), metadata)
}

fn labels<'a>(
    tenant: &TenantId,
    sync_mode: Option<&str>,
    participants: impl IntoIterator<Item = &'a str>,
    metadata: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Vec<Label> {
    let label = |kind, name, text| label(tenant, kind, name, text);
    let sync_mode = sync_mode.into_iter().map(|mode| label("sync_mode", "", mode));
    let participants = participants.into_iter().map(|id| label("participant", "", id));
    let metadata = metadata.into_iter().map(|(name, text)| label("metadata", name, text));
    let mut labels: Vec<Label> = sync_mode.chain(participants).chain(metadata).collect();
    labels.sort_unstable();
    labels.dedup();
    labels
}

/// The name's length separates it from the text.
fn label(tenant: &TenantId, kind: &str, name: &str, text: &str) -> Label {
    let words = format!("{tenant}\n{kind}\n{}\n{name}\n{text}", name.len());
    Digest::of(words.as_bytes()).as_bytes()[..LABEL_BYTES as usize].to_vec()
}
