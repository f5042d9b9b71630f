/* generate.mjs [--check]: types/ from the sources by TypeScript, and ../../docs/client-js.md from types/: what each part of
 * the package exports, with its signature and the words above it. --check: writes nothing, and fails where they differ. */
import { readFileSync, readdirSync, rmSync, mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import ts from "typescript";

const here = dirname(fileURLToPath(import.meta.url)), page = join(here, "../../docs/client-js.md"), check = process.argv.includes("--check");

/* ---- types ---- */

const config = ts.parseJsonConfigFileContent(ts.readConfigFile(join(here, "tsconfig.json"), ts.sys.readFile).config, ts.sys, here);
const program = ts.createProgram(config.fileNames, config.options), made = new Map();
const found = ts.getPreEmitDiagnostics(program).concat(program.emit(undefined, (name, text) => made.set(name.slice(name.lastIndexOf("/") + 1), text)).diagnostics);
if (found.length > 0) {
	process.stderr.write(ts.formatDiagnostics(found, { getCanonicalFileName: name => name, getCurrentDirectory: () => here, getNewLine: () => "\n" }));
	process.exit(1);
}

/* ---- pages ---- */

const parts = { streams: "Streams, and following any number of them", feed: "A feed of duels", market: "Markets with play money", viewer: "The live picture",
	connection: "One person's connection to conversations", agent: "An agent at the hub" };
const source = name => ts.createSourceFile(name, made.get(name), ts.ScriptTarget.Latest, true);
const trees = new Map([...made.keys()].map(name => [name, source(name)]));

/* The words of a declaration: [text, tags]. */
function wordsOf(node) {
	const doc = ts.getJSDocCommentsAndTags(node).filter(ts.isJSDoc).at(-1);
	const flat = comment => typeof comment === "string" ? comment : ts.getTextOfJSDocComment(comment) ?? "";
	return [doc ? flat(doc.comment) : "", [...doc?.tags ?? []].map(tag => ({ name: tag.tagName.text, of: tag.name?.getText() ?? "", text: flat(tag.comment) }))];
}

const plain = node => {
	let text = node.getText();
	for (const doc of node.jsDoc ?? []) text = text.replace(doc.getFullText().trim(), "");
	return text.replace(/^export (declare )?/, "").replace(/import\("[^"]*"\)\./g, "").replace(/\s+/g, " ").replace(/;$/, "").trim();
};

const cell = text => text.trim().replace(/\s*\n\s*/g, " ").replace(/\|/g, "\\|");

function example(tags) {
	return tags.filter(({ name }) => name === "example").flatMap(({ text }) => ["", ...text.trim().split("\n").map(line => "    " + line)]);
}

function notes(tags) {
	const lines = [];
	for (const { name, of, text } of tags) {
		if (name === "param" && text && of && !of.startsWith("options.")) lines.push(`\`${of}\`: ${cell(text)}`);
		else if (/^returns?$/.test(name) && text) lines.push(`returns ${cell(text)}`);
		else if (name === "throws" && text) lines.push(`throws ${cell(text)}`);
	}
	return lines.join("; ");
}

const joined = (text, more) => !text || !more ? text + more : text + (/[.:]$/.test(text.trim()) ? " " : "; ") + more;

/* A table of a class's or a type's members. */
function members(nodes) {
	const rows = [];
	for (const member of nodes) {
		if (!member.name && !ts.isConstructorDeclaration(member)) continue;
		if (member.name && ts.isPrivateIdentifier(member.name)) continue;
		if (member.modifiers?.some(m => m.kind === ts.SyntaxKind.PrivateKeyword)) continue;
		const [text, tags] = wordsOf(member);
		rows.push(`| \`${cell(plain(member)).replace(/`/g, "'")}\` | ${joined(cell(text), notes(tags))} |`);
	}
	return rows.length ? ["", "| | |", "|---|---|", ...rows] : [];
}

function declared(node) {
	const [text, tags] = wordsOf(node);
	if (ts.isClassDeclaration(node)) {
		const base = node.heritageClauses?.[0]?.getText() ?? "";
		return [`### class ${node.name.text}${base ? " " + base : ""}`, "", text, ...example(tags), ...members(node.members)];
	}
	if (ts.isFunctionDeclaration(node)) return [`### ${node.name.text}`, "", "    " + plain(node), "", joined(text, notes(tags)), ...example(tags)];
	if (ts.isTypeAliasDeclaration(node)) {
		const literal = ts.isTypeLiteralNode(node.type) && node.type.getText().length > 160 ? node.type : null;
		return [`### type ${node.name.text}`, "", ...literal ? [text, ...members(literal.members)] : ["    " + plain(node), "", text]];
	}
	if (ts.isVariableStatement(node)) return [`### ${node.declarationList.declarations[0].name.getText()}`, "", "    " + plain(node), "", text];
	return null;
}

/* What a part exports, itself and of others; each is told where it is met first. */
const told = new Set();
function exported(name) {
	const lines = [];
	for (const node of trees.get(name).statements) {
		if (ts.isExportDeclaration(node) && node.moduleSpecifier) {
			const from = node.moduleSpecifier.text.slice(2).replace(/\.js$/, ".d.ts");
			const wanted = node.exportClause?.elements.map(e => e.name.text);
			lines.push(...tell(from, wanted));
		}
	}
	return [...lines, ...tell(name)];
}
function tell(name, wanted) {
	const lines = [];
	for (const node of trees.get(name).statements) {
		const known = node.name?.text ?? node.declarationList?.declarations[0].name.getText();
		const type = ts.isTypeAliasDeclaration(node);
		if (!node.modifiers?.some(m => m.kind === ts.SyntaxKind.ExportKeyword) || told.has(name + known) || (wanted && !type && !wanted.includes(known))) continue;
		const text = declared(node);
		if (!text) continue;
		told.add(name + known);
		lines.push("", ...text);
	}
	return lines;
}

const lines = ["# The JavaScript client", "", "Made by `clients/js/generate.mjs` from the sources: what each part of the package exports. How to begin stands in",
	"[clients/js/README.md](../clients/js/README.md)."];
for (const [part, words] of Object.entries(parts)) {
	if (!trees.has(part + ".d.ts")) continue;
	lines.push("", `## ringside-client/${part}`, "", words + ".", ...exported(part + ".d.ts"));
}
const text = lines.join("\n").replace(/\n{3,}/g, "\n\n").replace(/[ \t]+$/gm, "") + "\n";

/* ---- write or compare ---- */

const read = path => { try { return readFileSync(path, "utf8"); } catch { return null; } };
const types = join(here, "types");
if (check) {
	const old = [...made].filter(([name, body]) => read(join(types, name)) !== body).map(([name]) => "types/" + name);
	for (const name of readdirSync(types)) if (!made.has(name)) old.push(`types/${name} (of no source)`);
	if (read(page) !== text) old.push("docs/client-js.md");
	if (old.length > 0) {
		console.error(`not of these sources: ${old.join(", ")}; "npm run generate" in clients/js makes them`);
		process.exit(1);
	}
} else {
	rmSync(types, { recursive: true, force: true });
	mkdirSync(types);
	for (const [name, body] of made) writeFileSync(join(types, name), body);
	writeFileSync(page, text);
}
