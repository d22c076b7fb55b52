// Node's `ws`: rooms in memory. The argument is the folder with node_modules.

const { createRequire } = require("node:module");
const { WebSocketServer } = createRequire(`${process.argv[2]}/`)("ws");

const rooms = new Map();
const server = new WebSocketServer({ port: 0, host: "127.0.0.1", perMessageDeflate: false });
server.on("connection", (socket, request) => {
  if (!rooms.has(request.url)) {
    rooms.set(request.url, new Set());
  }
  const room = rooms.get(request.url).add(socket);
  socket.on("message", (data) => {
    for (const other of room) {
      if (other !== socket) {
        other.send(data, { binary: false });
      }
    }
  });
  socket.on("close", () => room.delete(socket));
});
server.on("listening", () => process.stderr.write(`url=http://127.0.0.1:${server.address().port}\n`));
