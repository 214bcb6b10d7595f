/**
 * AWS credentials for a place, kept fresh: what the operator wrote, or the default chain in the order of AWS's own clients
 * (https://docs.aws.amazon.com/sdkref/latest/guide/standardized-credentials.html; aws/aws-sdk-js-v3,
 * packages/credential-provider-node, checked 2026-11). A link that is set up and fails ends the chain with its error: going on
 * would sign with another identity than the operator meant.
 */
import { createRefreshing, refreshAheadMs } from "../refreshing.ts";
import { CredentialError, type CredentialRuntime, type CredentialSource } from "../runtime.ts";
import { fromContainer } from "./container.ts";
import { fromEnvironment } from "./environment.ts";
import { createFileWatch } from "./files.ts";
import { fromInstance } from "./instance.ts";
import { envOf, type AwsLogin, type Found } from "./login.ts";
import { fromProfile } from "./profiles.ts";
import type { SsoMemory } from "./sso.ts";
import { assumeRole, assumeRoleWithWebIdentity } from "./sts.ts";
import type { AwsCredentialOptions, AwsCredentials } from "./types.ts";

/**
 * A service that hands out credentials of its own timing (metadata, container agent) may give the same ones until minutes before
 * their end. It is then asked again this often, and not at every request.
 */
const sameAgainPauseMs = 30_000;

/**
 * The chain: explicit keys; web identity as configured; keys in the environment (unless a profile is named); the profile of the
 * shared files, with SSO and `credential_process`; web identity of the environment; container agent; instance metadata. Then, with
 * `roleArn`, that role is assumed with what was found.
 *
 * Shared files, the SSO cache and token files are watched by their times of change, looked up at most once a second.
 *
 * @throws CredentialError from `get`, never from here; its words name files, lines and services, and no secret
 */
export function createAwsCredentials(options: AwsCredentialOptions, runtime: CredentialRuntime): CredentialSource<AwsCredentials> {
  const { clock } = runtime;
  const watch = createFileWatch(runtime);
  const ssoMemory: SsoMemory = new Map();
  let last: { readonly credentials: AwsCredentials; readonly at: number } | undefined;

  const load = async (): Promise<AwsCredentials> => {
    const before = last;
    if (before !== undefined && clock.monotonic() - before.at < sameAgainPauseMs && isShort(before.credentials, clock.now())) {
      const hasChanged = await watch.hasChanged();
      // They may have been refused meanwhile.
      if (!hasChanged && last === before) return before.credentials;
    }
    const files = watch.open();
    const credentials = await logIn({ options, runtime, files, ssoMemory });
    files.keep();
    last = { credentials, at: clock.monotonic() };
    return credentials;
  };
  const source = createRefreshing(clock, load, () => watch.hasChanged());
  return {
    get: () => source.get(),
    refused(credentials) {
      last = undefined;
      source.refused(credentials);
    },
  };
}

/** Already due for a refresh, and alive. */
function isShort({ expiresAtMs }: AwsCredentials, nowMs: number): boolean {
  return expiresAtMs !== undefined && expiresAtMs - nowMs <= refreshAheadMs && expiresAtMs - nowMs > sameAgainPauseMs;
}

async function logIn(login: AwsLogin): Promise<AwsCredentials> {
  const { roleArn, roleSessionName, externalId, webIdentityTokenFile } = login.options;
  const explicit = fromOptions(login.options);
  if (webIdentityTokenFile !== undefined) {
    if (explicit !== undefined) throw new CredentialError("explicit AWS keys and a web identity token file are both configured; give one of them", false);
    const role = roleArn ?? envOf(login, "AWS_ROLE_ARN");
    if (role === undefined) throw new CredentialError("a web identity token file is configured without a role", false);
    return assumeRoleWithWebIdentity(login, webIdentityTokenFile, { roleArn: role, sessionName: roleSessionName ?? envOf(login, "AWS_ROLE_SESSION_NAME") });
  }
  const found = explicit === undefined ? await fromChain(login) : { credentials: explicit };
  // A pod whose web identity has the wanted role already need not, and often may not, assume it once more.
  if (roleArn === undefined || found.roleArn === roleArn) return found.credentials;
  return assumeRole(login, found.credentials, { roleArn, sessionName: roleSessionName, externalId });
}

function fromOptions({ accessKeyId, secretAccessKey, sessionToken }: AwsCredentialOptions): AwsCredentials | undefined {
  if (accessKeyId === undefined && secretAccessKey === undefined) return undefined;
  if (accessKeyId === undefined || secretAccessKey === undefined) throw new CredentialError(`the AWS ${accessKeyId === undefined ? "access key id" : "secret access key"} is not configured, and the other key is`, false);
  return { accessKeyId, secretAccessKey, ...(sessionToken === undefined ? {} : { sessionToken }), expiresAtMs: undefined };
}

async function fromChain(login: AwsLogin): Promise<Found> {
  const named = login.options.profile ?? envOf(login, "AWS_PROFILE");
  const inEnvironment = named === undefined ? fromEnvironment(login) : undefined;
  if (inEnvironment !== undefined) return { credentials: inEnvironment };

  const inProfile = await fromProfile(login, named ?? "default", named !== undefined);
  if (inProfile !== undefined) return inProfile;

  const tokenFile = envOf(login, "AWS_WEB_IDENTITY_TOKEN_FILE");
  if (tokenFile !== undefined) {
    const roleArn = envOf(login, "AWS_ROLE_ARN");
    if (roleArn === undefined) throw new CredentialError("AWS_WEB_IDENTITY_TOKEN_FILE is set without AWS_ROLE_ARN", false);
    return { credentials: await assumeRoleWithWebIdentity(login, tokenFile, { roleArn, sessionName: login.options.roleSessionName ?? envOf(login, "AWS_ROLE_SESSION_NAME") }), roleArn };
  }

  const inContainer = await fromContainer(login);
  if (inContainer !== undefined) return { credentials: inContainer };

  const onInstance = await fromInstance(login);
  if (onInstance.kind === "found") return { credentials: onInstance.credentials };
  const profile = named === undefined ? "the default profile" : `profile ${JSON.stringify(named)}`;
  const environment = named === undefined ? "no keys in the environment" : "the environment's keys are passed over because a profile is named";
  throw new CredentialError(`no AWS credentials: ${environment}; none in ${profile} of the shared files; no AWS_WEB_IDENTITY_TOKEN_FILE; no container agent; instance metadata: ${onInstance.why}`, onInstance.kind === "absent");
}
