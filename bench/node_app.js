// What bench/node measures: a program for Node's cluster module, run under Node's own primary and, unchanged, as drover's worker.
//   node node_app.js PORT WORKERS
// BENCH_MESSAGES=RATE:SECONDS:FILE: worker 1 sends so many messages a second to worker 2, by way of the primary; worker 2 writes
// their times on the way to FILE, and FILE.begun stands there from the first one on.
const cluster = require('node:cluster');
const fs = require('node:fs');
const http = require('node:http');

const [port, workers] = process.argv.slice(2).map(Number);
const page = Buffer.alloc(128, 'x');
const now = () => Number(process.hrtime.bigint() / 1000n);  // microseconds; one clock for all processes

function primary() {
  for (let i = 0; i < workers; ++i) cluster.fork();
  cluster.on('message', (worker, message) => {
    if (message && message.target) cluster.workers[message.target]?.send(message);
  });
}

function send(rate, seconds) {
  const began = now();
  let sent = 0;
  const timer = setInterval(() => {
    const due = Math.min(rate * seconds, Math.floor((now() - began) * rate / 1e6));
    for (; sent < due; ++sent) process.send({type: 'tick', target: 2, data: {at: now(), number: sent}});
    if (sent < rate * seconds) return;
    clearInterval(timer);
    setTimeout(() => process.send({type: 'end', target: 2, data: {sent}}), 500);
  }, 1);
}

function receive(file) {
  const times = [];
  process.on('message', (message) => {
    if (message?.type === 'tick') {
      if (times.push(now() - message.data.at) === 1) fs.writeFileSync(file + '.begun', '');
    } else if (message?.type === 'end') {
      times.sort((a, b) => a - b);
      const at = (part) => times[Math.min(times.length - 1, Math.floor(times.length * part))];
      fs.writeFileSync(file + '.part', JSON.stringify({sent: message.data.sent, got: times.length, p50: at(0.5), p99: at(0.99), most: at(1)}));
      fs.renameSync(file + '.part', file);
    }
  });
}

function worker() {
  const server = http.createServer((request, response) => response.end(page));
  server.keepAliveTimeout = 60_000;
  server.listen(port);
  if (!process.env.BENCH_MESSAGES) return;
  const [rate, seconds, file] = process.env.BENCH_MESSAGES.split(':');
  if (cluster.worker.id === 1) setTimeout(send, 3000, Number(rate), Number(seconds));
  if (cluster.worker.id === 2) receive(file);
}

if (cluster.isPrimary) primary();
else worker();
