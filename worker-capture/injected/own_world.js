/* Runs first in the world of our own: gives our scripts there their __ringside(kind, value). */
(() => {
	const call = globalThis.__ringsideCall;
	delete globalThis.__ringsideCall;
	if (typeof call !== "function" || globalThis !== globalThis.top) return;
	globalThis.__ringside = (kind, value) => call(JSON.stringify({ own: true, kind, value }));
})();
