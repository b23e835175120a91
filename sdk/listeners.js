/** Who wants to know of what. */

export class Listeners {
  /** @type {Map<string, Set<Function>>} */
  #byName = new Map();

  /**
   * @param {string} name
   * @param {Function} listener
   * @returns {() => void} Stops it.
   */
  add(name, listener) {
    const all = this.#byName.get(name) ?? new Set();
    this.#byName.set(name, all.add(listener));
    return () => all.delete(listener);
  }

  /**
   * @param {string} name
   * @param {...any} facts
   */
  tell(name, ...facts) {
    for (const listener of [...(this.#byName.get(name) ?? [])]) listener(...facts);
  }
}
