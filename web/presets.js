/**
 * Every kind of clock the page offers, as one table: its name, its fields, and the request to the
 * server. A new kind is a new entry. Pure.
 *
 * @typedef {object} Field A number to fill in.
 * @property {string} key
 * @property {string} label
 * @property {number} value
 * @property {number} [min]
 * @property {boolean} [isCount] Whole numbers only.
 *
 * @typedef {object} Participants The owners of clocks, or the members who take turns.
 * @property {string} legend
 * @property {string} word The name of one without a name.
 * @property {'participants'|'rooms'|'teams'} as
 * @property {string[]} names
 * @property {number} [min]
 * @property {number} [max]
 * @property {{label: string, values: string[], isText?: boolean}} [column] A second value for each.
 * @property {(column: number, values: Values) => number} [bank] The bank of each, where they differ.
 *
 * @typedef {Record<string, number>} Values The values of the form, by key.
 *
 * @typedef {object} Preset
 * @property {string} key
 * @property {string} name
 * @property {string} description
 * @property {Field[]} fields
 * @property {{text: string, values: Values}[]} [quick] Common values.
 * @property {Participants} [people]
 * @property {{switch?: string, extend?: string, cycle?: string}} [terms] Its own names for commands.
 * @property {(values: Values) => object} rules
 */

import { hours, minutes, seconds } from './durations.js';

const MINUTES_EACH = { key: 'minutes', label: 'Minutes each' };
const ADDED = { key: 'increment', label: 'Seconds added a move' };
const MOVES = { cycle: 'move' };

const PLAYERS = { legend: 'Who plays?', word: 'Player', as: 'participants', names: ['White', 'Black'], min: 2, max: 8 };
const TWO_PLAYERS = { ...PLAYERS, max: 2 };

/** @type {{name: string, presets: Preset[]}[]} */
export const GROUPS = [
  {
    name: 'Games',
    presets: [
      {
        key: 'blitz',
        name: 'Blitz 3 + 2',
        description: 'A chess clock: every move earns a little time back.',
        fields: [{ ...MINUTES_EACH, value: 3 }, { ...ADDED, value: 2 }],
        quick: [
          { text: '1 + 0', values: { minutes: 1, increment: 0 } },
          { text: '3 + 2', values: { minutes: 3, increment: 2 } },
          { text: '5 + 3', values: { minutes: 5, increment: 3 } },
          { text: '10 + 0', values: { minutes: 10, increment: 0 } },
          { text: '15 + 10', values: { minutes: 15, increment: 10 } },
          { text: '30 + 20', values: { minutes: 30, increment: 20 } },
        ],
        people: PLAYERS,
        terms: MOVES,
        rules: (set) => ({
          sync_mode: 'per_participant',
          total_time_ms: minutes(set.minutes),
          increment_ms: seconds(set.increment),
        }),
      },
      {
        key: 'classical',
        name: 'FIDE classical',
        description: 'Forty moves in ninety minutes, half an hour for the rest, and thirty seconds a move from the first.',
        fields: [
          { ...MINUTES_EACH, value: 90 },
          { key: 'cycles', label: 'for so many moves', value: 40, min: 1, isCount: true },
          { key: 'more', label: 'then minutes more', value: 30 },
          { ...ADDED, value: 30 },
        ],
        people: TWO_PLAYERS,
        terms: MOVES,
        rules: (set) => ({
          sync_mode: 'per_participant',
          total_time_ms: minutes(set.minutes),
          increment_ms: seconds(set.increment),
          time_control: { stages: [{ cycles: set.cycles, add_ms: minutes(set.more) }] },
        }),
      },
      {
        key: 'delay',
        name: 'US delay',
        description: 'The clock waits a little before each move; what is not used of the delay is not saved up.',
        fields: [{ ...MINUTES_EACH, value: 25 }, { key: 'delay', label: 'Seconds of delay', value: 5, min: 1 }],
        people: TWO_PLAYERS,
        terms: MOVES,
        rules: (set) => ({
          sync_mode: 'per_participant',
          total_time_ms: minutes(set.minutes),
          time_control: { delay: { type: 'simple', delay_ms: seconds(set.delay) } },
        }),
      },
      {
        key: 'byoyomi',
        name: 'Byo-yomi',
        description: 'When main time is out, every move must be made within a period; one that runs full is lost.',
        fields: [
          { ...MINUTES_EACH, value: 10 },
          { key: 'periods', label: 'Periods', value: 5, min: 1, isCount: true },
          { key: 'period', label: 'Seconds a period', value: 30, min: 1 },
        ],
        people: TWO_PLAYERS,
        terms: MOVES,
        rules: (set) => ({
          sync_mode: 'per_participant',
          total_time_ms: minutes(set.minutes),
          time_control: { overtime: { type: 'byoyomi', periods: set.periods, period_ms: seconds(set.period) } },
        }),
      },
      {
        key: 'canadian',
        name: 'Canadian',
        description: 'When main time is out, so many moves must be made within each further block of time.',
        fields: [
          { ...MINUTES_EACH, value: 10 },
          { key: 'cycles', label: 'Moves a block', value: 15, min: 1, isCount: true },
          { key: 'block', label: 'Minutes a block', value: 5, min: 0.05 },
        ],
        people: TWO_PLAYERS,
        terms: MOVES,
        rules: (set) => ({
          sync_mode: 'per_participant',
          total_time_ms: minutes(set.minutes),
          time_control: { overtime: { type: 'canadian', cycles: set.cycles, period_ms: minutes(set.block) } },
        }),
      },
      {
        key: 'hourglass',
        name: 'Hourglass',
        description: 'What one uses, the other gains.',
        fields: [{ ...MINUTES_EACH, value: 1 }],
        people: TWO_PLAYERS,
        terms: MOVES,
        rules: (set) => ({
          sync_mode: 'per_participant',
          total_time_ms: minutes(set.minutes),
          time_control: { hourglass: true },
        }),
      },
      {
        key: 'team',
        name: 'Team match',
        description: 'Each team has one clock, whoever of it plays; its members take turns.',
        fields: [{ key: 'minutes', label: 'Minutes a team', value: 10 }, { ...ADDED, value: 0 }],
        people: {
          legend: 'Which teams, and who plays for them?',
          word: 'Team',
          as: 'teams',
          names: ['Red', 'Blue'],
          min: 2,
          max: 8,
          column: { label: 'Members', values: ['Ann, Ben', 'Cleo, Dan'], isText: true },
        },
        terms: MOVES,
        rules: (set) => ({
          sync_mode: 'per_group',
          total_time_ms: minutes(set.minutes),
          increment_ms: seconds(set.increment),
        }),
      },
      {
        key: 'poker',
        name: 'Poker time bank',
        description: 'So long for each decision; whoever needs longer draws on a bank that does not come back.',
        fields: [
          { key: 'cycle', label: 'Seconds a decision', value: 20, min: 1 },
          { key: 'bank', label: 'Seconds in the bank', value: 60 },
        ],
        people: { ...PLAYERS, legend: 'Who sits at the table?', names: ['Ace', 'Bea', 'Cal', 'Dot', 'Eli', 'Fay'], max: 10 },
        terms: { cycle: 'decision' },
        rules: (set) => ({
          sync_mode: 'per_cycle',
          time_per_cycle_ms: seconds(set.cycle),
          total_time_ms: seconds(set.bank),
          action_on_timeout: { type: 'advance' },
        }),
      },
    ],
  },
  {
    name: 'Together',
    presets: [
      {
        key: 'quiz',
        name: 'Quiz round',
        description: 'The same time for every answer; when it is out, the next one is asked at once.',
        fields: [{ key: 'cycle', label: 'Seconds an answer', value: 15, min: 0.1 }],
        people: { ...PLAYERS, legend: 'Who answers?', names: ['Ann', 'Ben', 'Cleo'], min: 1, max: 30 },
        terms: { switch: 'Next', cycle: 'answer' },
        rules: (set) => ({ sync_mode: 'per_cycle', time_per_cycle_ms: seconds(set.cycle), auto_advance: true }),
      },
      {
        key: 'auction',
        name: 'Auction',
        description: 'A bid in the last moments moves the end, so that nobody wins by being last.',
        fields: [
          { key: 'minutes', label: 'Minutes', value: 5, min: 0.01 },
          { key: 'window', label: 'A bid in the last (s)', value: 30, min: 1 },
          { key: 'extension', label: 'leaves so many (s)', value: 30, min: 1 },
        ],
        terms: { extend: 'Bid' },
        rules: (set) => ({
          sync_mode: 'global',
          total_time_ms: minutes(set.minutes),
          soft_close: { window_ms: seconds(set.window), extension_ms: seconds(set.extension) },
        }),
      },
      {
        key: 'meeting',
        name: 'Meeting agenda',
        description: 'Each item has its minutes. One that runs over is not cut off, but everybody sees by how much.',
        fields: [],
        people: {
          legend: 'What is on the agenda?',
          word: 'Item',
          as: 'participants',
          names: ['Welcome', 'Numbers', 'Plans', 'Questions'],
          min: 1,
          max: 30,
          column: { label: 'Minutes', values: ['2', '10', '15', '5'] },
          bank: (column) => minutes(column),
        },
        terms: { switch: 'Next item', cycle: 'time' },
        rules: () => ({ sync_mode: 'per_participant', action_on_timeout: { type: 'continue' } }),
      },
      {
        key: 'breakout',
        name: 'Breakout rooms',
        description: 'Every room has the same time at once, and each can pause or be given more.',
        fields: [{ key: 'minutes', label: 'Minutes a room', value: 10 }],
        people: { legend: 'Which rooms?', word: 'Room', as: 'rooms', names: ['Room 1', 'Room 2', 'Room 3'], min: 1, max: 100 },
        rules: (set) => ({ sync_mode: 'per_group', concurrency: 'simultaneous', total_time_ms: minutes(set.minutes) }),
      },
      {
        key: 'exam',
        name: 'Exam',
        description: 'All begin at once; who is entitled to it has longer. Each clock can pause, end and be given more by itself.',
        fields: [{ key: 'minutes', label: 'Minutes', value: 90 }],
        people: {
          legend: 'Who sits the exam?',
          word: 'Candidate',
          as: 'participants',
          names: ['Ann', 'Ben', 'Cleo', 'Dan', 'Eve', 'Finn'],
          min: 1,
          max: 300,
          column: { label: 'Extra min', values: ['', '', '', '', '', '23'] },
          bank: (column, set) => minutes(set.minutes + column),
        },
        rules: () => ({ sync_mode: 'per_participant', concurrency: 'simultaneous' }),
      },
    ],
  },
  {
    name: 'Simple',
    presets: [
      {
        key: 'countdown',
        name: 'Countdown',
        description: 'One clock for everybody, down to nothing.',
        fields: [
          { key: 'hours', label: 'Hours', value: 0 },
          { key: 'minutes', label: 'Minutes', value: 5 },
          { key: 'seconds', label: 'Seconds', value: 0 },
        ],
        quick: [
          { text: '1 min', values: { hours: 0, minutes: 1, seconds: 0 } },
          { text: '5 min', values: { hours: 0, minutes: 5, seconds: 0 } },
          { text: '10 min', values: { hours: 0, minutes: 10, seconds: 0 } },
          { text: '25 min', values: { hours: 0, minutes: 25, seconds: 0 } },
          { text: '45 min', values: { hours: 0, minutes: 45, seconds: 0 } },
          { text: '1 h', values: { hours: 1, minutes: 0, seconds: 0 } },
        ],
        rules: (set) => ({
          sync_mode: 'global',
          total_time_ms: hours(set.hours) + minutes(set.minutes) + seconds(set.seconds),
        }),
      },
      {
        key: 'stopwatch',
        name: 'Stopwatch',
        description: 'Counts up from nothing, lap by lap.',
        fields: [{ key: 'limit', label: 'Stop after (minutes, 0 for never)', value: 0 }],
        terms: { switch: 'Lap' },
        rules: (set) => ({ sync_mode: 'count_up', ...(set.limit && { max_time_ms: minutes(set.limit) }) }),
      },
    ],
  },
];

/** @type {Preset[]} */
export const PRESETS = GROUPS.flatMap((group) => group.presets);

/**
 * @param {unknown} key
 * @returns {Preset|undefined}
 */
export function presetOf(key) {
  return PRESETS.find((preset) => preset.key === key);
}
