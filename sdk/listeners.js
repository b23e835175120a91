/** Event listeners by name. */

export class Listeners {
  /** @type {Map<string, Set<Function>>} */
  #byName = new Map();

  /**
   * @param {string} name
   * @param {Function} listener
   * @returns {() => void} Removes the listener.
   */
  add(name, listener) {
    const all = this.#byName.get(name) ?? new Set();
    this.#byName.set(name, all.add(listener));
    return () => all.delete(listener);
  }

  /**
   * A listener that throws does not keep the others from being called; its error is reported like any uncaught one.
   *
   * @param {string} name
   * @param {...any} values
   */
  emit(name, ...values) {
    for (const listener of [...(this.#byName.get(name) ?? [])]) {
      try {
        listener(...values);
      } catch (error) {
        queueMicrotask(() => {
          throw error;
        });
      }
    }
  }
}
