// Listens to OctoPrint's push by one transport until a print is done, and prints what it hears, one JSON a line.
// Usage: node push.js URL TRANSPORT [AUTH]
const SockJS = require("sockjs-client");

const [url, transport, auth] = process.argv.slice(2);
const socket = new SockJS(url, null, { transports: [transport] });
const tell = (what) => console.log(JSON.stringify(what));

socket.onopen = () => {
  tell({ open: socket.transport });
  socket.send(JSON.stringify({ throttle: 1 }));
  if (auth) socket.send(JSON.stringify({ auth }));
};
socket.onmessage = (message) => {
  tell(message.data);
  if (message.data.event && message.data.event.type === "PrintDone") socket.close();
};
socket.onclose = (end) => {
  tell({ close: end.code, reason: end.reason });
  process.exit(end.code === 1000 ? 0 : 1);
};
