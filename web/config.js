/** From a preset and what was filled in to what the server is asked to create. Pure. */

// Told in good time, and again when it matters; those a clock begins below never come about.
const WARNINGS_MS = [60_000, 10_000, 5000];

/**
 * @typedef {object} Wanted
 * @property {import('./presets.js').Preset} preset
 * @property {string} title
 * @property {import('./presets.js').Values} values
 * @property {{name: string, column: string}[]} people
 */

/** @param {Wanted} wanted */
export function configOf(wanted) {
  const { preset, values } = wanted;
  const seated = preset.people ? SEATED[preset.people.as](wanted) : {};
  const title = wanted.title.trim();
  const metadata = { preset: preset.key, ...(title && { title }), ...seated.metadata };
  return { ...preset.rules(values), warnings_ms: WARNINGS_MS, ...seated, metadata };
}

/**
 * What keeps `wanted` from being made, in plain words; null if nothing does. Whether its times make a
 * clock that can be played, the server says.
 *
 * @param {Wanted} wanted
 */
export function objectionTo({ preset, values, people }) {
  for (const { key, label, least = 0, isCount } of preset.fields) {
    if (!Number.isFinite(values[key]) || values[key] < 0) return 'Times are numbers, and not below zero.';
    if (values[key] < least) return `“${label}” needs at least ${least}.`;
    if (isCount && !Number.isInteger(values[key])) return `“${label}” is a whole number.`;
  }
  const isNumber = preset.people?.column && !preset.people.column.isText;
  if (isNumber && people.some(({ column }) => !(Number(column) >= 0))) return 'Times are numbers, and not below zero.';
  return null;
}

const SEATED = { participants, rooms, teams };

function participants({ preset, people, values }) {
  const { word, bank } = preset.people;
  const seated = people.map(({ name, column }, at) => ({
    participant_id: `p${at + 1}`,
    ...(bank && { total_time_ms: bank(Number(column), values) }),
    metadata: { name: shown(name, word, at) },
  }));
  return { participants: seated };
}

// A group has no metadata of its own, so what it is called stands in the session's.
function rooms({ preset, people }) {
  const ids = people.map((_one, at) => `g${at + 1}`);
  const names = people.map(({ name }, at) => [ids[at], shown(name, preset.people.word, at)]);
  return { groups: ids.map((id) => ({ group_id: id })), metadata: { group_names: Object.fromEntries(names) } };
}

function teams(wanted) {
  const { groups, metadata } = rooms(wanted);
  const members = wanted.people.flatMap(({ column }, team) => {
    const names = column.split(',').map((name) => name.trim()).filter(Boolean);
    return (names.length ? names : ['Player']).map((name, at) => ({
      participant_id: `g${team + 1}p${at + 1}`,
      group_id: groups[team].group_id,
      metadata: { name },
    }));
  });
  return { groups, participants: members, metadata };
}

function shown(name, word, at) {
  return name.trim() || `${word} ${at + 1}`;
}
