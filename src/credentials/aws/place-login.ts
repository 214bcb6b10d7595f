/**
 * The login of one place on AWS: an API key as it is, or a signature with keys that are kept fresh. Bedrock, Mantle and Claude
 * Platform on AWS differ in the service's name, and in the header of a key.
 */
import { GatewayError } from "../../kernel/gateway-error.ts";
import { Secret } from "../../kernel/secret.ts";
import { CredentialError, type CredentialRuntime, type CredentialSource } from "../runtime.ts";
import { createAwsCredentials } from "./credentials.ts";
import { signRequest, type SignableRequest } from "./sign.ts";
import type { AwsCredentialOptions, AwsCredentials } from "./types.ts";

export interface AwsPlaceOptions {
  /** The service's name in signatures. */
  readonly service: string;
  readonly apiKey: Secret | undefined;
  /** Taken for `apiKey` where the operator configured no login at all. */
  readonly apiKeyVariable: string;
  /** How a key goes. */
  readonly apiKeyHeader: "authorization" | "x-api-key";
  readonly credentials: AwsCredentialOptions;
}

/** A request as it will go out, with its final bytes. */
export type AwsPlaceRequest = Omit<SignableRequest, "region" | "service" | "credentials">;

export interface AwsPlaceLogin {
  /**
   * @returns headers to add, flat
   * @throws GatewayError `gateway_credential_rejected` when there is no login, `upstream_unreachable` when it cannot be had just now
   */
  headersFor(request: AwsPlaceRequest): Promise<readonly string[]>;
  /** Forgets the keys that signed last, unless they are fresh. An API key stays, since there is no other. */
  refused(): void;
}

export function createAwsPlaceLogin(options: AwsPlaceOptions, runtime: CredentialRuntime): AwsPlaceLogin {
  const apiKey = options.apiKey ?? keyOfEnvironment(options, runtime);
  if (apiKey !== undefined) {
    return {
      headersFor: () => Promise.resolve(options.apiKeyHeader === "x-api-key" ? ["x-api-key", apiKey.reveal()] : ["authorization", `Bearer ${apiKey.reveal()}`]),
      refused: () => {},
    };
  }
  const source = createAwsCredentials(options.credentials, runtime);
  const { service, credentials: { region } } = options;
  let last: AwsCredentials | undefined;
  return {
    async headersFor(request) {
      const credentials = await keysOf(source);
      last = credentials;
      return signRequest({ ...request, region, service, credentials });
    },
    refused() {
      if (last !== undefined) source.refused(last);
    },
  };
}

/** A key that lies in the environment by chance must not win over a login that somebody wrote down. */
function keyOfEnvironment({ apiKeyVariable, credentials }: AwsPlaceOptions, { env }: CredentialRuntime): Secret | undefined {
  const { accessKeyId, profile, roleArn, webIdentityTokenFile } = credentials;
  const hasOther = [accessKeyId, profile, roleArn, webIdentityTokenFile].some((value) => value !== undefined);
  const value = env[apiKeyVariable]?.trim() ?? "";
  return hasOther || value === "" ? undefined : new Secret(value);
}

async function keysOf(source: CredentialSource<AwsCredentials>): Promise<AwsCredentials> {
  try {
    return await source.get();
  } catch (fault) {
    if (!(fault instanceof CredentialError)) throw fault;
    throw new GatewayError(fault.isTransient ? "upstream_unreachable" : "gateway_credential_rejected", { internal: fault.message, cause: fault });
  }
}
