/**
 * An `apiKeyHelper` for the tests: rotates the last key of its state file through the gateway, keeps and prints the new one.
 * The key before stays good for half a minute, since a client uses it once more while this runs. Arguments: gateway address,
 * admin key, state file (a key a line).
 */
import { appendFileSync, readFileSync } from "node:fs";

const [url, adminKey, stateFile] = process.argv.slice(2) as [string, string, string];
const current = readFileSync(stateFile, "utf8").trim().split("\n").at(-1);
const reply = await fetch(`${url}/key/regenerate`, {
  method: "POST",
  headers: { authorization: `Bearer ${adminKey}`, "content-type": "application/json" },
  body: JSON.stringify({ key: current, grace_period: "30s" }),
});
if (!reply.ok) throw new Error(`${reply.status} ${await reply.text()}`);
const { key } = (await reply.json()) as { key: string };
appendFileSync(stateFile, `${key}\n`);
process.stdout.write(`${key}\n`);
