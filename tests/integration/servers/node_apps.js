'use strict';
// Node programs as people write them: a port of their own, no word of drover or of the cluster module. node node_apps.js KIND PORT [KEY CERTIFICATE]
// Each says which process answers; /slow takes its time.
const fs = require('node:fs');

const [kind, portText, key, certificate] = process.argv.slice(2);
const port = Number(portText);

function answer(request, response) {
  let length = 0;
  request.on('data', (piece) => { length += piece.length; });
  request.on('end', () => {
    const body = JSON.stringify({ kind, pid: process.pid, method: request.method, length, url: request.url });
    setTimeout(() => {
      response.writeHead(200, { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(body) });
      response.end(body);
    }, request.url.startsWith('/slow') ? 300 : 0);
  });
}

const kinds = {
  http() {
    require('node:http').createServer(answer).listen(port);
  },
  https() {
    require('node:https').createServer({ key: fs.readFileSync(key), cert: fs.readFileSync(certificate) }, answer).listen(port);
  },
  net() {
    // A protocol of lines.
    require('node:net').createServer((socket) => {
      socket.setEncoding('utf8');
      socket.on('error', () => {});
      let line = '';
      socket.on('data', (piece) => {
        line += piece;
        const lines = line.split('\n');
        line = lines.pop();
        for (const each of lines) socket.write(`${JSON.stringify({ kind, pid: process.pid, line: each })}\n`);
      });
    }).listen(port);
  },
  express() {
    const app = require('express')();
    app.use((request, response) => {
      response.json({ kind, pid: process.pid, method: request.method, url: request.url });
    });
    app.listen(port);
  },
  fastify() {
    const app = require('fastify')();
    app.all('/*', async (request) => ({ kind, pid: process.pid, method: request.method, url: request.url }));
    app.listen({ port, host: '0.0.0.0' });
  },
  ws() {
    const server = require('node:http').createServer(answer);
    const { WebSocketServer } = require('ws');
    new WebSocketServer({ server }).on('connection', (socket) => {
      socket.on('message', (data) => socket.send(JSON.stringify({ kind, pid: process.pid, line: String(data) })));
    });
    server.listen(port);
  },
};
kinds[kind]();
