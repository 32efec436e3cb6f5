// Splits content into blocks as IPFS does: a case a line comes in as JSON, and its CID and blocks
// go out as one. It has nothing in common with the code that it tests. Bytes are in base64.

import { createInterface } from "node:readline";
import { importer } from "ipfs-unixfs-importer";
import { fixedSize } from "ipfs-unixfs-importer/chunker";
import { balanced, trickle } from "ipfs-unixfs-importer/layout";
import { base16 } from "multiformats/bases/base16";
import { base32, base32upper } from "multiformats/bases/base32";
import { base36 } from "multiformats/bases/base36";
import { base58btc } from "multiformats/bases/base58";
import { base64url } from "multiformats/bases/base64";

const bases = [base16, base32, base32upper, base36, base58btc, base64url];
const layouts = { balanced, trickle };
const encode = (bytes) => Buffer.from(bytes).toString("base64");

for await (const line of createInterface({ input: process.stdin })) {
  const { content, path, chunkSize, children, layout, ...options } = JSON.parse(line);
  const blocks = {};
  const blockstore = {
    async put(cid, block) {
      blocks[cid.toString()] = blocks[cid.toV1().toString()] = encode(block);
      return cid;
    },
  };
  const file = { path, content: [Buffer.from(content, "base64")] };
  let root;
  for await (const { cid } of importer(file, blockstore, {
    chunker: fixedSize({ chunkSize }),
    layout: layouts[layout]({ maxChildrenPerNode: children }),
    ...options,
  })) {
    root = cid;
  }
  const texts = [root.toString(), ...bases.map((base) => root.toV1().toString(base))];
  console.log(JSON.stringify({ cid: root.toString(), texts, blocks }));
}
