/* The scene of chess: side A is always below. */
import { Board } from "/page/board.js";

const FILES = [..."abcdefgh"], RANKS = [..."87654321"];

export class Chess {
	constructor(field) {
		this.board = new Board(field);
	}

	show(frame) {
		this.board.show(frame.scene, frame.scene.white !== undefined && frame.scene.white === frame.agent2.id);
	}

	about({ agent1, agent2, scene }) {
		const flipped = scene.white === agent2.id, turn = (labels, flip) => flip ? [...labels].reverse() : labels;
		const mover = scene.ply ? ((scene.ply % 2 === 1) === (scene.white === agent1.id) ? "agent1" : "agent2") : null;
		const move = scene.san && scene.ply ? `${Math.ceil(scene.ply / 2)}${scene.ply % 2 ? "." : "…"} ${scene.san}` : "";
		const plate = (side, agent) => ({ detail: scene.white === agent.id ? "White" : "Black", move: side === mover ? move : "" });
		return { files: turn(FILES, flipped), ranks: turn(RANKS, flipped), plates: { agent1: plate("agent1", agent1), agent2: plate("agent2", agent2) } };
	}
}
