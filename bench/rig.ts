/** What stands around a contender: the mock upstream and the load client, as processes on the load core. */
import type { ChildProcess } from "node:child_process";
import { fileURLToPath } from "node:url";
import type { LoadAnswer, LoadCommand } from "./load-client.ts";
import type { MockCommand, MockReady } from "./mock-upstream.ts";
import { BenchError, startPinned } from "./processes.ts";

/** The running surroundings of a benchmark. */
export interface Rig {
  readonly mockPort: number;
  readonly loadCore: number;
  readonly gatewayCore: number;
  /** A temporary folder of this run. */
  readonly folder: string;
  /** Gives the load client one command; only one may run at a time. */
  ask(command: LoadCommand): Promise<LoadAnswer>;
  /** Tells the mock to end every paced stream as a provider would. */
  finishPaced(): void;
}

const answerTimeoutMs = 60_000;

/** The next message of a child, or a fault when it ends or stays silent. */
function nextMessage<Message>(child: ChildProcess, what: string): Promise<Message> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => fail("gave no answer"), answerTimeoutMs);
    const onExit = (): void => fail("ended unexpectedly");
    const onMessage = (message: unknown): void => {
      release();
      resolve(message as Message);
    };
    const release = (): void => {
      clearTimeout(timer);
      child.off("exit", onExit);
      child.off("message", onMessage);
    };
    const fail = (how: string): void => {
      release();
      reject(new BenchError(`The ${what} ${how}.`));
    };
    child.once("exit", onExit);
    child.once("message", onMessage);
  });
}

function startHelper(file: string, core: number): ChildProcess {
  const path = fileURLToPath(new URL(file, import.meta.url));
  return startPinned({ core, command: process.execPath, args: [path], stdio: ["ignore", "inherit", "inherit", "ipc"] });
}

/** Starts the mock upstream and the load client. They end with this process. */
export async function startRig(cores: { readonly gateway: number; readonly load: number }, folder: string): Promise<Rig> {
  const mock = startHelper("./mock-upstream.ts", cores.load);
  const ready = await nextMessage<MockReady>(mock, "mock upstream");
  const client = startHelper("./load-client.ts", cores.load);
  return {
    mockPort: ready.port,
    loadCore: cores.load,
    gatewayCore: cores.gateway,
    folder,
    ask: (command) => {
      const answer = nextMessage<LoadAnswer>(client, "load client");
      client.send(command);
      return answer;
    },
    finishPaced: () => {
      const command: MockCommand = { type: "finish-paced" };
      mock.send(command);
    },
  };
}
