/* Keys and tokens by "jose", which is not ours. A line of JSON is a question, and so is its answer:
 *   {make: NAME, alg, kid?, bits?}                   -> {jwk, pem}   a new key under this name
 *   {sign: NAME, alg, header?, claims?, payload?, crit?} -> {token}  signed by it; `payload`: text in place of claims
 *   {secret: NAME, text}                             -> {}           HMAC's secret, as text
 *   {unsecured: claims}                              -> {token}      alg "none"
 * and {error} where jose refuses. */
import readline from "node:readline";
import * as jose from "jose";

const keys = new Map();
const bytes = (text) => new TextEncoder().encode(text);

async function answer(question) {
	if (question.make) {
		const pair = await jose.generateKeyPair(question.alg, { extractable: true, modulusLength: question.bits ?? 2048 });
		keys.set(question.make, pair.privateKey);
		const jwk = await jose.exportJWK(pair.publicKey);
		if (question.kid !== undefined)
			jwk.kid = question.kid;
		return { jwk, pem: await jose.exportSPKI(pair.publicKey) };
	}
	if (question.secret) {
		keys.set(question.secret, bytes(question.text));
		return {};
	}
	if (question.unsecured)
		return { token: new jose.UnsecuredJWT(question.unsecured).encode() };
	const header = { alg: question.alg, ...question.header };
	const payload = bytes(question.payload ?? JSON.stringify(question.claims));
	const token = await new jose.CompactSign(payload).setProtectedHeader(header)
		.sign(keys.get(question.sign), { crit: question.crit });
	return { token };
}

for await (const line of readline.createInterface({ input: process.stdin })) {
	let said;
	try {
		said = await answer(JSON.parse(line));
	} catch (error) {
		said = { error: String(error) };
	}
	console.log(JSON.stringify(said));
}
