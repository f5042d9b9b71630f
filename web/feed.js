/* The API from a page: requests as whoever is logged in, by cookie or with a token. A token comes in the URL's
 * fragment (#token=...), which no server sees and no log keeps. */
import { Api } from "/page/client/api.js";

export { PATIENT } from "/page/patient.js";

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

export const api = new Api({ token: () => secrets.token });

/* The server's clock, as far as it can be known: what it says, never later than it said so. */
export const serverNow = () => api.clock.now();
addEventListener("focus", () => api.clock.forget()); /* the device may have set its own clock meanwhile */
