'use strict';
// A worker that does as it is told over HTTP, with the Node client library; the orders: worker.py beside it.
const http = require('node:http');
const path = require('node:path');
const drover = require(path.join(process.env.DROVER_SOURCE, 'examples/clients/node/drover-channel.js'));

const received = [];
const changes = [];
const sleep = (milliseconds) => new Promise((resolve) => { setTimeout(resolve, milliseconds); });

const orders = {
  send: ({ type, data, to }) => drover.send(type, data, { to }),
  broadcast: ({ type, data }) => drover.send(type, data, { broadcast: true }),
  request: ({ type, data, to, timeout }) => drover.request(type, data, { to, timeout }),
  received: () => received,
  late: () => drover.late,
  report: ({ memory, cpu }) => drover.report({ memory, cpu }),
  metrics: ({ data }) => drover.metrics(data),
  get: ({ key, value }) => drover.state.get(key, value),
  set: ({ key, value }) => drover.state.set(key, value),
  delete: ({ key }) => drover.state.delete(key),
  all: ({ key }) => drover.state.all(key),
  cas: ({ key, expected, value }) => drover.state.compareAndSet(key, expected, value),
  subscribe: ({ key }) => drover.state.subscribe((...change) => changes.push(change), key),
  changes: () => changes,
  async incr({ key, times }) {
    const sums = await Promise.all(Array.from({ length: times }, () => drover.state.incr(key)));
    return sums.at(-1);
  },
};

drover.on('*', (message) => { received.push(message); });
drover.on('echo', (message) => ({ data: message.data, by: 'node' }));
drover.on('fail', () => { throw new Error('not today'); });
drover.on('slow', async (message) => { await sleep(message.data); return 'at last'; });
drover.on('ask-back', async (message) => {
  const { ok, data } = await drover.request('echo', 'from a handler', { to: message.worker });
  return { ok, data };
});

http.createServer(async (request, response) => {
  let body = '';
  for await (const piece of request) body += piece;
  try {
    const order = body ? JSON.parse(body) : undefined;
    response.end(JSON.stringify((order ? await orders[order.op](order) : 'fine') ?? null));
  } catch (error) {
    response.statusCode = 500;
    response.end(String(error.stack));
  }
}).listen(Number(process.env.PORT), '127.0.0.1');
