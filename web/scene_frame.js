/* A scene that a game brings: a script of its own, in a frame that may nothing but draw: no origin, no network, no
 * storage (docs/scenes.md). It is told each frame; where there is none of that name, the ring from above is drawn. */

const missing = new Set(), NAME = /^[a-z0-9][a-z0-9-]{0,31}$/;

export class SceneFrame {
	static may(name) {
		return NAME.test(name) && !missing.has(name);
	}

	constructor(field, name, absent) {
		this.frame = null;
		this.ended = false;
		this.hear = ({ source, data }) => { if (this.node && source === this.node.contentWindow) this.node.dataset.drawn = Number(data?.drawn); };
		addEventListener("message", this.hear);
		this.open(field, name).catch(error => {
			if (error.status === 404) missing.add(name); /* else it may be there the next time */
			if (!this.ended) absent();
		});
	}

	async open(field, name) {
		const there = await fetch(`/page/scenes/${name}.js`, { method: "HEAD", credentials: "omit" });
		if (!there.ok) throw Object.assign(new Error("there is none"), { status: there.status });
		if (this.ended) return;
		const node = document.createElement("iframe");
		node.sandbox = "allow-scripts";
		node.title = `The game, drawn by its own scene ${name}`;
		node.onload = () => { this.node = node; this.tell(); };
		node.src = `/scene/${name}`;
		field.append(node);
	}

	show(frame) {
		this.frame = frame;
		this.tell();
	}

	tell() {
		if (!this.node || !this.frame) return;
		const style = getComputedStyle(document.documentElement), colours = {};
		for (const name of ["a-fill", "b-fill", "card", "ink", "soft", "mat", "mat-line"]) colours[name] = style.getPropertyValue("--" + name).trim();
		this.node.contentWindow?.postMessage({ frame: this.frame, colours }, "*"); /* it has no origin to be named */
	}

	end() {
		this.ended = true;
		removeEventListener("message", this.hear);
	}
}
