/**
 * Counts what a page holds: timers, frames asked for, listeners, sockets and requests. Run in the page before anything
 * else.
 */
export function countHeld() {
  const held = { timers: new Set(), frames: new Set(), listeners: new Map(), sockets: new Set(), requests: 0 };

  const { setTimeout: set, clearTimeout: clear, requestAnimationFrame: ask, cancelAnimationFrame: cancel, fetch: get } = window;
  window.setTimeout = (run, ms, ...values) => {
    const timer = set(() => {
      held.timers.delete(timer);
      run(...values);
    }, ms);
    held.timers.add(timer);
    return timer;
  };
  window.clearTimeout = (timer) => {
    held.timers.delete(timer);
    clear(timer);
  };

  // A hidden page gets no frames; the tests hide it by `isHidden`.
  const waiting = new Map();
  window.requestAnimationFrame = (draw) => {
    const frame = ask((at) => {
      if (window.isHidden) return waiting.set(frame, draw);
      held.frames.delete(frame);
      return draw(at);
    });
    held.frames.add(frame);
    return frame;
  };
  window.cancelAnimationFrame = (frame) => {
    held.frames.delete(frame);
    waiting.delete(frame);
    cancel(frame);
  };
  window.show = () => {
    window.isHidden = false;
    for (const [frame, draw] of waiting) {
      held.frames.delete(frame);
      draw(performance.now());
    }
    waiting.clear();
  };

  window.fetch = async (...args) => {
    held.requests += 1;
    try {
      return await get(...args);
    } finally {
      held.requests -= 1;
    }
  };

  const { addEventListener: add, removeEventListener: remove } = EventTarget.prototype;
  const change = (target, name, by) => {
    if (target !== window && target !== document) return;
    held.listeners.set(name, (held.listeners.get(name) ?? 0) + by);
  };
  EventTarget.prototype.addEventListener = function (name, ...rest) {
    change(this, name, 1);
    return add.call(this ?? window, name, ...rest);
  };
  EventTarget.prototype.removeEventListener = function (name, ...rest) {
    change(this, name, -1);
    return remove.call(this ?? window, name, ...rest);
  };

  const Socket = window.WebSocket;
  window.sockets = 0;
  window.WebSocket = class extends Socket {
    constructor(...args) {
      super(...args);
      window.sockets += 1;
      held.sockets.add(this);
    }
  };

  window.held = () => ({
    timers: held.timers.size,
    frames: held.frames.size,
    requests: held.requests,
    listeners: Object.fromEntries([...held.listeners].filter(([, count]) => count !== 0)),
    sockets: [...held.sockets].filter((socket) => socket.readyState < 2).length,
  });
}
