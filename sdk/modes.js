/** The sync modes: whose clock runs. */

export const SYNC_MODES = ['per_participant', 'per_cycle', 'per_group', 'global', 'count_up'];
