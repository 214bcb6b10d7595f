/** `tollgate doctor`: looks at everything between Claude Code and the provider, and names the mend of what is wrong. */
import { join, resolve } from "node:path";
import type { Command } from "commander";
import { Secret } from "../kernel/secret.ts";
import { claudeVersion, findClaude } from "./claude.ts";
import { readClaudeSettings } from "./claude-environment.ts";
import { CliError, exitCodes, ShownFailure } from "./cli-error.ts";
import { readConfiguration, type ConfigurationReport } from "./configuration.ts";
import { defaultDataDir, defaultGatewayUrl, developerKeyFileName, findAdminKey, gatewayUrl, readKeyFile, refusedAdminKey } from "./connection.ts";
import type { CliContext } from "./context.ts";
import { checkClientSettings, checkClientVersion } from "./doctor-client.ts";
import { fail, ok, renderFindings, skip, warn, type Finding } from "./doctor-finding.ts";
import { checkAdminKey, checkGateway, checkUpstreams } from "./doctor-gateway.ts";
import { checkClock, checkNode, checkStore } from "./doctor-machine.ts";
import { renderJson } from "./json.ts";
import { commaList } from "./key-fields.ts";
import { configPath } from "./serve.ts";
import { formatNotice } from "./text.ts";

interface DoctorOptions {
  readonly config?: string;
  readonly acceptUnenforced?: readonly string[];
  readonly url?: string;
  readonly dataDir: string;
  readonly json?: boolean;
}

const gatewayTimeoutMs = 5_000;
/** The ledger's file when `store.path` is not set. */
const databaseFileName = "tollgate.db";

/** Adds `doctor` to the program. */
export function addDoctorCommand(program: Command, context: CliContext): void {
  program
    .command("doctor")
    .description("Check runtime, configuration, ledger, clock, gateway, providers and Claude Code's settings; say what to mend.")
    .option("--config <file>", "the gateway's configuration (else ./tollgate.yaml where there is one)")
    .option("--accept-unenforced <names>", "restrictions of a LiteLLM file that the gateway was started to accept, separated by commas", commaList)
    .option("--url <url>", `the gateway's address (else TOLLGATE_URL, else ${defaultGatewayUrl})`)
    .option("--data-dir <dir>", "the gateway's data folder", defaultDataDir)
    .option("--json", "print JSON")
    .action((options: DoctorOptions) => doctor(options, context));
}

async function doctor(options: DoctorOptions, context: CliContext): Promise<void> {
  const findings = await examine(options, context);
  const hasFailed = findings.some((finding) => finding.level === "fail");
  context.output.print(options.json === true ? renderJson({ ok: !hasFailed, findings }) : renderFindings(findings, context.output));
  if (hasFailed) throw new ShownFailure(exitCodes.failure);
}

async function examine(options: DoctorOptions, context: CliContext): Promise<readonly Finding[]> {
  const { url, source } = gatewayUrl(options.url, context);
  const dataDir = resolve(context.cwd, options.dataDir);
  const { config, places, findings: configFindings } = await checkConfig(options, context);
  const { key, keySource, finding: keyFinding } = await findDeveloperKey(dataDir, context);
  const gateway = await checkGateway({ url, urlSource: source, key, keySource, timeoutMs: gatewayTimeoutMs });
  const upstream = config === undefined ? undefined : await checkUpstreams(places, config.egress);
  const binary = await findClaude(context.env);
  const version = binary === undefined ? "" : await claudeVersion(binary, context.env);
  const files = await readClaudeSettings(context, process.platform);
  // The provider's clock is the one that matters; the gateway's is most often this very machine's.
  const [date, dateSource] = upstream?.date === undefined ? [gateway.date, "the gateway"] : [upstream.date, upstream.dateSource];
  return [
    checkNode(process.versions.node),
    ...configFindings,
    ...(await checkStore(dataDir, config?.store.path ?? join(dataDir, databaseFileName), gateway.isReady && isDefaultPlace(options, context))),
    checkClock(date, dateSource, context.clock.now()),
    ...(keyFinding === undefined ? [] : [keyFinding]),
    ...gateway.findings,
    ...(gateway.isReady ? [await checkAdmin({ url, source }, options, context)] : []),
    ...(upstream?.findings ?? [skip("upstream", "The configuration was not read, so no provider is known.")]),
    checkClientVersion(binary, version),
    ...checkClientSettings(context.env, files, url),
  ];
}

/** True when the gateway that was asked is the one of this data folder, as far as can be told: neither was named. */
function isDefaultPlace(options: DoctorOptions, context: CliContext): boolean {
  return options.url === undefined && context.env.TOLLGATE_URL === undefined && options.dataDir === defaultDataDir;
}

async function checkConfig(options: DoctorOptions, context: CliContext): Promise<Pick<ConfigurationReport, "config" | "places"> & { findings: readonly Finding[] }> {
  const path = configPath(options.config, context.cwd);
  const { config, places, errors } = await readConfiguration({ path, env: context.env, acceptUnenforced: options.acceptUnenforced ?? [] });
  const problems = errors.map((notice) => fail("config", formatNotice(notice), "Mend it; `tollgate config check` shows all of the file."));
  const remarks = (config?.warnings ?? []).map((notice) => warn("config", formatNotice(notice), "See `tollgate config check`."));
  const good = path === undefined ? ok("config", "There is no file; the gateway makes one from the environment.") : ok("config", `${path} is valid.`);
  return { config, places, findings: problems.length > 0 ? problems : [good, ...remarks] };
}

async function checkAdmin({ url, source }: ReturnType<typeof gatewayUrl>, options: DoctorOptions, context: CliContext): Promise<Finding> {
  try {
    const found = await findAdminKey({ dataDir: options.dataDir }, context);
    return await checkAdminKey({ url, urlSource: source, key: found.key, keySource: found.keySource, refusedKey: refusedAdminKey(found, url), timeoutMs: gatewayTimeoutMs });
  } catch (error) {
    if (!(error instanceof CliError)) throw error;
    return warn("admin key", error.message, error.mend);
  }
}

async function findDeveloperKey(dataDir: string, context: CliContext): Promise<{ key: Secret | undefined; keySource: string; finding: Finding | undefined }> {
  const variable = context.env.TOLLGATE_KEY?.trim();
  if (variable !== undefined && variable !== "") return { key: new Secret(variable), keySource: "TOLLGATE_KEY", finding: undefined };
  const path = join(dataDir, developerKeyFileName);
  try {
    return { key: await readKeyFile(path), keySource: path, finding: undefined };
  } catch (error) {
    if (!(error instanceof CliError)) throw error;
    return { key: undefined, keySource: path, finding: warn("key", error.message, error.mend) };
  }
}
