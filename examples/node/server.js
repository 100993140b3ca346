// A plain Node.js server: no cluster module, no knowledge of drover beyond the port in the environment.
const http = require('node:http');

const server = http.createServer((request, response) => {
  const path = request.url.split('?')[0];
  const body = path === '/health'
    ? { memory: process.memoryUsage().rss, ready: true, status: 'ok' }
    : { message: 'Hello from Node.js', pid: process.pid, url: request.url, method: request.method };
  request.resume();  // the body is not needed, the connection is
  response.setHeader('Content-Type', 'application/json');
  response.end(JSON.stringify(body) + '\n');
});

server.listen(Number(process.env.PORT || 8080), process.env.HOST || '127.0.0.1');

// Told to stop: finish what is under way, then leave.
process.on('SIGTERM', () => {
  server.close(() => process.exit(0));
  server.closeIdleConnections();
});
