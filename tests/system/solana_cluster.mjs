// A cluster of Solana in one process, for tests of the solana operator: the runtime is litesvm's, and
// what a real cluster does to those who ask it is here: a JSON-RPC node, slots, a transaction that is
// processed, then confirmed, then finalized, blockhashes that expire by height, transactions that are
// lost on the way, forks, nodes that are behind or busy, and a clock.
//
//     node solana_cluster.mjs [PROGRAM=FILE.so ...]     says "ready PORT"
//
// Methods "test_..." are the test's: see `tests` below.
//
// What is finalized is the state of `root`; `head` has everything that was processed beside. A fork
// makes a new head of all that was finalized: the others were never there.

import http from 'node:http';
import { createRequire } from 'node:module';
import { randomBytes } from 'node:crypto';

const require = createRequire(import.meta.url);
const { LiteSVM, FailedTransactionMetadata } = require('litesvm');
const { getTransactionDecoder, getSignatureFromTransaction, getCompiledTransactionMessageDecoder, address,
	lamports, getBase58Decoder } = require('@solana/kit');

const programs = process.argv.slice(2).map(argument => argument.split('='));
const set = {
	slot_ms: 40, confirm_slots: 2, finalize_slots: 6, valid_slots: 30, // a small, quick cluster
	drop: 0, busy: 0, behind: 0, silent: 0, deaf: 0, retry_after: 0, // shares of requests; deaf: taken, not answered
	paused: false, // no transaction gets into a slot
};
const counts = { sent: 0, dropped: 0, busy: 0, behind: 0, silent: 0, deaf: 0, included: 0, forked: 0, refused: 0 };
let slot = 1, clockOffset = 0;
const blockhashes = new Map();  // hash -> last valid height
const log = [];                 // everything that made the state: {slot, unix, raw | account}
let rooted = 0;                 // as many of them are in root
const history = new Map();      // signature -> {slot, err}
let mempool = [];               // [{signature, raw}]
const included = [];            // signatures, for tests: each time one got into a slot

const unix = () => BigInt(Math.floor(Date.now() / 1000) + clockOffset);

const TRANSACTION_ERRORS = ['AccountInUse', 'AccountLoadedTwice', 'AccountNotFound', 'ProgramAccountNotFound',
	'InsufficientFundsForFee', 'InvalidAccountForFee', 'AlreadyProcessed', 'BlockhashNotFound', 'CallChainTooDeep',
	'MissingSignatureForFee', 'InvalidAccountIndex', 'SignatureFailure', 'InvalidProgramForExecution', 'SanitizeFailure'];
const INSTRUCTION_ERRORS = ['GenericError', 'InvalidArgument', 'InvalidInstructionData', 'InvalidAccountData',
	'AccountDataTooSmall', 'InsufficientFunds', 'IncorrectProgramId', 'MissingRequiredSignature',
	'AccountAlreadyInitialized', 'UninitializedAccount'];

function machine() {
	const svm = new LiteSVM().withBlockhashCheck(false).withTransactionHistory(0n);
	for (const [id, file] of programs) svm.addProgramFromFile(address(id), file);
	return svm;
}
let root = machine(), head = machine();

function tick(svm, at, seconds) {
	svm.warpToSlot(BigInt(at));
	const clock = svm.getClock();
	clock.unixTimestamp = seconds;
	svm.setClock(clock);
}

function errorOf(failed) {
	const error = failed.err();
	if (typeof error === 'number') return TRANSACTION_ERRORS[error] ?? `TransactionError${error}`;
	if (typeof error.err !== 'function') return String(error.toString());
	const inner = error.err();
	return { InstructionError: [error.index, typeof inner === 'number' ? INSTRUCTION_ERRORS[inner] ?? `Error${inner}`
		: inner.code !== undefined ? { Custom: inner.code } : String(inner)] };
}

function apply(svm, entry) {
	tick(svm, entry.slot, entry.unix);
	if (entry.account) return svm.setAccount(entry.account), null;
	const done = svm.sendTransaction(getTransactionDecoder().decode(entry.raw));
	return done instanceof FailedTransactionMetadata ? errorOf(done) : null;
}

function include({ signature, raw }) {
	const entry = { slot, unix: unix(), raw, signature };
	const err = apply(head, entry);
	if (typeof err === 'string') return counts.refused++; // it pays no fee: no block has it
	log.push(entry);
	history.set(signature, { slot, err });
	included.push(signature);
	counts.included++;
}

setInterval(() => {
	slot++;
	tick(head, slot, unix());
	if (!set.paused) {
		const waiting = mempool;
		mempool = [];
		for (const one of waiting)
			if (!history.has(one.signature) && slot <= one.last) include(one);
	}
	while (rooted < log.length && log[rooted].slot + set.finalize_slots <= slot) apply(root, log[rooted++]);
	tick(root, slot, unix());
}, set.slot_ms);

const level = at => slot - at >= set.finalize_slots ? 'finalized' : slot - at >= set.confirm_slots ? 'confirmed' : 'processed';
const of = options => (options?.commitment ?? 'finalized') === 'finalized' ? root : head;
const context = value => ({ context: { slot, apiVersion: 'test' }, value });
const fail = (code, message, data) => { throw { code, message, ...(data ? { data } : {}) }; };
const dice = share => share > 0 && Math.random() < share;

function blockhashOf(transaction) {
	return getCompiledTransactionMessageDecoder().decode(transaction.messageBytes).lifetimeToken;
}

const methods = {
	getHealth: () => 'ok',
	getSlot: () => slot,
	getBlockHeight: ([options]) => (options?.commitment ?? 'finalized') === 'finalized' ? Math.max(0, slot - set.finalize_slots) : slot,
	getLatestBlockhash() {
		const hash = getBase58Decoder().decode(randomBytes(32));
		blockhashes.set(hash, slot + set.valid_slots);
		return context({ blockhash: hash, lastValidBlockHeight: slot + set.valid_slots });
	},
	getBalance: ([key, options]) => context(Number(of(options).getBalance(address(key)) ?? 0n)),
	getAccountInfo([key, options]) {
		const found = of(options).getAccount(address(key));
		return context(!found.exists ? null : { data: [Buffer.from(found.data).toString('base64'), 'base64'],
			executable: found.executable, lamports: Number(found.lamports), owner: found.programAddress, rentEpoch: 0,
			space: found.data.length });
	},
	sendTransaction([text, options]) {
		const raw = Buffer.from(text, 'base64');
		if (raw.length > 1232) fail(-32602, `too large: ${raw.length}`);
		const transaction = getTransactionDecoder().decode(raw), signature = getSignatureFromTransaction(transaction);
		const last = blockhashes.get(blockhashOf(transaction));
		counts.sent++;
		if (!options?.skipPreflight) {
			const refuse = err => fail(-32002, `Transaction simulation failed: ${JSON.stringify(err)}`, { err, logs: [] });
			if (history.has(signature)) refuse('AlreadyProcessed');
			if (last === undefined || slot > last) refuse('BlockhashNotFound');
			const tried = head.simulateTransaction(transaction);
			if (tried instanceof FailedTransactionMetadata) {
				const err = errorOf(tried);
				if (err === 'SignatureFailure') fail(-32003, 'Transaction signature verification failure');
				counts.refused++;
				refuse(err);
			}
		}
		if (dice(set.drop)) counts.dropped++;
		else if (last !== undefined) mempool.push({ signature, raw, last });
		return signature;
	},
	getSignatureStatuses: ([signatures]) => context(signatures.map(signature => {
		const known = history.get(signature);
		return known ? { slot: known.slot, confirmations: null, err: known.err,
			status: known.err ? { Err: known.err } : { Ok: null }, confirmationStatus: level(known.slot) } : null;
	})),
};

const tests = {
	test_set: ([values]) => Object.assign(set, values),
	test_counts: () => ({ ...counts, slot, included: included.length, distinct: new Set(included).size }),
	test_account([key, { owner, data, lamports: amount }]) {
		const account = { address: address(key), data: Buffer.from(data, 'base64'), executable: false,
			lamports: lamports(BigInt(amount)), programAddress: address(owner), space: BigInt(Buffer.from(data, 'base64').length) };
		// Before everything: no fork takes it back.
		for (const svm of [root, head]) svm.setAccount(account);
		log.splice(rooted, 0, { slot, unix: unix(), account });
		rooted++;
		return null;
	},
	test_clock: ([seconds]) => { clockOffset += seconds; return Number(unix()); },
	// What is not finalized was never there.
	test_fork() {
		const gone = log.splice(rooted);
		head = machine();
		for (const entry of log) apply(head, entry);
		tick(head, slot, unix());
		for (const entry of gone)
			if (entry.signature) history.delete(entry.signature), counts.forked++;
		return gone.length;
	},
};

http.createServer((request, response) => {
	let body = '';
	request.on('data', part => { body += part; });
	request.on('end', () => {
		const { method, params = [], id } = JSON.parse(body);
		const send = (status, answer, headers = {}) => {
			response.writeHead(status, { 'content-type': 'application/json', ...headers });
			response.end(JSON.stringify({ jsonrpc: '2.0', id, ...answer }));
		};
		const test = tests[method];
		if (!test && dice(set.silent)) return counts.silent++, request.socket.destroy();
		if (!test && dice(set.busy)) return counts.busy++, send(429, { error: { code: 429, message: 'Too many requests' } },
			set.retry_after ? { 'retry-after': String(set.retry_after) } : {});
		if (!test && dice(set.behind)) return counts.behind++, send(200, { error: { code: -32005, message: 'Node is behind by 42 slots' } });
		const call = test ?? methods[method];
		if (!call) return send(200, { error: { code: -32601, message: 'Method not found' } });
		try {
			const result = call(params);
			if (!test && dice(set.deaf)) return counts.deaf++, request.socket.destroy();
			send(200, { result });
		} catch (error) {
			send(200, { error: error.code ? error : { code: -32603, message: String(error?.stack ?? error) } });
		}
	});
}).listen(0, '127.0.0.1', function () { console.log(`ready ${this.address().port}`); });

process.stdin.on('end', () => process.exit()).resume(); // whoever started it is gone
