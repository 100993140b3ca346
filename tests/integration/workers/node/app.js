// A plain http server with a hard-coded port, as one that was never meant to have siblings. node app.js PORT [HOST]
const fs = require('fs');
const http = require('http');

const [port, host] = [Number(process.argv[2]), process.argv[3]];
let closing = null;

function body(request, then) {
  let text = '';
  request.on('data', (part) => { text += part; });
  request.on('end', () => then(text));
}

const server = http.createServer((request, response) => {
  const cluster = require('cluster');
  // What docs/channel.md advises: who keeps its connection alive is led to another worker.
  if (process.env.POLITE && !server.listening) response.setHeader('Connection', 'close');
  const say = (what) => response.end(JSON.stringify(what));
  switch (request.url.split('?')[0]) {
    case '/': return say({ pid: process.pid, worker: cluster.worker && cluster.worker.id, address: server.address(), port: process.env.PORT });
    case '/leave': say('leaves'); return cluster.worker.disconnect();
    case '/kill': say('kills itself'); return setTimeout(() => cluster.worker.kill(), 20);
    case '/exit': say('exits'); return setTimeout(() => process.exit(3), 20);
    case '/spin': say('spins'); return setTimeout(() => { for (;;); }, 50);
    case '/slow': return setTimeout(() => say({ pid: process.pid }), 500);
    case '/close': say('closes'); return server.close(() => { closing = setTimeout(() => server.listen(port, host), 1000); });
    case '/handle': process.send('take this', request.socket, { keepOpen: true }); process.send({ type: 'after' }); return say('sent');
    // Once for each: the test counts lines.
    case '/order': return body(request, (text) => { fs.appendFileSync('orders', `${text} ${process.pid}\n`); say({ pid: process.pid, order: text }); });
    default: response.writeHead(404); return response.end();
  }
});
server.listen(port, host);
