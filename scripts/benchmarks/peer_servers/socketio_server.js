// Socket.IO: rooms in memory. The argument is the folder with node_modules.

const { createServer } = require("node:http");
const { createRequire } = require("node:module");
const { Server } = createRequire(`${process.argv[2]}/`)("socket.io");

const http = createServer();
const io = new Server(http, { transports: ["websocket"], perMessageDeflate: false });
io.on("connection", (socket) => {
  const { room } = socket.handshake.query;
  socket.join(room);
  socket.on("say", (data) => socket.to(room).emit("said", data));
});
http.listen(0, "127.0.0.1", () => process.stderr.write(`url=http://127.0.0.1:${http.address().port}\n`));
