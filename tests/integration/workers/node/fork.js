// As under child_process.fork: it lives by its channel, and ends when that is closed.
const http = require('http');

const server = http.createServer((request, response) => response.end(String(process.connected))).listen(Number(process.env.PORT), '127.0.0.1');
process.on('SIGTERM', () => process.exit(9));
process.on('disconnect', () => server.close(() => process.exit(0)));
process.on('message', () => {});
