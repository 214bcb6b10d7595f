/** A CONNECT proxy that wants a login, for tests of what becomes of one. */
import { createServer } from "node:http";
import { connect, type AddressInfo, type Socket } from "node:net";

/** Asks for its login as a company's proxy does, repeats it in its refusals, and leads nowhere for the port 9. */
export async function startLoginTunnel(password: string): Promise<{ readonly url: string; close(): void }> {
  const login = `Basic ${Buffer.from(`user:${password}`).toString("base64")}`;
  const sockets = new Set<Socket>();
  const server = createServer((_, response) => void response.writeHead(405).end());
  server.on("connection", (socket) => void sockets.add(socket));
  server.on("connect", (request, socket) => {
    socket.on("error", () => socket.destroy());
    const given = String(request.headers["proxy-authorization"]);
    const port = Number(request.url?.split(":").at(-1));
    if (given !== login || port === 9) return void socket.end(`HTTP/1.1 407 Login ${given}\r\nx-login: ${given}\r\ncontent-length: ${given.length}\r\n\r\n${given}`);
    const onward = connect(port, "127.0.0.1", () => {
      socket.write("HTTP/1.1 200 Connection established\r\n\r\n");
      onward.pipe(socket).pipe(onward);
    });
    sockets.add(onward);
    onward.on("error", () => socket.destroy());
    socket.on("close", () => onward.destroy());
  });
  await new Promise<void>((done) => void server.listen(0, "127.0.0.1", done));
  return {
    url: `http://user:${encodeURIComponent(password)}@127.0.0.1:${(server.address() as AddressInfo).port}`,
    close() {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}
