/* Runs before the scripts of every document. Nothing here reads geometry, text or style: no probe forces a layout. What the
 * page could change later is taken before its own scripts run. One animation frame of ours is asked for per
 * beat, never a second one while it is awaited. */
(() => {
	const call = globalThis.__ringsideCall;
	delete globalThis.__ringsideCall;
	if (typeof call !== "function" || globalThis !== globalThis.top) return;
	const stringify = JSON.stringify, doc = document;
	const request = requestAnimationFrame.bind(globalThis);
	const text = (v, max) => typeof v === "string" ? v.slice(0, max) : null;
	Object.defineProperty(globalThis, "__ringside", { value: (kind, value) => call(stringify({ kind, value })) });
	let pulses = 0, draws = 0, lost = 0, restored = 0, awaited = false;
	globalThis.requestAnimationFrame = function requestAnimationFrame(callback) {
		return request(typeof callback === "function" ? t => { draws++; callback(t); } : callback);
	};
	addEventListener("webglcontextlost", () => { lost++; }, true);
	addEventListener("webglcontextrestored", () => { restored++; }, true);
	const beat = () => {
		if (!awaited) {
			awaited = true;
			request(() => { awaited = false; pulses++; });
		}
		let health = null, bad = false, boot = null, flag = false;
		try {
			const own = globalThis.__RINGSIDE_HEALTH__ ?? globalThis.__HYPERSCAPE_STREAM_RENDERER_HEALTH__;
			if (own !== undefined && own !== null)
				health = { ready: own.ready === true, reason: text(own.degradedReason, 180),
					duel: text(own.duelId ?? own.cycleId, 128), phase: text(own.phase, 32) };
			boot = text(globalThis.__HYPERSCAPE_STREAM_BOOT_STATUS__, 180);
			flag = globalThis.__HYPERSCAPE_STREAM_READY__ === true;
		} catch {
			bad = true;
		}
		const canvas = doc.getElementsByTagName("canvas").length > 0;
		call(stringify({ beat: { pulses, draws, lost, restored, health, bad, boot, flag, canvas } }));
	};
	setInterval(beat, 500);
	addEventListener("DOMContentLoaded", beat, { once: true });
})();
