/* A chess board from a FEN. Pieces that move are moved, so that the eye can follow. */

const SHAPES = {
	p: ["M50 20a14 14 0 0 1 9 25c6 4 8 8 8 12h-8c1 10 5 15 12 20v9H29v-9c7-5 11-10 12-20h-8c0-4 2-8 8-12a14 14 0 0 1 9-25z"],
	r: ["M26 17h13v8h6v-8h10v8h6v-8h13v21l-8 6 2 28 9 6v8H23v-8l9-6 2-28-8-6z", "M34 44h32"],
	n: ["M29 86c0-21 15-25 17-38-6 1-10 5-14 11l-10-5c2-13 9-24 20-30l3-11 9 9c17 4 23 19 23 39 0 9-2 16-2 25z", "M46 33h1"],
	b: ["M50 11a7 7 0 0 1 5 11c12 8 17 18 17 28 0 7-3 12-8 16l4 12h8v8H24v-8h8l4-12c-5-4-8-9-8-16 0-10 5-20 17-28a7 7 0 0 1 5-11z", "M50 36v18M42 44h16"],
	q: ["M18 28l15 20 6-29 11 27 11-27 6 29 15-20-8 46 3 12H23l3-12z", "M27 74h46"],
	k: ["M46 10h8v8h8v8h-8v9c15-3 27 3 27 18 0 10-6 16-12 22l3 11H28l3-11c-6-6-12-12-12-22 0-15 12-21 27-18v-9h-8v-8h8z", "M31 75h38"],
};
export const PIECES = SHAPES;

export function squaresOf(fen) {
	const squares = new Map();
	fen.split(" ")[0].split("/").forEach((row, fromTop) => {
		let file = 0;
		for (const c of row) {
			if (c >= "1" && c <= "8") file += Number(c);
			else squares.set(fromTop * 8 + file++, c);
		}
	});
	return squares; /* 0 is a8, 63 is h1 */
}

const squareOf = text => (8 - Number(text[1])) * 8 + text.charCodeAt(0) - 97;

export class Board {
	constructor(field) {
		const element = this.element = document.createElement("div");
		element.className = "squares board";
		element.setAttribute("role", "img");
		field.append(element);
		this.flipped = false;
		this.pieces = new Map(); /* square -> {letter, node} */
		this.marks = ["mark", "mark", "check"].map(name => {
			const node = document.createElement("div");
			node.className = name;
			node.hidden = true;
			element.append(node);
			return node;
		});
		this.show({ fen: "rnbqkbnr/pppppppp/8/8/8/8/PPPPPPPP/RNBQKBNR w KQkq - 0 1" });
	}

	place(node, square) {
		if (this.flipped) square = 63 - square;
		node.style.transform = `translate(${square % 8 * 100}%, ${Math.floor(square / 8) * 100}%)`;
	}

	make(letter, square) {
		const ns = "http://www.w3.org/2000/svg", node = document.createElementNS(ns, "svg");
		node.setAttribute("viewBox", "6 5 88 88");
		node.setAttribute("class", "piece " + (letter < "a" ? "white" : "black"));
		SHAPES[letter.toLowerCase()].forEach((d, i) => {
			const path = document.createElementNS(ns, "path");
			path.setAttribute("d", d);
			if (i > 0) path.setAttribute("class", "cut");
			node.append(path);
		});
		this.place(node, square);
		this.element.append(node);
		return { letter, node };
	}

	/* Flipped: Black is below. */
	show(scene, flipped = this.flipped) {
		const wanted = squaresOf(scene.fen), idle = [];
		if (flipped !== this.flipped) {
			this.flipped = flipped;
			for (const [square, piece] of this.pieces) this.place(piece.node, square);
		}
		for (const [square, piece] of this.pieces) {
			if (wanted.get(square) === piece.letter) continue;
			idle.push([square, piece]);
			this.pieces.delete(square);
		}
		for (const [square, letter] of wanted) {
			if (this.pieces.has(square)) continue;
			const found = idle.findIndex(([, piece]) => piece.letter === letter);
			const piece = found >= 0 ? idle.splice(found, 1)[0][1] : this.make(letter, square);
			this.place(piece.node, square);
			this.pieces.set(square, piece);
		}
		for (const [, piece] of idle) {
			piece.node.classList.add("gone");
			setTimeout(() => piece.node.remove(), 300);
		}
		this.mark(scene, wanted);
	}

	mark(scene, squares) {
		const [from, to, check] = this.marks;
		from.hidden = to.hidden = !scene.lastMove;
		if (scene.lastMove) {
			this.place(from, squareOf(scene.lastMove.slice(0, 2)));
			this.place(to, squareOf(scene.lastMove.slice(2, 4)));
		}
		const king = scene.fen.split(" ")[1] === "w" ? "K" : "k";
		check.hidden = !scene.check;
		for (const [square, letter] of squares) if (letter === king) this.place(check, square);
		this.element.setAttribute("aria-label", scene.san ? `Chess board. Last move ${scene.san}` : "Chess board at the start");
	}
}
