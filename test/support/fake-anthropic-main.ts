/**
 * Runs the fake as a process of its own, so that it outlives a gateway that a test kills with SIGKILL.
 *
 * `node fake-anthropic-main.ts [--port N] [--bill FILE] [--api-key K] [--auth-token T] [--models a,b] [--default JSON]` prints
 * one line `{"url","port","pid"}` and runs until SIGTERM; with `--until-stdin-ends` also until its parent is gone. Control over HTTP:
 * `GET /__fake/state`, `POST /__fake/default` (a behaviour), `POST /__fake/queue` (an array of behaviours).
 */
import { parseArgs } from "node:util";
import { startFakeAnthropic } from "./fake-anthropic.ts";
import type { Behaviour } from "./fake-anthropic-types.ts";

const { values } = parseArgs({
  options: {
    port: { type: "string" },
    bill: { type: "string" },
    "api-key": { type: "string" },
    "auth-token": { type: "string" },
    models: { type: "string" },
    default: { type: "string" },
    "until-stdin-ends": { type: "boolean" },
  },
});

const fake = await startFakeAnthropic({
  ...(values.port === undefined ? {} : { port: Number(values.port) }),
  ...(values.bill === undefined ? {} : { billPath: values.bill }),
  ...(values["api-key"] === undefined ? {} : { apiKey: values["api-key"] }),
  ...(values["auth-token"] === undefined ? {} : { authToken: values["auth-token"] }),
  ...(values.models === undefined ? {} : { models: values.models.split(",") }),
});
if (values.default !== undefined) fake.setDefault(JSON.parse(values.default) as Behaviour);

const stop = (): void => void fake.close().then(() => process.exit(0));
process.once("SIGTERM", stop);
if (values["until-stdin-ends"] === true) process.stdin.resume().once("end", stop);
process.stdout.write(`${JSON.stringify({ url: fake.url, port: fake.port, pid: process.pid })}\n`);
