/* Within the frame of a scene that a game brings (docs/scenes.md): loads its script, gives it a canvas, and has it draw
 * when there is another frame, another size or other colours. It may nothing but draw: the frame has no origin. */
(() => {
	const NAME = location.pathname.split("/").pop();
	let scene = null, told = null, asked = false;

	function draw() {
		asked = false;
		if (!scene || !told) return;
		const canvas = document.getElementById("scene"), width = canvas.clientWidth, height = canvas.clientHeight;
		canvas.width = width * devicePixelRatio;
		canvas.height = height * devicePixelRatio;
		const context = canvas.getContext("2d");
		context.scale(devicePixelRatio, devicePixelRatio);
		scene.draw(context, told.frame, { width, height, colours: told.colours });
		canvas.setAttribute("role", "img");
		canvas.setAttribute("aria-label", scene.describe?.(told.frame) ?? "The game");
		parent.postMessage({ drawn: told.frame.seq }, "*"); /* this frame has no origin, so it knows none */
	}

	function later() {
		if (asked) return;
		asked = true;
		requestAnimationFrame(draw);
	}

	/** What a scene calls once: `draw(context, frame, {width, height, colours})`, and `describe(frame)` in words. */
	globalThis.ringsideScene = what => { scene = what; later(); };
	addEventListener("message", ({ source, data }) => {
		if (source !== parent) return;
		told = data;
		later();
	});
	addEventListener("resize", later);
	const script = document.createElement("script");
	script.src = `/page/scenes/${NAME}.js`;
	document.head.append(script);
})();
