/** What `serve` says once it listens: at the first start the keys and the lines to paste, later where they are. */
import type { GatewayConfig } from "../config/gateway-config.ts";
import type { Secret } from "../kernel/secret.ts";
import { defaultGatewayUrl } from "./connection.ts";
import type { Output } from "./context.ts";

/** A gateway that listens. Keys are there at the start that made them, and never again. */
export interface StartedGateway {
  /** As clients reach it on this machine. */
  readonly url: string;
  readonly config: Pick<GatewayConfig, "source" | "models" | "providers">;
  readonly adminKey: Secret | undefined;
  readonly adminKeyFile: string;
  readonly developerKey: Secret | undefined;
  readonly developerKeyFile: string;
  /** Whether the gateway accepts the key in that file. */
  readonly developerKeyState: "valid" | "stale" | "none";
}

/** Stands in for the `*` of a pattern in the example; small and cheap, and served by Anthropic under this name. */
const exampleClaudeModel = "claude-haiku-4-5";

/** A name the configuration serves, preferring one that Claude Code would show; undefined when it serves none. */
export function exampleModel(models: GatewayConfig["models"]): string | undefined {
  const best = models.find((model) => model.name.includes("claude")) ?? models[0];
  if (best === undefined) return undefined;
  if (!best.name.includes("*")) return best.name;
  const [prefix = "", suffix = ""] = best.name.split("*");
  // `claude-*` keeps its own beginning; `*` and `team/*` take the whole name.
  const middle = exampleClaudeModel.startsWith(prefix) ? exampleClaudeModel.slice(prefix.length) : exampleClaudeModel;
  return `${prefix}${middle}${suffix}`;
}

/** A later start: where the developer key is, or how to make one. */
export function renderStart(started: StartedGateway): string {
  return `${renderListening(started)}\n${developerKeyRemark(started)}`;
}

function renderListening(started: StartedGateway): string {
  return `Tollgate listens on ${started.url}${simulationRemark(started.config)}`;
}

function developerKeyRemark({ developerKeyFile, developerKeyState }: StartedGateway): string {
  const make = "`tollgate keys create --alias NAME` makes one";
  if (developerKeyState === "valid") return `The first developer key is in ${developerKeyFile}; \`tollgate keys create --alias NAME\` makes more.`;
  if (developerKeyState === "stale") return `The developer key in ${developerKeyFile} is not valid here: it was revoked or replaced, or belongs to another store; ${make}.`;
  return `Developer keys are shown only when they are made; ${make}.`;
}

/** The first start; holds both keys in clear. */
export function renderFirstStart(started: StartedGateway, output: Pick<Output, "style">): string {
  const title = (text: string): string => output.style("bold", text);
  const lines = [renderListening(started), ""];
  if (started.adminKey !== undefined) lines.push(title("Admin key, shown this once"), `  ${started.adminKey.reveal()}`, `  It is kept in ${started.adminKeyFile}, where the tollgate commands find it.`, "");
  if (started.developerKey !== undefined) {
    lines.push(
      title("Developer key, shown this once; paste these lines to use it"),
      `  export ANTHROPIC_BASE_URL=${started.url}`,
      `  export ANTHROPIC_AUTH_TOKEN=${started.developerKey.reveal()}`,
      ...(started.url === defaultGatewayUrl ? [] : [`  export TOLLGATE_URL=${started.url}`]),
      "",
      title("Then Claude Code works as `claude`, and so does"),
      ...exampleRequest(exampleModel(started.config.models)),
      "",
      `\`tollgate claude\` needs no pasting: it reads the key from ${started.developerKeyFile}.`,
    );
  }
  lines.push("What it cost: `tollgate usage --by model`. More keys: `tollgate keys create --alias NAME`. In this repository `npm run -s tollgate --` stands for `tollgate`.");
  return lines.join("\n");
}

function exampleRequest(model: string | undefined): readonly string[] {
  const body = JSON.stringify({ model: model ?? "MODEL", max_tokens: 100, stream: true, messages: [{ role: "user", content: "Hello" }] });
  return [
    '  curl -sN "$ANTHROPIC_BASE_URL/v1/messages" -H "authorization: Bearer $ANTHROPIC_AUTH_TOKEN" \\',
    "    -H 'anthropic-version: 2023-06-01' -H 'content-type: application/json' \\",
    `    -d '${body.replaceAll("'", String.raw`'\''`)}'`,
  ];
}

function simulationRemark(config: StartedGateway["config"]): string {
  const kinds = [...config.providers.values()].map((provider) => provider.kind);
  if (!kinds.includes("demo")) return "";
  const isGenerated = config.source.kind === "generated";
  return isGenerated ? "\nAnswers are simulated: no provider credential was found. Set ANTHROPIC_API_KEY and start again for real ones." : "\nSome answers are simulated: the configuration names the demo provider.";
}
