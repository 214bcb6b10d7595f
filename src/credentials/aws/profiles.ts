/**
 * Credentials of a profile of the shared files. Which settings of a profile count first is AWS's own order
 * (aws/aws-sdk-js-v3, packages/credential-provider-ini, `resolveProfileData` and `resolveAssumeRoleCredentials`, checked 2026-11):
 * a role, keys, a web identity, a program, SSO; in a profile that another one names as its source, keys come first. A profile
 * that is named and not there, or whose settings contradict one another, is an error, never a reason to use another identity.
 */
import { Secret } from "../../kernel/secret.ts";
import { CredentialError } from "../runtime.ts";
import { fromContainer } from "./container.ts";
import { fromEnvironment } from "./environment.ts";
import { mergeShared, parseIni, type Section, type SharedConfig } from "./ini.ts";
import { fromInstance } from "./instance.ts";
import { codeOf, credentialsOf, envOf, parseObject, type AwsLogin, type Found } from "./login.ts";
import { fromSso, type SsoSettings } from "./sso.ts";
import { assumeRole, assumeRoleWithWebIdentity } from "./sts.ts";
import type { AwsCredentials } from "./types.ts";

/** Both files; one that is not there counts as empty. */
export async function readShared(login: AwsLogin): Promise<SharedConfig> {
  const configPath = envOf(login, "AWS_CONFIG_FILE") ?? "~/.aws/config";
  const credentialsPath = envOf(login, "AWS_SHARED_CREDENTIALS_FILE") ?? "~/.aws/credentials";
  const sections = async (path: string) => parseIni((await login.files.read(path))?.text ?? "", path);
  return mergeShared(await sections(configPath), await sections(credentialsPath));
}

/**
 * @param name the profile; `isNamed` when somebody asked for it, and not for whatever is the default
 * @returns undefined when the profile says nothing of credentials, or is the default one and not there
 */
export async function fromProfile(login: AwsLogin, name: string, isNamed: boolean): Promise<Found | undefined> {
  const shared = await readShared(login);
  const profile = shared.profiles.get(name);
  if (profile === undefined) {
    if (isNamed) throw new CredentialError(`there is no profile ${JSON.stringify(name)} in the shared AWS files`, false);
    return undefined;
  }
  if (!says(profile)) return undefined;
  return resolve({ login, shared }, profile, []);
}

/** Settings that make a profile one with credentials. */
const telling = ["role_arn", "aws_access_key_id", "aws_secret_access_key", "web_identity_token_file", "credential_process", "sso_session", "sso_account_id", "sso_start_url", "credential_source", "source_profile", "login_session"];

function says(profile: Section): boolean {
  return telling.some((name) => valueOf(profile, name) !== undefined);
}

function valueOf(section: Section, name: string): string | undefined {
  const value = section.settings.get(name)?.value;
  return value === "" ? undefined : value;
}

interface Scope {
  readonly login: AwsLogin;
  readonly shared: SharedConfig;
}

/** @param visited names of profiles that were named as sources on the way here */
async function resolve(scope: Scope, profile: Section, visited: readonly string[]): Promise<Found> {
  const { login } = scope;
  const roleArn = valueOf(profile, "role_arn");
  const source = valueOf(profile, "source_profile");
  const credentialSource = valueOf(profile, "credential_source");
  const keys = fromKeys(profile);
  if (visited.length > 0 && keys !== undefined) return { credentials: keys };
  if (roleArn !== undefined && (source !== undefined || credentialSource !== undefined)) return fromRole(scope, profile, visited);
  // The last profile of a row may say only where the keys come from, without a role of its own.
  if (roleArn === undefined && credentialSource !== undefined && visited.length > 0) return { credentials: await fromCredentialSource(login, profile) };
  if (keys !== undefined) return { credentials: keys };
  const tokenFile = valueOf(profile, "web_identity_token_file");
  if (tokenFile !== undefined) {
    if (roleArn === undefined) throw wrong(profile, "has web_identity_token_file without role_arn");
    return { credentials: await assumeRoleWithWebIdentity(login, tokenFile, { roleArn, sessionName: valueOf(profile, "role_session_name"), durationSeconds: durationOf(profile) }), roleArn };
  }
  if (valueOf(profile, "credential_process") !== undefined) return { credentials: await fromProcess(login, profile) };
  if (roleArn !== undefined) throw wrong(profile, "has role_arn with neither source_profile, credential_source nor web_identity_token_file");
  if (["sso_session", "sso_account_id", "sso_start_url"].some((name) => valueOf(profile, name) !== undefined)) {
    return { credentials: await fromSso(login, ssoSettings(scope, profile), profile.name) };
  }
  if (valueOf(profile, "login_session") !== undefined) throw wrong(profile, "has login_session, which is not supported; use sso_session");
  throw wrong(profile, "holds no credentials");
}

/** Both keys, or an error about the one that lacks. */
function fromKeys(profile: Section): AwsCredentials | undefined {
  const accessKeyId = valueOf(profile, "aws_access_key_id");
  const secret = valueOf(profile, "aws_secret_access_key");
  if (accessKeyId === undefined && secret === undefined) return undefined;
  if (accessKeyId === undefined || secret === undefined) throw wrong(profile, `has no ${accessKeyId === undefined ? "aws_access_key_id" : "aws_secret_access_key"} beside the other key`);
  const token = valueOf(profile, "aws_session_token");
  const accountId = valueOf(profile, "aws_account_id");
  return {
    accessKeyId,
    secretAccessKey: new Secret(secret),
    ...(token === undefined ? {} : { sessionToken: new Secret(token) }),
    ...(accountId === undefined ? {} : { accountId }),
    expiresAtMs: undefined,
  };
}

async function fromRole(scope: Scope, profile: Section, visited: readonly string[]): Promise<Found> {
  const roleArn = valueOf(profile, "role_arn")!;
  const sourceName = valueOf(profile, "source_profile");
  if (sourceName !== undefined && valueOf(profile, "credential_source") !== undefined) throw wrong(profile, "has both source_profile and credential_source");
  const mfa = profile.settings.get("mfa_serial");
  if (mfa !== undefined && mfa.value !== "") throw new CredentialError(`${mfa.place}: profile ${JSON.stringify(profile.name)} asks for a second factor (mfa_serial), which a gateway cannot give; use a role without it`, false);
  const role = { roleArn, sessionName: valueOf(profile, "role_session_name"), externalId: valueOf(profile, "external_id"), durationSeconds: durationOf(profile) };
  let source: AwsCredentials;
  if (sourceName === undefined) source = await fromCredentialSource(scope.login, profile);
  else {
    if (visited.includes(sourceName)) throw wrong(profile, `names ${JSON.stringify(sourceName)} as its source, which leads back to it`);
    const next = scope.shared.profiles.get(sourceName);
    if (next === undefined) throw wrong(profile, `names the source_profile ${JSON.stringify(sourceName)}, which is not there`);
    source = (await resolve(scope, next, [...visited, sourceName])).credentials;
  }
  return { credentials: await assumeRole(scope.login, source, role), roleArn };
}

async function fromCredentialSource(login: AwsLogin, profile: Section): Promise<AwsCredentials> {
  const source = valueOf(profile, "credential_source");
  let found: AwsCredentials | undefined;
  if (source === "Environment") found = fromEnvironment(login);
  else if (source === "EcsContainer") found = await fromContainer(login);
  else if (source === "Ec2InstanceMetadata") {
    const instance = await fromInstance(login);
    if (instance.kind !== "found") throw wrong(profile, `takes its credentials from Ec2InstanceMetadata: ${instance.why}`);
    found = instance.credentials;
  } else throw wrong(profile, "has a credential_source that is none of Environment, EcsContainer and Ec2InstanceMetadata");
  if (found === undefined) throw wrong(profile, `takes its credentials from ${source}, and there are none`);
  return found;
}

/** https://docs.aws.amazon.com/sdkref/latest/guide/feature-process-credentials.html, checked 2026-11. Neither the command nor what it printed is told. */
async function fromProcess(login: AwsLogin, profile: Section): Promise<AwsCredentials> {
  const { runtime } = login;
  if (!login.options.allowCredentialProcess || runtime.run === undefined) throw wrong(profile, "has a credential_process, which runs only where the configuration says allow_credential_process: true");
  const what = `the credential_process of profile ${JSON.stringify(profile.name)}`;
  let output: string;
  try {
    output = await runtime.run(valueOf(profile, "credential_process")!);
  } catch (error) {
    throw new CredentialError(`${what} failed${codeOf(error)}`, true);
  }
  const said = `the output of ${what}`;
  const object = parseObject(output, said);
  if (object["Version"] !== 1) throw new CredentialError(`${said} is not of Version 1`, false);
  return credentialsOf(login, object, said, { token: "SessionToken", isTokenNeeded: false });
}

function ssoSettings({ shared }: Scope, profile: Section): SsoSettings {
  const session = valueOf(profile, "sso_session");
  const needed = (section: Section, name: string): string => {
    const value = valueOf(section, name);
    if (value === undefined) throw wrong(section, `has no ${name}, which an SSO login needs`);
    return value;
  };
  const own = { accountId: needed(profile, "sso_account_id"), roleName: needed(profile, "sso_role_name"), session };
  if (session === undefined) return { ...own, startUrl: needed(profile, "sso_start_url"), region: needed(profile, "sso_region") };
  const section = shared.ssoSessions.get(session);
  if (section === undefined) throw wrong(profile, `names the sso_session ${JSON.stringify(session)}, which is not there`);
  for (const name of ["sso_start_url", "sso_region"]) {
    const inProfile = valueOf(profile, name);
    if (inProfile !== undefined && inProfile !== valueOf(section, name)) throw wrong(profile, `and its sso_session differ in ${name}`);
  }
  return { ...own, startUrl: needed(section, "sso_start_url"), region: needed(section, "sso_region") };
}

function durationOf(profile: Section): number | undefined {
  const value = valueOf(profile, "duration_seconds");
  if (value === undefined) return undefined;
  const seconds = Number(value);
  if (!Number.isInteger(seconds) || seconds < 900 || seconds > 43_200) throw wrong(profile, "has a duration_seconds that is no number from 900 to 43200");
  return seconds;
}

function wrong(section: Section, what: string): CredentialError {
  return new CredentialError(`${section.place}: profile or session ${JSON.stringify(section.name.replace(/^(?:profile|sso-session) /, ""))} ${what}`, false);
}
