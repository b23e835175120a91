/** From a preset and the values of the form to the body of a create request. Pure. */

// Early, and again near the end; a clock that starts below one never reaches it.
const WARNINGS_MS = [60_000, 10_000, 5000];

/**
 * @typedef {object} ClockForm
 * @property {import('./presets.js').Preset} preset
 * @property {string} title
 * @property {import('./presets.js').Values} values
 * @property {{name: string, column: string}[]} people
 */

/** @param {ClockForm} form */
export function configOf(form) {
  const { preset, values } = form;
  const seating = preset.people ? SEATING[preset.people.as](form) : {};
  const title = form.title.trim();
  const metadata = { preset: preset.key, ...(title && { title }), ...seating.metadata };
  return { ...preset.rules(values), warnings_ms: WARNINGS_MS, ...seating, metadata };
}

/**
 * The text of the first error in the form; null if there is none. The server checks whether the times
 * make a valid time control.
 *
 * @param {ClockForm} form
 */
export function formError({ preset, values, people }) {
  for (const { key, label, min = 0, isCount } of preset.fields) {
    if (!Number.isFinite(values[key]) || values[key] < 0) return 'Times are numbers, and not below zero.';
    if (values[key] < min) return `“${label}” needs at least ${min}.`;
    if (isCount && !Number.isInteger(values[key])) return `“${label}” is a whole number.`;
  }
  const isNumber = preset.people?.column && !preset.people.column.isText;
  if (isNumber && people.some(({ column }) => !(Number(column) >= 0))) return 'Times are numbers, and not below zero.';
  return null;
}

const SEATING = { participants, rooms, teams };

function participants({ preset, people, values }) {
  const { word, bank } = preset.people;
  const seating = people.map(({ name, column }, at) => ({
    participant_id: `p${at + 1}`,
    ...(bank && { total_time_ms: bank(Number(column), values) }),
    metadata: { name: displayName(name, word, at) },
  }));
  return { participants: seating };
}

// A group has no metadata of its own, so its name is in the session's.
function rooms({ preset, people }) {
  const ids = people.map((_one, at) => `g${at + 1}`);
  const names = people.map(({ name }, at) => [ids[at], displayName(name, preset.people.word, at)]);
  return { groups: ids.map((id) => ({ group_id: id })), metadata: { group_names: Object.fromEntries(names) } };
}

function teams(form) {
  const { groups, metadata } = rooms(form);
  const members = form.people.flatMap(({ column }, team) => {
    const names = column.split(',').map((name) => name.trim()).filter(Boolean);
    return (names.length ? names : ['Player']).map((name, at) => ({
      participant_id: `g${team + 1}p${at + 1}`,
      group_id: groups[team].group_id,
      metadata: { name },
    }));
  });
  return { groups, participants: members, metadata };
}

function displayName(name, word, at) {
  return name.trim() || `${word} ${at + 1}`;
}
