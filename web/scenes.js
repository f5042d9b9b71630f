/* Which scene draws a game: chess, what the game brings (scene_frame.js), else the ring from above. A scene has
 * `show(frame)`, and may have `about(frame)` (what its axes and plates say) and `end()`. */
import { Chess } from "/page/chess.js";
import { Ring } from "/page/ring.js";
import { SceneFrame } from "/page/scene_frame.js";

const kindOf = ({ scene }) => scene?.fen ? "chess" : typeof scene?.game === "string" ? scene.game : "";

export class Scenes {
	constructor(field) {
		this.field = field;
		this.kind = null;
		this.scene = null;
	}

	show(frame) {
		const kind = kindOf(frame);
		this.newest = frame;
		if (kind !== this.kind) {
			this.kind = kind;
			this.choose(kind === "chess" ? () => new Chess(this.field) : SceneFrame.may(kind) ? () => new SceneFrame(this.field, kind, () => this.general()) : () => new Ring(this.field));
		}
		this.scene.show(frame);
	}

	choose(make) {
		this.scene?.end?.();
		this.field.replaceChildren();
		this.scene = make();
	}

	/* There is none of that name: the game is drawn as any other. */
	general() {
		this.choose(() => new Ring(this.field));
		this.scene.show(this.newest);
	}

	about(frame) {
		return this.scene?.about?.(frame) ?? {};
	}
}
