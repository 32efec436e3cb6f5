#!/usr/bin/env node
// The Solidity compiler of the npm package `solc`, behind the part of the native command line that
// py-solc-x uses: `--version`, and `--standard-json` on standard input.
"use strict";

const crypto = require("node:crypto");
const fs = require("node:fs");
const path = require("node:path");

const VALUE_OPTIONS = ["--base-path", "--include-path", "--allow-paths"];
const FLAGS = ["--version", "--standard-json", "--pretty-json"];

function parse(args) {
  const options = Object.fromEntries(VALUE_OPTIONS.map((name) => [name, []]));
  for (let i = 0; i < args.length; i++) {
    const [name, inline] = args[i].split(/=(.*)/s, 2);
    if (VALUE_OPTIONS.includes(name)) options[name].push(inline ?? args[++i] ?? fail(`${name} needs a value`));
    else if (FLAGS.includes(name)) options[name] = true;
    else fail(`unrecognised option '${name}'`); // the words by which py-solc-x knows this error
  }
  return options;
}

function fail(message) {
  process.stderr.write(`${message}\n`);
  process.exit(1);
}

// Like the native compiler, read nothing outside the base, include and allowed paths.
function reader(options) {
  const roots = [options["--base-path"].at(-1) ?? ".", ...options["--include-path"]];
  const allowed = [...roots, ...options["--allow-paths"].flatMap((list) => list.split(","))]
    .filter((folder) => folder && fs.existsSync(folder))
    .map((folder) => fs.realpathSync(folder));
  const isAllowed = (file) =>
    allowed.some((folder) => !path.relative(folder, file).match(/^\.\.(\/|$)/));

  return (name) => {
    const wanted = name.replace(/^file:\/\//, "");
    const found = roots
      .map((root) => path.resolve(root, wanted))
      .find((file) => fs.statSync(file, { throwIfNoEntry: false })?.isFile());
    if (!found) return { error: "File not found." };
    const file = fs.realpathSync(found); // a link must not lead out of the allowed folders
    if (!isAllowed(file)) return { error: "File outside of allowed directories." };
    return { contents: fs.readFileSync(file, "utf8") };
  };
}

// Loading the compiler takes a third of a second and py-solc-x asks for the version before every
// compilation, so the answer is kept beside the installed package, which replaces both at once.
function version() {
  const note = path.join(path.dirname(require.resolve("solc/package.json")), ".version");
  try {
    return fs.readFileSync(note, "utf8");
  } catch {
    const answer = require("solc").version();
    try {
      fs.writeFileSync(note, answer);
    } catch {
      // A read-only folder only costs time.
    }
    return answer;
  }
}

// Compiling takes a minute here and depends on nothing but the input and the files that it imports:
// what was compiled before is kept in the checkout, by the hash of the one and with those of the others.
const KEPT = path.join(__dirname, "..", ".tools", "compiled");

function hash(text) {
  return crypto.createHash("sha256").update(text).digest("hex");
}

function compile(input, read) {
  const kept = path.join(KEPT, `${hash(`${version()}\n${input}`)}.json`);
  const current = (name) => hash(JSON.stringify(read(name)));
  try {
    const { imported, output } = JSON.parse(fs.readFileSync(kept, "utf8"));
    if (Object.entries(imported).every(([name, was]) => current(name) === was)) return output;
  } catch {
    // Not compiled before.
  }
  const imported = {};
  const output = require("solc").compile(input, {
    import: (name) => {
      imported[name] = current(name);
      return read(name);
    },
  });
  keep(kept, JSON.stringify({ imported, output }));
  return output;
}

// Written beside its place first: another process may read it at any time.
function keep(file, text) {
  const beside = `${file}.${process.pid}`;
  try {
    fs.mkdirSync(KEPT, { recursive: true });
    fs.writeFileSync(beside, text);
    fs.renameSync(beside, file);
  } catch {
    // A read-only folder only costs time.
  }
}

const options = parse(process.argv.slice(2));
if (options["--version"]) {
  const name = "solc, the solidity compiler commandline interface";
  process.stdout.write(`${name}\nVersion: ${version()}\n`);
} else if (options["--standard-json"]) {
  const input = fs.readFileSync(0, "utf8");
  const output = compile(input, reader(options));
  const pretty = options["--pretty-json"];
  fs.writeFileSync(1, (pretty ? JSON.stringify(JSON.parse(output), null, 2) : output) + "\n");
} else {
  fail("Only --version and --standard-json are supported.");
}
