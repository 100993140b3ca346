// A plain Node.js http server as a user would write it: no cluster, no framework. node server.js FOLDER
const crypto = require('crypto');
const fs = require('fs');
const http = require('http');
const path = require('path');
const zlib = require('zlib');

const folder = process.argv[2];

function send(response, status, type, body) {
  response.writeHead(status, { 'Content-Type': type, 'Content-Length': Buffer.byteLength(body) });
  response.end(body);
}

function file(request, response, name) {
  const size = fs.statSync(name).size;
  const range = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range || '');
  if (!range) {
    response.writeHead(200, { 'Content-Length': size });
    return fs.createReadStream(name).pipe(response);
  }
  const [start, end] = [Number(range[1]), Number(range[2])];
  response.writeHead(206, { 'Content-Length': end - start + 1, 'Content-Range': `bytes ${start}-${end}/${size}` });
  return fs.createReadStream(name, { start, end }).pipe(response);
}

http.createServer((request, response) => {
  const url = new URL(request.url, 'http://local');
  if (url.pathname === '/form' && request.method === 'POST') {
    let text = '';
    request.on('data', (part) => { text += part; });
    request.on('end', () => send(response, 200, 'text/plain', `hello ${new URLSearchParams(text).get('name')}`));
  } else if (url.pathname === '/upload') {
    const hash = crypto.createHash('sha256');
    let size = 0;
    request.on('data', (part) => { hash.update(part); size += part.length; });
    request.on('end', () => send(response, 200, 'text/plain', `${size} ${hash.digest('hex')}`));
  } else if (url.pathname === '/chunked') {
    for (let n = 0; n < 100; n++) response.write(`line ${n}\n`);
    response.end();
  } else if (url.pathname === '/gzip') {
    const body = zlib.gzipSync('packed '.repeat(1000));
    response.writeHead(200, { 'Content-Type': 'text/plain', 'Content-Encoding': 'gzip', 'Content-Length': body.length });
    response.end(body);
  } else if (url.pathname === '/') {
    send(response, 200, 'text/html', fs.readFileSync(path.join(folder, 'index.html')));
  } else if (url.pathname === '/big.bin') {
    file(request, response, path.join(folder, 'big.bin'));
  } else {
    send(response, 404, 'text/plain', 'nothing here');
  }
}).listen(Number(process.env.PORT), '127.0.0.1');
