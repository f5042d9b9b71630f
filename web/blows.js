/* What happened between two frames of a duel, as far as they tell: who hit whom, who lost or won health. */

/** [{ by: "agent1" | "agent2" | null, on, amount }]: `by` null: nobody is named; an amount below 0: health that came back */
export function blowsOf(before, frame) {
	if (!before?.agent1 || !frame.agent1 || before.duelId !== frame.duelId) return [];
	return [["agent1", "agent2"], ["agent2", "agent1"]].flatMap(([by, on]) => {
		const dealt = frame[by].damageDealtThisFight - before[by].damageDealtThisFight, lost = before[on].hp - frame[on].hp;
		const told = dealt > 0 ? [{ by, on, amount: lost > 0 ? lost : dealt }] : [];
		return lost !== 0 && !(dealt > 0 && lost > 0) ? [...told, { by: null, on, amount: lost }] : told;
	});
}
