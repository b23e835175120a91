/**
 * Reads the text of server-sent events, in whatever pieces it comes.
 *
 * @typedef {{type: string, data: string, id: string|null}} StreamEvent
 */

export class EventReader {
  #rest = '';

  /**
   * The events that `text` completes.
   *
   * @param {string} text
   * @returns {StreamEvent[]}
   */
  take(text) {
    const blocks = (this.#rest + text).split(/\r\n\r\n|\n\n|\r\r/);
    this.#rest = blocks.pop() ?? '';
    return blocks.map(eventOf).filter((event) => event.data !== '');
  }
}

/** @param {string} block */
function eventOf(block) {
  /** @type {Record<string, string[]>} */
  const fields = {};
  for (const line of block.split(/\r\n|\n|\r/)) {
    const [, name, value] = /^([^:]*):? ?(.*)$/.exec(line) ?? [];
    (fields[name] ??= []).push(value);
  }
  return { type: fields.event?.at(-1) ?? 'message', data: (fields.data ?? []).join('\n'), id: fields.id?.at(-1) ?? null };
}
