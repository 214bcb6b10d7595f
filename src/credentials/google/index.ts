/**
 * Google's Application Default Credentials: finds the login that an operator, a developer or a machine has, and keeps an access
 * token of it fresh. Order: what the configuration says, `GOOGLE_APPLICATION_CREDENTIALS`, gcloud's well-known file, the
 * metadata server (https://cloud.google.com/docs/authentication/application-default-credentials, checked 2026-11).
 */
import { Secret } from "../../kernel/secret.ts";
import { createRefreshing } from "../refreshing.ts";
import { CredentialError, type CredentialRuntime, type CredentialSource, type Expiring } from "../runtime.ts";
import type { AccessToken, LoginContext } from "./exchange.ts";
import { readCredentialFile, type CredentialFile } from "./file.ts";
import { codeOf, tokenFromFile } from "./flows.ts";
import { mayAskMetadata, projectFromMetadata, tokenFromMetadata } from "./metadata-server.ts";

/** An access token with what belongs to it. */
export interface GoogleToken extends Expiring {
  readonly token: Secret;
  readonly expiresAtMs: number;
  /** The project that the login belongs to, where it can be told. */
  readonly projectId: string | undefined;
  /** Goes in `x-goog-user-project`: the project that calls are booked on, where a login names one. */
  readonly quotaProject: string | undefined;
}

export interface GoogleCredentialOptions {
  /** Path of a credential file, or its JSON text; absent: looked for in the order above. */
  readonly credentials?: string | undefined;
  /** OAuth scopes. */
  readonly scopes: readonly string[];
  /** Wins over the file's `quota_project_id`. */
  readonly quotaProject?: string | undefined;
  /** Origins besides Google's own that may receive secrets; for tests, which have no Google. */
  readonly trustedOrigins?: readonly string[];
}

/** A look at the key files costs a system call, and requests come by the hundred. */
const lookPauseMs = 5000;

/** A login found: how to get a token, and the file that must be watched for a newer key. */
interface Found {
  readonly file: CredentialFile | undefined;
  /** Path → its modification time before it was read; undefined: was not there. */
  readonly watched: ReadonlyMap<string, number | undefined>;
}

/** Nothing is read and nobody asked before the first `get`. A changed key file is picked up by its modification time. */
export function createGoogleCredentials(options: GoogleCredentialOptions, runtime: CredentialRuntime): CredentialSource<GoogleToken> {
  const context: LoginContext = { runtime, scopes: options.scopes, trustedOrigins: options.trustedOrigins ?? [] };
  let watched: Found["watched"] = new Map();
  let lookedAtMs = Number.NEGATIVE_INFINITY;
  let machineProject: string | undefined;

  const load = async (): Promise<GoogleToken> => {
    const found = await find(options.credentials, runtime);
    watched = found.watched;
    lookedAtMs = runtime.clock.monotonic();
    if (found.file !== undefined) return tokenValue(await tokenFromFile(context, found.file), found.file, options, runtime);
    const access = await fromMachine(context);
    machineProject ??= await projectFromMetadata(runtime);
    return tokenValue(access, { projectId: machineProject, quotaProject: undefined }, options, runtime);
  };

  const hasChanged = async (): Promise<boolean> => {
    const nowMs = runtime.clock.monotonic();
    if (nowMs - lookedAtMs < lookPauseMs) return false;
    lookedAtMs = nowMs;
    for (const [path, modifiedAtMs] of watched) if ((await runtime.modifiedAtMs(path)) !== modifiedAtMs) return true;
    return false;
  };

  return createRefreshing(runtime.clock, load, hasChanged);
}

function tokenValue(
  access: AccessToken,
  file: { readonly projectId: string | undefined; readonly quotaProject: string | undefined },
  options: GoogleCredentialOptions,
  { env }: CredentialRuntime,
): GoogleToken {
  const quotaProject = options.quotaProject ?? env["GOOGLE_CLOUD_QUOTA_PROJECT"] ?? file.quotaProject;
  return {
    token: new Secret(access.accessToken),
    expiresAtMs: access.expiresAtMs,
    projectId: file.projectId ?? env["GOOGLE_CLOUD_PROJECT"] ?? env["GCLOUD_PROJECT"] ?? quotaProject,
    quotaProject,
  };
}

async function find(explicit: string | undefined, runtime: CredentialRuntime): Promise<Found> {
  if (explicit?.trimStart().startsWith("{") === true) return { file: readCredentialFile(explicit, "the configured Google credentials"), watched: new Map() };
  const named = explicit ?? nonEmpty(runtime.env["GOOGLE_APPLICATION_CREDENTIALS"]);
  if (named !== undefined) return await readFile(named, runtime);
  const wellKnown = wellKnownPath(runtime);
  if ((await runtime.modifiedAtMs(wellKnown)) !== undefined) return await readFile(wellKnown, runtime);
  return { file: undefined, watched: new Map([[wellKnown, undefined]]) };
}

/** The time is noted before the content is read: a change in between is then seen as one. */
async function readFile(path: string, runtime: CredentialRuntime): Promise<Found> {
  const watched = new Map([[path, await runtime.modifiedAtMs(path)]]);
  let text: string;
  try {
    text = await runtime.readFile(path);
  } catch (fault) {
    throw new CredentialError(`the Google credential file ${path} cannot be read: ${codeOf(fault)}`, false);
  }
  return { file: readCredentialFile(text, path), watched };
}

function wellKnownPath({ env, homeFolder }: CredentialRuntime): string {
  const appData = nonEmpty(env["APPDATA"]);
  const folder = nonEmpty(env["CLOUDSDK_CONFIG"]) ?? (appData === undefined ? `${homeFolder}/.config/gcloud` : `${appData}/gcloud`);
  return `${folder}/application_default_credentials.json`;
}

function nonEmpty(text: string | undefined): string | undefined {
  return text === undefined || text === "" ? undefined : text;
}

async function fromMachine(context: LoginContext): Promise<AccessToken> {
  const nowhere = "no Google credentials were found: none are configured, GOOGLE_APPLICATION_CREDENTIALS is not set, gcloud has left no file";
  if (!mayAskMetadata(context.runtime)) throw new CredentialError(`${nowhere}, and the metadata server is switched off`, false);
  try {
    return await tokenFromMetadata(context);
  } catch (fault) {
    if (fault instanceof CredentialError) throw new CredentialError(`${nowhere}, and ${fault.message}`, fault.isTransient);
    throw fault;
  }
}
