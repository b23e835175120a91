//! What a session can be found by, as digests of one size: any text fits an index,
//! NUL and kilobytes included, and no tenant's words are another's.

use crate::domain::chain::Digest;
use crate::domain::id::{ParticipantId, TenantId};
use crate::ledger::Filter;
use crate::ledger::row::Listed;

/// Half a digest: nobody meets another's by chance.
pub(super) const LENGTH: i32 = 16;

pub(super) type Label = Vec<u8>;

/// What a session is found by, sorted, so that the same is equal.
pub(super) fn of(tenant: &TenantId, listed: &Listed) -> Vec<Label> {
    let participants = listed.participants.iter().map(ParticipantId::as_str);
    let metadata = listed.metadata.iter().map(|(name, text)| (name.as_str(), text.as_str()));
    all(tenant, Some(listed.sync_mode.as_str()), participants, metadata)
}

/// What a session must be found by to pass.
pub(super) fn asked(tenant: &TenantId, filter: &Filter) -> Vec<Label> {
    let metadata = filter.metadata.iter().map(|(name, text)| (name.as_str(), text.as_str()));
    all(tenant, filter.sync_mode.as_deref(), filter.participant_id.as_deref(), metadata)
}

fn all<'a>(
    tenant: &TenantId,
    sync_mode: Option<&str>,
    participants: impl IntoIterator<Item = &'a str>,
    metadata: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Vec<Label> {
    let label = |kind, name, text| one(tenant, kind, name, text);
    let sync_mode = sync_mode.into_iter().map(|mode| label("sync_mode", "", mode));
    let participants = participants.into_iter().map(|id| label("participant", "", id));
    let metadata = metadata.into_iter().map(|(name, text)| label("metadata", name, text));
    let mut labels: Vec<Label> = sync_mode.chain(participants).chain(metadata).collect();
    labels.sort_unstable();
    labels.dedup();
    labels
}

/// The name's length keeps it apart from the text.
fn one(tenant: &TenantId, kind: &str, name: &str, text: &str) -> Label {
    let words = format!("{tenant}\n{kind}\n{}\n{name}\n{text}", name.len());
    Digest::of(words.as_bytes()).as_bytes()[..LENGTH as usize].to_vec()
}
