// Several servers: a main one, one for figures, one by UDP, one on any port, one on a path. node ports.js MAIN METRICS UDP PATH
const dgram = require('dgram');
const http = require('http');

const [main, metrics, udp] = process.argv.slice(2, 5).map(Number);
const answer = (text) => (request, response) => response.end(`${text} ${process.pid}`);
const second = http.createServer(answer('metrics')).listen(metrics, '127.0.0.1');
const any = http.createServer(answer('any')).listen(0);
http.createServer(answer('path')).listen(process.argv[5]);
const socket = dgram.createSocket('udp4');
socket.on('message', (message, from) => socket.send(`${message} ${process.pid}`, from.port, from.address));
socket.bind(udp, '127.0.0.1');
any.on('listening', () => {
  http.createServer((request, response) => response.end(JSON.stringify({ pid: process.pid, any: any.address().port, metrics: second.address().port })))
    .listen(main);
});
