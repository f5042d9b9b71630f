/* Node's own HTTP server, strict as it comes, to compare with: says "ok" to whatever it takes for a request. Prints its
 * port, and leaves when its input ends. */
import http from "node:http";

const server = http.createServer((request, response) => {
	request.resume();
	request.on("end", () => response.end("ok"));
	request.on("error", () => {});
});
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
process.stdin.resume();
process.stdin.on("end", () => process.exit(0));
