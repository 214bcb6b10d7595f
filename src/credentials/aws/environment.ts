/** Keys from the environment (https://docs.aws.amazon.com/sdkref/latest/guide/environment-variables.html, checked 2026-11). */
import { Secret } from "../../kernel/secret.ts";
import { CredentialError } from "../runtime.ts";
import { envOf, futureOf, type AwsLogin } from "./login.ts";
import type { AwsCredentials } from "./types.ts";

/**
 * @returns undefined when neither key is set
 * @throws CredentialError when one of the two lacks, or the moment in AWS_CREDENTIAL_EXPIRATION has passed
 */
export function fromEnvironment(login: AwsLogin): AwsCredentials | undefined {
  const accessKeyId = envOf(login, "AWS_ACCESS_KEY_ID");
  const secret = envOf(login, "AWS_SECRET_ACCESS_KEY");
  if (accessKeyId === undefined && secret === undefined) return undefined;
  if (accessKeyId === undefined || secret === undefined) throw new CredentialError(`${accessKeyId === undefined ? "AWS_ACCESS_KEY_ID" : "AWS_SECRET_ACCESS_KEY"} is not set, and the other key is`, false);
  const token = envOf(login, "AWS_SESSION_TOKEN");
  const expiration = envOf(login, "AWS_CREDENTIAL_EXPIRATION");
  const accountId = envOf(login, "AWS_ACCOUNT_ID");
  return {
    accessKeyId,
    secretAccessKey: new Secret(secret),
    ...(token === undefined ? {} : { sessionToken: new Secret(token) }),
    expiresAtMs: expiration === undefined ? undefined : futureOf(login, expiration, "AWS_CREDENTIAL_EXPIRATION"),
    ...(accountId === undefined ? {} : { accountId }),
  };
}
