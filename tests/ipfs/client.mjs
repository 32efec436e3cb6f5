// Adds content by the client of Kubo's RPC API that Kubo's makers publish: its address, the options
// and the files (in base64, by their names) come in as JSON, and what it says of them goes out.

import { text } from "node:stream/consumers";
import { create } from "kubo-rpc-client";

const { url, options, files } = JSON.parse(await text(process.stdin));
const client = create({ url: `${url}/api/v0` });
const added = [];
const candidates = Object.entries(files).map(([path, content]) => ({
  path,
  content: Buffer.from(content, "base64"),
}));
for await (const { path, cid, size } of client.addAll(candidates, options)) {
  added.push({ path, cid: cid.toString(), size });
}
console.log(JSON.stringify({ added }));
