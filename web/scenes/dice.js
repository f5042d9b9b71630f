/* A game of dice: {"game": "dice", "rolls": {"agent1": 3, "agent2": 5}}. An example of a scene; docs/scenes.md. */
const PIPS = [[], [4], [0, 8], [0, 4, 8], [0, 2, 6, 8], [0, 2, 4, 6, 8], [0, 2, 3, 5, 6, 8]];

ringsideScene({
	draw(context, frame, { width, height, colours }) {
		const size = Math.min(width, height) * .3;
		context.fillStyle = colours.mat;
		context.fillRect(0, 0, width, height);
		["agent1", "agent2"].forEach((side, i) => {
			const agent = frame[side], roll = frame.scene.rolls?.[side] ?? 0, x = width * (i ? .72 : .28) - size / 2, y = height * .5 - size / 2;
			context.fillStyle = colours[i ? "b-fill" : "a-fill"];
			context.beginPath();
			context.roundRect(x, y, size, size, size * .14);
			context.fill();
			context.fillStyle = colours.card;
			for (const pip of PIPS[roll] ?? []) {
				context.beginPath();
				context.arc(x + size * (.25 + .25 * (pip % 3)), y + size * (.25 + .25 * Math.floor(pip / 3)), size * .08, 0, 7);
				context.fill();
			}
			context.fillStyle = colours.ink;
			context.textAlign = "center";
			context.font = `700 ${size * .16}px system-ui, sans-serif`;
			context.fillText(agent.name, x + size / 2, y - size * .15, width * .42);
			context.fillText(`${Math.round(agent.hp)} left`, x + size / 2, y + size * 1.25, width * .42);
		});
	},
	describe(frame) {
		const { agent1, agent2, scene } = frame;
		return `Two dice. ${agent1.name} has rolled ${scene.rolls?.agent1 ?? "nothing"}, ${agent2.name} ${scene.rolls?.agent2 ?? "nothing"}.`;
	},
});
