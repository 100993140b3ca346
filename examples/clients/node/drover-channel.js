'use strict';
// The channel between a Node program and drover, in one file; no package needed, Node 18 or later. It is Node's own: process.send() and
// process.on('message'), which drover serves where the pool has node = "cluster" (what "auto" means for a command that is node) or "fork".
// Elsewhere, and without drover, everything here does nothing and says so by its result.
//
//   const drover = require('./drover-channel.js');
//
//   drover.ready();                                  // for pools with ready.notify
//   drover.reportEvery(5000);                        // memory and CPU of this process, from now on
//   drover.metrics({ orders: 17 });                  // drover_worker_reported{pool,worker,name="orders"}
//
//   drover.send('news', { text: 'hi' }, { to: 3 });  // to worker 3 of this pool; 'shop.3', 'shop' (all of it)
//   drover.send('news', { text: 'hi' }, { broadcast: true });           // to all of this pool, this one too
//   drover.on('price', async (message) => prices[message.data.item]);   // what it gives, or its promise, is the response
//   const answer = await drover.request('price', { item: 'tea' }, { to: 2, timeout: 2000 });
//   if (answer.ok) use(answer.data); else log(answer.error);
//
//   await drover.state.set('rate', 1.25, { expires: 60000 });
//   await drover.state.get('rate', 1.0);             // the second one: if there is none, or no answer
//   await drover.state.incr('visits');               // the sum, exact over all workers of the pool
//   await drover.state.subscribe((key, value, old) => …, 'cart:');
//
// No promise is rejected because drover is not there, goes away or does not answer: requests give { ok: false, error }, state calls their
// default, false or undefined. What is no JSON (a circular structure, a BigInt) throws.
//
// Whoever has set a handler or asked for something listens, and listening keeps a program alive until drover ends the channel, as a server does.
// Lines, also very long ones and those that come in pieces, are cut and joined by Node itself; a response that comes after its time is counted
// (drover.late) and dropped; when drover ends the channel, all that wait are told and the handler of 'disconnect' is called.

const MAX_LINE = 1 << 20;   // bytes; drover throws longer ones away
const MAX_UNSENT = 1000;    // messages that Node still holds because drover does not read; more are not taken
const MAX_WAITING = 1000;   // requests without an answer yet

const waiting = new Map();  // our id → { resolve, timer }
const handlers = new Map();
const subscribers = [];     // { prefix, handler }
let last = 0;
let unsent = 0;
let listening = false;

const drover = {
  late: 0,                  // answers that came after their time
  worker: process.env.DROVER_POOL ? `${process.env.DROVER_POOL}.${process.env.DROVER_WORKER}` : '',
  get connected() { return process.connected === true; },

  /** To other workers, or to nobody in particular: then it is an event for whoever follows `drover events`. False: not sent. */
  send(type, data = null, { to, broadcast } = {}) {
    return write({ type, data, target: to, broadcast: broadcast || undefined });
  },

  /** Asks one worker: a promise of { ok, data, error }. */
  request(type, data = null, { to, timeout = 5000 } = {}) {
    return ask({ type, data, target: to, timeout }, timeout);
  },

  /** handler(message) for messages of that type; '*': of all others; 'disconnect': drover has gone; 'state:sync': a key of the shared state
   *  was changed by another worker. What it gives answers a request; what it throws, too. */
  on(type, handler) {
    handlers.set(type, handler);
    listen();
  },

  /** memory in bytes, cpu in percent of one core. Whoever has begun to report should go on: silence counts as illness. */
  report(figures) {
    return write({ type: 'health', data: { uptime: process.uptime(), ...figures } });
  },

  /** Memory and CPU of this process. Returns the timer, for clearInterval(). */
  reportEvery(milliseconds) {
    let before = { at: performance.now(), cpu: process.cpuUsage() };
    const timer = setInterval(() => {
      const now = { at: performance.now(), cpu: process.cpuUsage() };
      const used = now.cpu.user + now.cpu.system - before.cpu.user - before.cpu.system;  // microseconds
      drover.report({ memory: process.memoryUsage.rss(), cpu: Math.round(used / (now.at - before.at)) / 10 });
      before = now;
    }, milliseconds);
    return timer.unref();
  },

  /** Numbers by name. Those that are not finite are left out. */
  metrics(figures) {
    return write({ type: 'metrics', data: Object.fromEntries(Object.entries(figures).filter(([, value]) => Number.isFinite(value))) });
  },

  ready() { return write({ type: 'ready' }); },

  /** Counted as an error of this worker. */
  error(text) { return write({ type: 'error', error: String(text) }); },

  /** Keys and JSON values that all workers of the pool share; drover holds them, also while workers die and are replaced. */
  state: {
    async get(key, otherwise) {
      const answer = await ask({ type: 'state:get', data: { key } });
      return answer.ok && answer.data.value != null ? answer.data.value : otherwise;
    },

    /** expires: milliseconds from now. True if it is set. */
    async set(key, value, { expires } = {}) {
      return (await ask({ type: 'state:set', data: { key, value, expires } })).ok;
    },

    async delete(key) {
      return (await ask({ type: 'state:delete', data: { key } })).ok;
    },

    /** An object, asked for in as many pieces as it takes; undefined if a piece could not be had. */
    async all(prefix = '') {
      const found = {};
      for (let after = ''; ;) {
        const answer = await ask({ type: 'state:all', data: { prefix, after } });
        if (!answer.ok) return undefined;
        Object.assign(found, answer.data.values);
        if (!answer.data.more) return found;
        after = answer.data.after;
      }
    },

    /** The sum; undefined if it could not be had: then it may or may not have been added. */
    async incr(key, by = 1, { expires } = {}) {
      const answer = await ask({ type: 'state:incr', data: { key, by, expires } });
      return answer.ok ? answer.data.value : undefined;
    },

    /** Sets `value` if the present one equals `expected` (undefined: there is none; value undefined: removes it). True if so, false if not,
     *  undefined if nobody answered. */
    async compareAndSet(key, expected, value, { expires } = {}) {
      const answer = await ask({ type: 'state:cas', data: { key, expected, value, expires } });
      return answer.ok ? answer.data.success : undefined;
    },

    /** handler(key, value, old) for each change by anybody of a key that begins with `prefix`; undefined: no value. */
    async subscribe(handler, prefix = '') {
      subscribers.push({ prefix, handler });
      return (await ask({ type: 'state:subscribe', data: { prefix: subscribers.map((each) => each.prefix).reduce(common) } })).ok;
    },
  },
};

function write(message) {
  const size = Buffer.byteLength(JSON.stringify(message));  // throws what is no JSON, with drover and without
  if (!drover.connected || size > MAX_LINE || unsent >= MAX_UNSENT) return false;
  unsent += 1;
  process.send(message, undefined, undefined, () => { unsent -= 1; });  // called when it has left, and when the channel has ended
  return true;
}

function ask(message, timeout = 5000) {
  listen();
  if (waiting.size >= MAX_WAITING) return Promise.resolve(failed(`${MAX_WAITING} requests wait already`));
  const id = ++last;
  if (!write({ ...message, id })) return Promise.resolve(failed('not sent: drover is not there, or does not read, or it is too long'));
  return new Promise((resolve) => {
    const timer = setTimeout(() => end(id, failed(`no answer within ${timeout / 1000} s`)), timeout);
    waiting.set(id, { resolve, timer });
  });
}

function end(id, answer) {
  const waiter = waiting.get(id);
  if (!waiter) return false;
  waiting.delete(id);
  clearTimeout(waiter.timer);
  waiter.resolve(answer);
  return true;
}

const failed = (error) => ({ ok: false, data: null, error });

function common(a, b) {
  let at = 0;
  while (at < a.length && a[at] === b[at]) at += 1;
  return a.slice(0, at);
}

// Only when it is needed: a listener for messages keeps the program alive.
function listen() {
  if (listening || !drover.connected) return;
  listening = true;
  process.on('message', heard);
  process.once('disconnect', () => {
    for (const id of [...waiting.keys()]) end(id, failed('drover has gone'));
    handlers.get('disconnect')?.({ type: 'disconnect' });
  });
}

function heard(message) {
  if (message === null || typeof message !== 'object') return;
  if (message.type === 'response') {
    const { originalId, data, error } = message;
    if (!end(originalId, error == null ? { ok: true, data, error: null } : failed(error?.message ?? error))) drover.late += 1;
  } else if (message.type === 'state:change') {
    const { key, value, oldValue } = message.data;
    for (const { prefix, handler } of subscribers) if (key.startsWith(prefix)) handler(key, value, oldValue);
  } else {
    serve(message);
  }
}

async function serve(message) {
  const handler = handlers.get(message.type) ?? (message.type === 'state:sync' ? undefined : handlers.get('*'));
  const respond = (data, error) => {
    if (message.id != null) write({ type: 'response', originalId: message.id, data, error: error == null ? null : { message: error } });
  };
  if (!handler) {
    respond(null, `${drover.worker} has no handler for messages of type ${JSON.stringify(message.type)}`);
    return;
  }
  try {
    respond((await handler(message)) ?? null, null);
  } catch (error) {
    respond(null, String(error?.message ?? error));
    console.error(`drover: in the handler of ${JSON.stringify(message.type)}:`, error);
  }
}

module.exports = drover;
