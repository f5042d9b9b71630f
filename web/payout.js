/* What bets pay, as the ledger counts it (docs/market.md), and what a settled market made of somebody's bets. */
import { num } from "/page/text.js";

const other = side => side === "A" ? "B" : "A";

/** What `stake` on `side` would pay if that side won now, its own weight in the pool included. */
export function pays(pools, side, stake, feePpm = 0) {
	const total = pools.A + pools.B + stake, on = pools[side] + stake;
	const share = total - Math.floor(total * feePpm / 1e6);
	return Math.floor(stake * share / on);
}

/** What 100 that are already staked on `side` pay; null: nobody has staked there. */
export function hundredPays(pools, side, feePpm = 0) {
	if (!pools[side]) return null;
	const total = pools.A + pools.B;
	return Math.floor(100 * (total - Math.floor(total * feePpm / 1e6)) / pools[side]);
}

/** The part of the money that is on side A. */
export const crowd = pools => pools.A + pools.B ? pools.A / (pools.A + pools.B) : .5;

/** A win that nobody had bet on: the market is resolved, and yet all stakes go back. */
export const unbacked = m => m.state === "resolved" && m.payout === "refunded";

/** What became of one account's bets: [in short, why, how it is meant]; null: it had none. */
export function result(m, bets) {
	const sum = of => bets.reduce((all, bet) => all + of(bet), 0);
	const staked = sum(bet => bet.amount), paid = sum(bet => bet.paid ?? 0), net = paid - staked;
	const onWinner = sum(bet => bet.side === m.winnerSide ? bet.amount : 0);
	const winner = (m.winnerSide === "B" ? m.agent2Name : m.agent1Name) || `side ${m.winnerSide}`;
	const back = `Your ${num(staked)} came back`;
	if (staked === 0) return null;
	if (m.state === "cancelled") return [back, m.outcome === "draw" ? "It was a draw." : "The duel was cancelled.", "warn"];
	if (unbacked(m)) return [back, `Nobody had backed ${winner}.`, "warn"];
	if (onWinner === 0) return [`You lost ${num(staked)}`, `${winner} won.`, ""];
	const both = onWinner < staked ? " on both sides" : "";
	if (net > 0) return [`You won ${num(net)} net`, `You staked ${num(staked)}${both} and were paid ${num(paid)}.`, "good"];
	if (net < 0 && both) return [`You lost ${num(-net)}`, `You staked ${num(staked)} on both sides and were paid ${num(paid)}.`, ""];
	if (net < 0) return [`${num(paid)} of your ${num(staked)} came back`, `${winner} won, but the fee took more than there was to win.`, ""];
	return both ? ["Neither won nor lost", `You staked ${num(staked)} on both sides and were paid ${num(paid)}.`, ""]
		: [back, `${winner} won, but nobody had bet against.`, "warn"];
}

/** In one line, for where there is no room: `pays 160`. */
export function mineInWords(bets, m, nameOf) {
	const staked = { A: 0, B: 0 };
	for (const bet of bets) staked[bet.side] += bet.amount;
	const pools = m?.pools ?? { A: 0, B: 0 };
	return ["A", "B"].filter(side => staked[side]).map(side => {
		const share = pools.A + pools.B - Math.floor((pools.A + pools.B) * (m?.feePpm ?? 0) / 1e6);
		const paysNow = pools[side] ? Math.floor(staked[side] * share / pools[side]) : staked[side];
		return `${num(staked[side])} on ${nameOf(side)} pays ${num(paysNow)}${staked[other(side)] ? "" : `, ${paysNow > staked[side] ? `+${num(paysNow - staked[side])}` : "no gain"}`}`;
	}).join("; ");
}
