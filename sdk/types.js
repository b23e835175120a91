/**
 * The shapes on the wire, for editors and type checkers. Nothing here runs.
 *
 * @typedef {'pending'|'running'|'paused'|'expired'|'completed'|'cancelled'} Status
 *
 * @typedef {{type: 'main', stage?: number}
 *   | {type: 'byoyomi', period: number, periods: number}
 *   | {type: 'canadian', cycles_left: number, cycles: number}
 *   | {type: 'reserve'}} Phase
 *   `stage` is counted from 0. `reserve`: the cycle's own time has run out.
 *
 * @typedef {object} Clock A participant or a group: an owner of a bank.
 * @property {string} [participant_id]
 * @property {string|null} [group_id]
 * @property {number} [participant_index]
 * @property {number|null} total_time_ms The bank at the anchor.
 * @property {number} [time_used_ms]
 * @property {number} [overrun_ms] How long it has run past its end, at the anchor.
 * @property {number} [cycle_count]
 * @property {boolean} [has_expired]
 * @property {Phase} [phase]
 * @property {number} [delay_left_ms]
 * @property {TimeControl} [time_control] In place of the session's.
 * @property {Status} [status] Only in simultaneous sessions, as the next four.
 * @property {string|null} [cycle_started_at]
 * @property {string|null} [deadline_at]
 * @property {string[]} [pause_reasons]
 * @property {Edge[]} [edges]
 * @property {{name?: string}} [metadata]
 *
 * @typedef {object} TimeControl
 * @property {{type: 'simple'|'bronstein', delay_ms: number}|null} [delay]
 * @property {{cycles: number, add_ms: number, increment_ms?: number, delay?: {type: 'simple'|'bronstein', delay_ms: number}}[]} [stages]
 * @property {Overtime|null} [overtime]
 * @property {boolean} [hourglass]
 * @property {number} [free_cycles]
 *
 * @typedef {{type: 'byoyomi', periods: number, period_ms: number}
 *   | {type: 'canadian', cycles: number, period_ms: number}} Overtime
 *
 * @typedef {object} Edge What happens at `at` without a command.
 * @property {string} at
 * @property {string} type
 * @property {string} [participant_id]
 * @property {string} [group_id]
 * @property {number} [remaining_ms]
 *
 * @typedef {object} Snapshot A whole session at one version.
 * @property {string} session_id
 * @property {number} epoch
 * @property {number} version
 * @property {'per_participant'|'per_cycle'|'per_group'|'global'|'count_up'} sync_mode
 * @property {Status} status
 * @property {'exclusive'|'simultaneous'} [concurrency]
 * @property {string|null} active_participant_id
 * @property {string|null} [active_group_id]
 * @property {string|null} cycle_started_at
 * @property {string|null} deadline_at
 * @property {string|null} [starts_at]
 * @property {number|null} [total_time_ms] The bank of the session's own clock (`global`, the cycle's) at the anchor.
 * @property {number} [time_used_ms]
 * @property {number} [overrun_ms]
 * @property {{type: string}} [action_on_timeout]
 * @property {{window_ms: number, extension_ms: number}|null} [soft_close]
 * @property {number|null} [time_per_cycle_ms]
 * @property {number|null} [max_time_ms]
 * @property {number} [increment_ms]
 * @property {TimeControl|null} [time_control]
 * @property {string[]} [pause_reasons]
 * @property {{hand_on?: 'next'|'any', self_pause?: boolean, self_complete?: boolean}} [rights] The rights of participants.
 * @property {string|null} [recovered_at] When it was restored after an outage or a loss.
 * @property {string|null} [recovered_from] The `updated_at` of the version it was restored from.
 * @property {Clock[]} participants
 * @property {Clock[]} [groups]
 * @property {Edge[]} [edges]
 * @property {Record<string, unknown>} [metadata]
 *
 * @typedef {object} Frame One message on a stream, either way.
 * @property {string} type
 * @property {string} [id]
 * @property {string} [position]
 * @property {any} [payload]
 * @property {any} [event] The event of a `STATE_UPDATE`: `command` and its `outcome`.
 * @property {boolean} [partial] The payload has only the clocks that changed.
 */

export {};
