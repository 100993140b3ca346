// Written for Node's cluster module: only its worker's half runs here.
const cluster = require('cluster');
const http = require('http');

if (cluster.isPrimary) {
  console.error('I am the primary');
  for (let n = 0; n < 4; n++) cluster.fork();
} else {
  http.createServer((request, response) => response.end(`worker ${cluster.worker.id}`)).listen(3000);
}
