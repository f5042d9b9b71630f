/* The page's side of a render session: window.ringside. State is told as it is when its turn comes, at most
 * 25 times a second, the last one always; what a page wants to know comes as events. */
(() => {
	if (window !== window.top || window.ringside) return;
	let give, state, due = 0, timer = null;
	const initialData = new Promise(resolve => { give = resolve; });
	const encoder = new TextEncoder();
	const tell = () => {
		timer = null; due = performance.now() + 40;
		let bytes;
		try {
			bytes = encoder.encode(JSON.stringify(state) || "").length;
		} catch (error) { /* a BigInt, a circle, a getter that throws: the page hears of it, and clients too */
			window.__ringside("unreadable", null);
			throw error;
		}
		if (bytes > 65000) window.__ringside("oversize", null);
		else window.__ringside("state", state === undefined ? null : state);
	};
	const ringside = {
		initialData,
		publish(value) {
			state = value;
			const wait = due - performance.now();
			if (timer === null) { if (wait <= 0) tell(); else timer = setTimeout(tell, wait); }
		},
		signal(value) { window.__ringside("signal", value); },
		deliver(kind, text) {
			const detail = JSON.parse(text);
			const say = () => window.dispatchEvent(new CustomEvent("ringside:" + kind, {detail}));
			if (kind === "initialdata") give(detail);
			/* Told at the beginning of a document, maybe before its own scripts have begun to listen. */
			if (document.readyState === "loading" && (kind === "initialdata" || kind === "scene"))
				document.addEventListener("DOMContentLoaded", say, {once: true});
			else
				say();
			return true;
		},
	};
	Object.defineProperty(window, "ringside", {value: Object.freeze(ringside)});
	window.__ringside("hello", null);
})();
