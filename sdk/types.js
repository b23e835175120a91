/**
 * The shapes on the wire, for editors and type checkers. Nothing here runs. docs/API.md explains each field at length.
 *
 * Instants (`*_at`, `at`, `as_of`) are RFC 3339 texts in UTC. Spans (`*_ms`) are milliseconds.
 *
 * --- Choices ---
 *
 * @typedef {'per_participant'|'per_cycle'|'per_group'|'global'|'count_up'} SyncMode Whose clock runs.
 * @typedef {'pending'|'running'|'paused'|'expired'|'completed'|'cancelled'} Status
 * @typedef {'exclusive'|'simultaneous'} Concurrency One clock at a time, or all at once.
 * @typedef {'none'|'strict'|'standard'|'friendly'} LagPolicy How much of the network's time is given back.
 * @typedef {'pause'|'charge'} OnOutage Whether an outage pauses the session or is charged as usual.
 * @typedef {'expire'|'advance'|'pause'|'complete'|'continue'} ActionType What a clock that runs out does.
 * @typedef {'start'|'warning'|'overtime'|'reserve'|'expiry'} EdgeType
 *
 * @typedef {'start'|'switch'|'pause'|'resume'|'complete'|'cancel'|'reset'|'adjust'|'extend'|'revert'
 *   |'add_participant'|'change_participant'|'remove_participant'|'clone'|'delete'} CommandName
 *
 * @typedef {'created'|'started'|'scheduled'|'switched'|'paused'|'resumed'|'completed'|'cancelled'|'reset'|'adjusted'
 *   |'extended'|'reverted'|'participant_added'|'participant_changed'|'participant_removed'|'deleted'|'settled'} OutcomeType
 *
 * --- Rules of a clock ---
 *
 * @typedef {object} Delay
 * @property {'simple'|'bronstein'} type `simple`: the clock waits first. `bronstein`: used time comes back.
 * @property {number} delay_ms
 *
 * @typedef {object} Stage
 * @property {number} cycles After so many cycles a participant enters the next stage.
 * @property {number} add_ms Added then.
 * @property {number} [increment_ms] Holds from then on.
 * @property {Delay} [delay] Holds from then on.
 *
 * @typedef {object} Byoyomi Periods after main time. A cycle that ends within one gets it back whole.
 * @property {'byoyomi'} type
 * @property {number} periods
 * @property {number} period_ms
 *
 * @typedef {object} Canadian Blocks after main time, in each of which `cycles` cycles must end.
 * @property {'canadian'} type
 * @property {number} cycles
 * @property {number} period_ms
 *
 * @typedef {Byoyomi|Canadian} Overtime
 *
 * @typedef {object} TimeControl
 * @property {Delay|null} [delay]
 * @property {Stage[]} [stages]
 * @property {Overtime|null} [overtime]
 * @property {boolean} [hourglass] What one participant uses the other gains.
 * @property {number} [free_cycles] So many first cycles charge nothing and have no deadline.
 *
 * @typedef {object} SoftClose How `extend` moves the deadline.
 * @property {number} window_ms Only if less than this is left.
 * @property {number} extension_ms To so long from now.
 * @property {number|null} [max_total_ms] The clock never gets more than this in all.
 *
 * @typedef {object} Rights The rights of participants.
 * @property {'next'|'any'} hand_on To whom they hand on.
 * @property {boolean} self_pause Whether they pause their own clock.
 * @property {boolean} self_complete Whether they complete their own clock.
 *
 * @typedef {object} Action
 * @property {ActionType} type
 *
 * --- The snapshot ---
 *
 * @typedef {object} MainPhase
 * @property {'main'} type
 * @property {number} [stage] From 0; only where there are stages.
 *
 * @typedef {object} ByoyomiPhase
 * @property {'byoyomi'} type
 * @property {number} period The present one, from 1.
 * @property {number} periods
 *
 * @typedef {object} CanadianPhase
 * @property {'canadian'} type
 * @property {number} cycles_left Of the block's `cycles`.
 * @property {number} cycles
 *
 * @typedef {object} ReservePhase The time of the cycle is used up, and the reserve runs.
 * @property {'reserve'} type
 *
 * @typedef {MainPhase|ByoyomiPhase|CanadianPhase|ReservePhase} Phase
 *
 * @typedef {object} Edge One thing that will happen at `at` if nobody acts.
 * @property {string} at
 * @property {EdgeType} type `overtime`: a period or block begins. `reserve`: the reserve begins.
 * @property {string} [participant_id]
 * @property {string} [group_id]
 * @property {number} remaining_ms What the clock shows then.
 *
 * @typedef {object} ClockFields What participants and groups have in common.
 * @property {number|null} total_time_ms What the bank holds at the anchor, or in overtime the period; null without a bank.
 * @property {number} time_used_ms All that was charged.
 * @property {number} overrun_ms How long it ran past zero, under `continue`.
 * @property {number} cycle_count Finished cycles.
 * @property {boolean} is_active It has the turn.
 * @property {boolean} has_expired
 * @property {Phase} phase
 * @property {number} delay_left_ms What was left of a simple delay at the anchor.
 * @property {Status} [status] Only where clocks run simultaneously, as the next four: the session's fields, for this clock.
 * @property {string|null} [cycle_started_at]
 * @property {string|null} [deadline_at]
 * @property {string[]} [pause_reasons]
 * @property {Edge[]} [edges]
 *
 * @typedef {object} ParticipantFields What a participant has beside.
 * @property {string} participant_id
 * @property {number} participant_index Its seat in the turn order, from 0.
 * @property {string|null} group_id
 * @property {number} lag_quota_ms How much lag may still be credited.
 * @property {TimeControl} [time_control] Only its own, in place of the session's.
 * @property {Metadata} metadata
 *
 * @typedef {ClockFields & ParticipantFields} Participant
 *
 * @typedef {object} GroupFields
 * @property {string} group_id
 *
 * @typedef {ClockFields & GroupFields} Group
 *
 * @typedef {Partial<ParticipantFields> & ClockFields} Clock A participant or a group: an owner of a bank.
 *
 * @typedef {Record<string, any>} Metadata Free for the caller, at most 8,192 bytes as JSON.
 *
 * @typedef {object} Snapshot A whole session at one version.
 * @property {string} session_id
 * @property {number} epoch Its life in the store, Unix ms. A larger epoch is newer.
 * @property {number} version Counts writes. In one epoch a larger version is newer.
 * @property {SyncMode} sync_mode
 * @property {Status} status
 * @property {string|null} active_participant_id Whose turn it is.
 * @property {string|null} active_group_id The group of that participant.
 * @property {string|null} cycle_started_at The anchor of the running clock, or of the first simultaneous one to run out.
 * @property {string|null} deadline_at When that clock runs out, overtime and reserve included.
 * @property {string|null} expires_by With a lag policy: until then the service waits for a `switch` on its way.
 * @property {string|null} starts_at When a scheduled start will happen.
 * @property {Concurrency} concurrency
 * @property {number|null} time_per_cycle_ms The time of each cycle, in `per_cycle`.
 * @property {number} increment_ms Given to a bank when its cycle ends.
 * @property {number|null} max_time_ms No increment lifts a bank above it; in `count_up` the end.
 * @property {TimeControl} time_control
 * @property {SoftClose|null} soft_close
 * @property {Rights} rights
 * @property {LagPolicy} lag_policy
 * @property {OnOutage} on_outage
 * @property {boolean} auto_advance The same as an action of `advance`.
 * @property {Action} action_on_timeout What happens at the deadline.
 * @property {string[]} pause_reasons Such as `requested`, `timeout`, `idle`, `settle_limit`, `outage`, or the caller's own.
 * @property {number[]} warnings_ms Thresholds, largest first.
 * @property {number|null} total_time_ms What the session's own clock holds at the anchor, in `global` and `per_cycle`.
 * @property {number} time_used_ms
 * @property {number} overrun_ms How long the session's own clock ran past zero, under `continue`.
 * @property {Participant[]} participants In turn order.
 * @property {Group[]} groups
 * @property {Edge[]} edges
 * @property {Metadata} metadata
 * @property {boolean} recovered The session was lost and restored.
 * @property {string|null} recovered_at When it was restored.
 * @property {string|null} recovered_from The `updated_at` of the version from which it was restored.
 * @property {string} created_at
 * @property {string|null} started_at When it first started.
 * @property {string} updated_at When this version was written.
 * @property {string} as_of When this snapshot was written down.
 *
 * --- Creating, and commands ---
 *
 * @typedef {object} ParticipantConfig
 * @property {string} [participant_id] Made by the server if absent.
 * @property {number} [total_time_ms] Its own bank; in `per_cycle` a reserve.
 * @property {string} [group_id]
 * @property {number} [participant_index]
 * @property {TimeControl} [time_control] In place of the session's.
 * @property {Metadata} [metadata]
 *
 * @typedef {object} GroupConfig
 * @property {string} group_id
 * @property {number} [total_time_ms]
 *
 * @typedef {object} SessionConfig What creates a session.
 * @property {SyncMode} sync_mode
 * @property {string} [session_id] Made by the server if absent.
 * @property {ParticipantConfig[]} [participants] At most 1,024.
 * @property {GroupConfig[]} [groups] Only in `per_group`.
 * @property {number|null} [total_time_ms] The session's clock in `global`, else the bank of each that names none.
 * @property {number|null} [time_per_cycle_ms] In `per_cycle`, where it is needed.
 * @property {number} [increment_ms]
 * @property {number|null} [max_time_ms]
 * @property {TimeControl} [time_control]
 * @property {Concurrency} [concurrency]
 * @property {SoftClose|null} [soft_close]
 * @property {Partial<Rights>} [rights]
 * @property {LagPolicy} [lag_policy]
 * @property {OnOutage} [on_outage]
 * @property {boolean} [auto_advance]
 * @property {Action} [action_on_timeout]
 * @property {number[]} [warnings_ms] At most 16.
 * @property {Metadata} [metadata]
 *
 * @typedef {object} CommandOptions What every command takes.
 * @property {number} [expected_version] The command counts only at this version.
 *
 * @typedef {object} ClockName One of several simultaneous clocks; without it the command is for the session.
 * @property {string} [participant_id]
 * @property {string} [group_id]
 *
 * @typedef {object} StartOnly
 * @property {string|number} [at] A future instant, RFC 3339 or Unix ms.
 * @property {string} [participant_id] Who begins.
 * @typedef {CommandOptions & StartOnly} StartFields
 *
 * @typedef {object} SwitchOnly
 * @property {string} [current_participant_id] Refused with `not_active` if that one is not active.
 * @property {string} [next_participant_id]
 * @property {string} [next_group_id]
 * @property {number} [client_time_ms] The cluster time at which the user acted, for a lag policy.
 * @typedef {CommandOptions & SwitchOnly} SwitchFields
 *
 * @typedef {object} PauseOnly
 * @property {string} [reason] 1 to 64 bytes; `requested` if absent.
 * @typedef {CommandOptions & ClockName & PauseOnly} PauseFields
 *
 * @typedef {object} ResumeOnly
 * @property {string} [reason] The reason to take back; all of them if absent.
 * @typedef {CommandOptions & ClockName & ResumeOnly} ResumeFields
 *
 * @typedef {CommandOptions & ClockName} CompleteFields
 *
 * @typedef {object} AdjustOnly One of `add_ms` and `set_ms`. Without a name it is for the active clock.
 * @property {number} [add_ms] May be negative.
 * @property {number} [set_ms]
 * @typedef {CommandOptions & ClockName & AdjustOnly} AdjustFields
 *
 * @typedef {object} RevertOnly
 * @property {number} to_version Banks, phases, counts and turn as they stood in that version.
 * @typedef {CommandOptions & RevertOnly} RevertFields
 *
 * @typedef {object} ChangeOnly
 * @property {string} participant_id
 * @property {number} [total_time_ms] While pending only, as the next two.
 * @property {string|null} [group_id]
 * @property {TimeControl} [time_control]
 * @property {number} [participant_index]
 * @property {Metadata} [metadata]
 * @typedef {CommandOptions & ChangeOnly} ChangeParticipantFields
 *
 * @typedef {object} RemoveOnly
 * @property {string} participant_id
 * @typedef {CommandOptions & RemoveOnly} RemoveParticipantFields
 *
 * @typedef {object} CloneOnly
 * @property {string} [session_id] Of the clone, over REST.
 * @property {string} [new_session_id] The same in a frame.
 * @typedef {CommandOptions & CloneOnly} CloneFields
 *
 * @typedef {object} CommandFields The fields of each command, by its name.
 * @property {StartFields} start
 * @property {SwitchFields} switch
 * @property {PauseFields} pause
 * @property {ResumeFields} resume
 * @property {CompleteFields} complete
 * @property {CommandOptions} cancel
 * @property {CommandOptions} reset
 * @property {AdjustFields} adjust
 * @property {CommandOptions} extend
 * @property {RevertFields} revert
 * @property {CommandOptions & ParticipantConfig} add_participant
 * @property {ChangeParticipantFields} change_participant
 * @property {RemoveParticipantFields} remove_participant
 * @property {CloneFields} clone
 * @property {CommandOptions} delete
 *
 * @typedef {object} Outcome What a command did.
 * @property {OutcomeType} type
 * @property {number} charged_ms What the whole cycle was charged, credit taken off.
 * @property {number} lag_credited_ms
 * @property {number} lag_refused_ms
 * @property {string|null} expired_participant_id The clock that ran out in this change.
 * @property {string|null} action_applied
 *
 * @typedef {object} AnswerOnly
 * @property {Outcome} outcome
 * @property {string} position The position that the command made.
 * @property {boolean} [replayed] Only true: an earlier request with the same key did it.
 * @typedef {Snapshot & AnswerOnly} CommandAnswer The snapshot after a command, and what the command did.
 *
 * --- Frames ---
 *
 * @typedef {object} Turn
 * @property {string|null} from
 * @property {string|null} to
 *
 * @typedef {object} BankChange Without an id it is the session's own clock.
 * @property {string} [participant_id]
 * @property {string} [group_id]
 * @property {number} charged_ms
 * @property {number} given_ms
 *
 * @typedef {object} FrameEvent The change that a `STATE_UPDATE` tells.
 * @property {string} command A command, `create`, or `settle` for what happened by itself.
 * @property {Outcome} outcome
 * @property {Record<string, any>} [arguments] The command's own fields.
 * @property {Turn} [turn] Only if the turn passed.
 * @property {BankChange[]} [banks]
 *
 * @typedef {object} Caller Who gave a command.
 * @property {string} sub
 * @property {'viewer'|'participant'|'operator'|'admin'} role
 * @property {string} [participant_id]
 * @property {string} [made_by]
 *
 * @typedef {object} ChangeExpired A clock that ran out.
 * @property {string} at
 * @property {string} [participant_id]
 * @property {string} [group_id]
 * @property {ActionType} action
 *
 * @typedef {object} Restored An outage that nobody was charged for.
 * @property {string} reason
 * @property {string} from
 * @property {string} until
 *
 * @typedef {object} ChangeFields
 * @property {Caller|null} by null where it happened by itself.
 * @property {ChangeExpired[]} [expired]
 * @property {string} [reason] `idle`, for a pause for which nobody asked.
 * @property {Restored} [restored]
 * @typedef {FrameEvent & ChangeFields} Change One change of a history.
 *
 * @typedef {object} PartialOnly
 * @property {Participant[]} [changed] They replace those in the snapshot of the version right before.
 * @property {Group[]} [changed_groups]
 * @typedef {Omit<Snapshot, 'participants'|'groups'> & PartialOnly} PartialSnapshot Only the clocks that changed.
 *
 * @typedef {object} TimeExpired The payload of `TIME_EXPIRED`: a clock ran out.
 * @property {string} [participant_id]
 * @property {string} [group_id]
 * @property {string} expired_at
 * @property {ActionType} action
 *
 * @typedef {object} TimeWarning The payload of `TIME_WARNING`: a clock reached one of `warnings_ms`.
 * @property {string} at
 * @property {string} [participant_id]
 * @property {string} [group_id]
 * @property {number} remaining_ms
 *
 * @typedef {object} Heartbeat The payload of `HEARTBEAT`.
 * @property {number} [now_ms] Cluster time.
 * @property {'ok'|{stale_since: string}} [store] Whether updates may be missing.
 *
 * @typedef {object} Pong The payload of `PONG`, in cluster time with fractions.
 * @property {number} timestamp As the `PING` had it.
 * @property {number} received_at_ms
 * @property {number} sent_at_ms
 * @property {number} uncertainty_ms
 *
 * @typedef {object} ReconnectAck The payload of `RECONNECT_ACK`.
 * @property {boolean} resumed Whether everything missed follows; if not, a `STATE_SYNC` does.
 *
 * @typedef {object} Payloads The payload of each frame of the service, by its type.
 * @property {Snapshot} STATE_SYNC
 * @property {Snapshot|PartialSnapshot} STATE_UPDATE
 * @property {TimeExpired} TIME_EXPIRED
 * @property {TimeWarning} TIME_WARNING
 * @property {{}} SESSION_DELETED
 * @property {{}} SESSION_NOT_FOUND
 * @property {Heartbeat} HEARTBEAT
 * @property {ReconnectAck} RECONNECT_ACK
 * @property {Pong} PONG
 * @property {CommandAnswer|{}} ACK
 * @property {import('./problem.js').ProblemDocument} ERROR
 *
 * @typedef {keyof Payloads} FrameType
 *
 * @typedef {object} Frame One message on a stream, either way. `type` is a `FrameType` if this release of the service
 *   sent it, and `Payloads` then tells the payload.
 * @property {string} type
 * @property {string|number} [id] An answer repeats the id of its question.
 * @property {string} [session_id]
 * @property {string} [position] `<epoch>-<version>`
 * @property {any} [payload]
 * @property {FrameEvent} [event] Of a `STATE_UPDATE`.
 * @property {boolean} [partial] The payload has only the clocks that changed: a `PartialSnapshot`.
 */

export {};
