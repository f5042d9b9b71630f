/* The API from a page: requests as whoever is logged in, by cookie or with a token, and streams that are
 * followed over every disconnect. A token comes in the URL's fragment (#token=...), which no server sees and
 * no log keeps. */

function takeSecrets() {
	const given = new URLSearchParams(location.hash.slice(1));
	const names = ["token", "streamToken", "account"];
	for (const name of names) {
		if (!given.has(name)) continue;
		sessionStorage.setItem(name === "streamToken" ? "token" : name, given.get(name));
		given.delete(name);
		history.replaceState(null, "", location.pathname + location.search + (String(given) ? "#" + given : ""));
	}
	return {
		token: sessionStorage.getItem("token"), account: sessionStorage.getItem("account"),
		/* For this tab only; null: none. */
		keep(token) {
			this.token = token;
			if (token) sessionStorage.setItem("token", token);
			else sessionStorage.removeItem("token");
		},
	};
}
export const secrets = takeSecrets();

export function ask(path, { headers = {}, token = secrets.token, ...rest } = {}) {
	return fetch(path, { cache: "no-store", credentials: "same-origin", ...rest,
		headers: { ...(token ? { authorization: "Bearer " + token } : {}), ...headers } });
}

/* What is there as JSON; throws an Error with status and the server's reason. */
export async function askJson(path, { body, ...options } = {}) {
	const answer = await ask(path, body === undefined ? options : { method: "POST", ...options,
		body: JSON.stringify(body), headers: { "content-type": "application/json", ...options.headers } });
	const text = await answer.text();
	if (!answer.ok) throw Object.assign(new Error(text.trim() || answer.statusText), { status: answer.status });
	return text ? JSON.parse(text) : null;
}

/* The server's clock, as far as it can be known: what it says, never later than it said so. */
let ahead = -Infinity;
export const serverNow = () => Date.now() + (ahead === -Infinity ? 0 : ahead);
export const heardTime = now => { ahead = Math.max(ahead, now - Date.now()); };
addEventListener("focus", () => { ahead = -Infinity; }); /* the device may have set its own clock meanwhile */

const SILENCE_MS = 25000; /* the server says something at least every 15 s */

/* Lines of an event stream (WHATWG HTML 9.2.6) to events. */
async function* events(body) {
	const reader = body.pipeThrough(new TextDecoderStream()).getReader();
	let rest = "", name = "", data = [], id;
	for (;;) {
		const { value, done } = await reader.read();
		if (done) return;
		const lines = (rest + value).split("\n");
		rest = lines.pop();
		yield { heard: true };
		for (const line of lines) {
			if (line === "") {
				if (data.length > 0 || id !== undefined) yield { name: name || "message", data: data.join("\n"), id };
				name = ""; data = [];
				continue;
			}
			const colon = line.indexOf(":");
			const field = colon < 0 ? line : line.slice(0, colon);
			const text = colon < 0 ? "" : line.slice(colon + (line[colon + 1] === " " ? 2 : 1));
			if (field === "event") name = text;
			else if (field === "data") data.push(text);
			else if (field === "id") id = text;
		}
	}
}

/* Follows /v1/events?query for ever. onEvent(name, data); onState("live" | "connecting" | "denied", since when it
 * is not live). onOpen() at each new beginning without an id: what came before must be asked for. */
export function follow(query, { onEvent, onState, onOpen }) {
	let lastId, lost = Date.now(), delay = 300, controller, heard = 0;
	const state = name => {
		if (name === "live") lost = 0;
		else if (lost === 0) lost = Date.now();
		onState(name, lost);
	};
	setInterval(() => {
		if (controller && heard && Date.now() - heard > SILENCE_MS) controller.abort();
	}, 1000);
	addEventListener("online", () => controller?.abort());
	const once = async () => {
		controller = new AbortController();
		heard = Date.now();
		const answer = await ask("/v1/events?" + query, { signal: controller.signal,
			headers: { accept: "text/event-stream", ...(lastId ? { "last-event-id": lastId } : {}) } });
		if (answer.status === 400 && lastId) lastId = undefined; /* of another server's life */
		if (!answer.ok) answer.body?.cancel();
		if (answer.status === 401 || answer.status === 403) return state("denied");
		if (!answer.ok) throw new Error(String(answer.status));
		const fresh = lastId === undefined;
		state("live");
		delay = 300;
		if (fresh) onOpen();
		for await (const event of events(answer.body)) {
			heard = Date.now();
			if (event.heard) continue;
			if (event.id !== undefined) lastId = event.id;
			if (event.name === "heartbeat") heardTime(JSON.parse(event.data).now);
			else if (event.name === "reset") onOpen();
			else if (event.name === "expired") dispatchEvent(new Event("ringside:expired"));
			else if (event.data && event.name !== "streams") onEvent(event.name, event.data);
		}
	};
	(async () => {
		for (;;) {
			try { await once(); } catch { /* the next attempt tells */ }
			if (lost === 0 || controller.signal.aborted) state("connecting");
			await new Promise(done => setTimeout(done, delay));
			delay = Math.min(delay * 1.6, 4000);
		}
	})();
}
