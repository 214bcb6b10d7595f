/** The command line of the benchmark and the durations that follow from it. */
import { tmpdir } from "node:os";
import { parseArgs } from "node:util";
import { caseNames } from "./cases.ts";
import { BenchError } from "./processes.ts";

/** How long each part takes, in milliseconds unless named otherwise. */
export interface Durations {
  /** One closed-loop window. wrk takes whole seconds. */
  readonly windowSeconds: number;
  readonly fixedRateMs: number;
  /** Load before the first closed-loop round, per case, so that the just-in-time compiler has done its work. */
  readonly warmUpSeconds: number;
  /** Load before memory is read, per kind of reply. */
  readonly streamsWarmUpMs: number;
  /** Silence before idle memory is read. */
  readonly idleMs: number;
  /** Running streams before their window starts, and the window. */
  readonly settleMs: number;
  readonly streamsWindowMs: number;
}

/** What the person at the terminal chose. */
export interface Options {
  readonly rounds: number;
  readonly isQuick: boolean;
  /** Names of the cases to run; never empty. */
  readonly cases: ReadonlySet<string>;
  /** Whether a missed target makes the exit code 1. */
  readonly isAsserting: boolean;
  readonly isMarkdown: boolean;
  /** Whether the gateway writes its line per request, as it does by default. */
  readonly isLoggingRequests: boolean;
  readonly gatewayEntry: string;
  readonly gatewayCore: number;
  readonly loadCore: number;
  readonly outFolder: string;
  readonly durations: Durations;
}

/** Text of `--help`. */
export const helpText = `npm run bench -- [options]

  --rounds N            interleaved rounds, medians are reported (default 5)
  --quick               one short round of everything: a sample, not a result
  --only NAMES          cases, comma-separated; a prefix chooses several
                        (${caseNames.join(", ")})
  --assert              exit 1 when a target is missed or was not measured
  --markdown            print the block for docs/performance.md as well
  --out FOLDER          where the JSON result goes (default: the system's temporary folder)
  --no-log-requests     switch the gateway's line per request off (default: on, written to /dev/null)
  --gateway FILE        the gateway's entry (default dist/cli/index.js)
  --cores A,B           cores of the gateway and of load and upstream (default 0,1)
`;

const fullDurations: Durations = {
  windowSeconds: 2,
  fixedRateMs: 1_500,
  warmUpSeconds: 5,
  streamsWarmUpMs: 1_500,
  // Longer than the gateway waits before it gives memory back.
  idleMs: 8_000,
  settleMs: 1_000,
  streamsWindowMs: 3_000,
};

const quickDurations: Durations = {
  windowSeconds: 1,
  fixedRateMs: 1_000,
  warmUpSeconds: 3,
  streamsWarmUpMs: 1_000,
  idleMs: 8_000,
  settleMs: 500,
  streamsWindowMs: 1_500,
};

function chosenCases(only: string | undefined): ReadonlySet<string> {
  if (only === undefined) return new Set(caseNames);
  const chosen = only.split(",").flatMap((wanted) => {
    const found = caseNames.filter((name) => name.startsWith(wanted.trim()));
    if (found.length === 0) throw new BenchError(`--only ${wanted}: no such case. Cases: ${caseNames.join(", ")}`);
    return found;
  });
  return new Set(chosen);
}

function wholeNumber(name: string, text: string, minimum: number): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < minimum) throw new BenchError(`${name} wants a whole number from ${minimum} on, not "${text}".`);
  return value;
}

/** Node's own complaint about the arguments is for the terminal as it is; its stack is not. */
function plainly<Value>(parse: () => Value): Value {
  try {
    return parse();
  } catch (error) {
    throw new BenchError(`${error instanceof Error ? error.message : String(error)}\n\n${helpText}`);
  }
}

/**
 * Reads the command line.
 *
 * @returns undefined when help was asked for
 * @throws BenchError with a sentence for the terminal
 */
export function parseOptions(args: readonly string[], defaultEntry: string): Options | undefined {
  const { values } = plainly(() => parseArgs({
    args: [...args],
    allowNegative: true,
    options: {
      rounds: { type: "string" },
      quick: { type: "boolean", default: false },
      only: { type: "string" },
      assert: { type: "boolean", default: false },
      markdown: { type: "boolean", default: false },
      out: { type: "string", default: tmpdir() },
      "log-requests": { type: "boolean", default: true },
      gateway: { type: "string", default: defaultEntry },
      cores: { type: "string", default: "0,1" },
      help: { type: "boolean", default: false },
    },
  }));
  if (values.help) return undefined;
  const [gatewayCore, loadCore] = values.cores.split(",").map((core) => wholeNumber("--cores", core, 0));
  if (gatewayCore === undefined || loadCore === undefined || gatewayCore === loadCore) {
    throw new BenchError("--cores wants two different cores, such as 0,1.");
  }
  return {
    rounds: wholeNumber("--rounds", values.rounds ?? (values.quick ? "1" : "5"), 1),
    isQuick: values.quick,
    cases: chosenCases(values.only),
    isAsserting: values.assert,
    isMarkdown: values.markdown,
    isLoggingRequests: values["log-requests"],
    gatewayEntry: values.gateway,
    gatewayCore,
    loadCore,
    outFolder: values.out,
    durations: values.quick ? quickDurations : fullDurations,
  };
}
