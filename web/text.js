/* Small things that every part of the page needs: elements, and how numbers and times are written. */
export const $ = id => document.getElementById(id);
export const text = (element, value) => { if (element.textContent !== value) element.textContent = value; };
export const hide = (element, hidden) => { if (element.hidden !== hidden) element.hidden = hidden; };
export const attribute = (element, name, value) => { if (element.getAttribute(name) !== String(value)) element.setAttribute(name, value); };

/** An element with its class, and words or children in it. */
export function make(name, className = "", ...inside) {
	const element = document.createElement(name);
	if (className) element.className = className;
	element.append(...inside.filter(part => part !== "" && part !== null && part !== undefined));
	return element;
}

export const num = n => Math.round(n).toLocaleString("en");
export const signed = n => (n > 0 ? "+" : n < 0 ? "−" : "") + num(Math.abs(n));
/* What must have room in a line: a million and more is shortened. */
export const short = n => n >= 1e6 ? Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 }).format(n) : num(n);
export const clock = ms => { const s = Math.max(0, Math.ceil(ms / 1000)); return `${Math.floor(s / 60)}:${String(s % 60).padStart(2, "0")}`; };
export const words = reason => (reason ?? "").replaceAll("_", " ").replaceAll(":", " ");
export const timeOf = at => new Date(at).toLocaleTimeString([], { hour12: false, hour: "2-digit", minute: "2-digit" });

/* A share of 0 to 1, never rounded to a certainty that it is not. */
export function percent(share) {
	const p = share * 100;
	return p > 0 && p < 1 ? "<1 %" : p > 99 && p < 100 ? ">99 %" : Math.round(p) + " %";
}

/* How a duel ended, in words: the game's own, else the rule's. */
export const howOf = frame => frame.detail ? words(frame.detail) : frame.outcome === "draw" ? "" : frame.winReason && frame.winReason !== "kill" ? words(frame.winReason) : frame.winReason ? "knockout" : "";
export const wonOf = (frame, side) => frame.outcome === "win" && frame.winnerId === frame[side]?.id;
export const scoreOf = frame => frame.outcome === "draw" ? "½ – ½" : frame.outcome === "cancelled" ? "–" : wonOf(frame, "agent1") ? "1 – 0" : "0 – 1";

/** The last five of a contestant, the newest on the right, as marks that are read out as words. */
export function drawForm(element, results) {
	const letters = results.join("");
	if (element.dataset.form === letters) return;
	element.dataset.form = letters;
	element.replaceChildren(...results.map(letter => { const mark = make("i", "", letter); mark.dataset.r = letter; return mark; }));
	if (!letters) {
		element.removeAttribute("role");
		return element.removeAttribute("aria-label");
	}
	element.setAttribute("role", "img");
	element.setAttribute("aria-label", "Last five: " + results.map(letter => ({ W: "won", L: "lost", D: "drew" })[letter]).join(", "));
}
