// A program as Node's own documentation of its cluster module has it: a primary that starts workers, and workers that serve. Nothing in it
// knows of drover. `node server.js` runs it as ever; under drover only the worker half runs, because drover is the primary.
const cluster = require('node:cluster');
const http = require('node:http');
const os = require('node:os');

if (cluster.isPrimary) {
  console.log(`primary ${process.pid} is running`);
  for (let i = 0; i < os.availableParallelism(); i += 1) cluster.fork();
  cluster.on('exit', (worker) => {
    console.log(`worker ${worker.process.pid} died`);
    cluster.fork();
  });
} else {
  const server = http.createServer((request, response) => {
    response.setHeader('Content-Type', 'application/json');
    response.end(`${JSON.stringify({ message: 'Hello from a cluster worker', id: cluster.worker.id, pid: process.pid, url: request.url })}\n`);
    if (request.url === '/bye') cluster.worker.disconnect();  // finishes what it has, and leaves; another takes its place
  });
  server.listen(8000, () => console.log(`worker ${cluster.worker.id} listens on port ${server.address().port}`));

  // What the primary would have to say, drover can: drover send web greeting '"hi"'
  process.on('message', (message) => console.log(`worker ${cluster.worker.id} was told ${JSON.stringify(message)}`));
}
