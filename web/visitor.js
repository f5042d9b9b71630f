/* Who looks at the page: what this visitor may do, and how he logs in and out. A token that comes in the
 * fragment, or is typed, is changed for a cookie that no script can read (POST /v1/login). Where the browser
 * takes none (no TLS), the token stays with this tab. */
import { RequestError } from "/page/client/api.js";
import { api, secrets } from "/page/feed.js";
import { $, text } from "/page/text.js";

const ROOTS = { read: "/v1/stream/", append: "/v1/stream/", create: "/v1/stream/", delete: "/v1/stream/", post: "/v1/source/", frames: "/v1/feeds/",
	render: "/stream/", view: "/stream/", bet: "/v1/ledger/", operate: "/v1/", metrics: "/" };

/* "*" is one segment, "**" any number of them. */
function matches(pattern, path) {
	const wanted = pattern.split("/"), given = path.split("/");
	const from = (i, j) => i === wanted.length ? j === given.length
		: wanted[i] === "**" ? from(i + 1, j) || (j < given.length && from(i, j + 1))
		: j < given.length && (wanted[i] === "*" || wanted[i] === given[j]) && from(i + 1, j + 1);
	return from(0, 0);
}

export class Visitor {
	constructor() {
		this.me = null; /* GET /v1/me; null: not known yet */
		for (const button of ["log-in", "verdict-login", "screen-login"]) $(button)?.addEventListener("click", () => this.ask());
		$("login-cancel").onclick = () => $("login").close();
		$("login-form").onsubmit = event => { event.preventDefault(); this.submit(); };
		$("log-out").onclick = () => this.logOut();
	}

	/* May there be more for whoever logs in? */
	get stranger() {
		return Boolean(this.me) && this.me.kind === "anonymous" && !this.me.dev;
	}

	/* Whose eyes these are: the same where as much may be seen by the same credential. null: not known. */
	get tag() {
		return this.me?.tag ? `${this.me.kind} ${this.me.tag}` : null;
	}

	ask() {
		this.say("");
		$("login").showModal();
	}

	/* Before anything is asked for: who are we? */
	async start() {
		if (secrets.token) await this.change(secrets.token).catch(() => {});
		await this.look();
	}

	expired() {
		this.look("Your login has expired.");
	}

	async look(note = "") {
		try {
			const answer = await api.ask("/v1/me");
			this.me = answer.ok ? await answer.json() : { kind: "anonymous", rights: {} };
		} catch { /* the next look tells */ }
		this.note = note;
		this.draw();
	}

	may(verb, path) {
		return Boolean(this.me?.dev) || (this.me?.rights?.[verb] ?? []).some(pattern => matches(pattern.startsWith("/") ? pattern : ROOTS[verb] + pattern, path));
	}

	mayAny(verb) {
		return Boolean(this.me?.dev) || (this.me?.rights?.[verb] ?? []).length > 0;
	}

	/* The token for a cookie. */
	async change(token) {
		const answer = await api.ask("/v1/login", { method: "POST", token });
		if (!answer.ok) throw await RequestError.of(answer);
		secrets.keep(null);
		await this.look();
		if (this.me?.kind !== "anonymous") return;
		secrets.keep(token); /* it was not taken */
		await this.look();
	}

	async submit() {
		$("login-submit").disabled = true;
		this.say(await this.enter($("login-token").value));
		$("login-submit").disabled = false;
	}

	/* Why it was not taken; where it was, the page is loaded anew. */
	async enter(token) {
		if (!token.trim()) return "";
		try {
			await this.change(token.trim());
			location.reload(); /* everything is asked for anew */
			return "";
		} catch (error) {
			return error.status === 401 ? "This token is not known here, or no longer." : error.status === 429 ? `Too many attempts: try again in ${error.retryAfter / 1000 || 60} s.`
				: error.status ? `Not logged in: ${error.message}` : "No answer. Try again.";
		}
	}

	async logOut() {
		secrets.keep(null);
		await api.ask("/v1/logout", { method: "POST" }).catch(() => {});
		location.reload();
	}

	say(words) {
		text($("login-note"), words);
	}

	draw() {
		const me = this.me, known = me && me.kind !== "anonymous" && !me.dev;
		const name = known ? me.subject.replace(/^jwt:\S* /, "") || "Logged in" : this.note;
		text($("visitor"), name ?? "");
		$("log-out").hidden = !known;
		$("log-in").hidden = !me || known || Boolean(me.dev);
		if ($("ops-link")) $("ops-link").hidden = !this.may("metrics", "/metrics");
	}
}
