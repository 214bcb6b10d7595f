/** What an AWS login gives and takes. */
import type { Secret } from "../../kernel/secret.ts";
import type { Expiring } from "../runtime.ts";

/** Keys to sign with. */
export interface AwsCredentials extends Expiring {
  readonly accessKeyId: string;
  readonly secretAccessKey: Secret;
  /** Given with temporary keys; goes into `x-amz-security-token`. */
  readonly sessionToken?: Secret;
  /** Twelve digits, where the login told it. */
  readonly accountId?: string;
}

/** Which login to use. Everything but the region and the permission may be absent: then the default chain decides. */
export interface AwsCredentialOptions {
  /** The region of the place, such as `eu-west-1`; STS is asked there. */
  readonly region: string;
  /** Explicit keys, both or none. They end the chain before the environment is looked at. */
  readonly accessKeyId?: string;
  readonly secretAccessKey?: Secret;
  /** With explicit keys that are temporary. */
  readonly sessionToken?: Secret;
  /** A profile of the shared files; before `AWS_PROFILE`, and before keys in the environment. */
  readonly profile?: string;
  /** A role to assume with what the chain found, or with `webIdentityTokenFile`. */
  readonly roleArn?: string;
  /** 2 to 64 of `A-Z a-z 0-9 _ + = , . @ -`; how the session is named in AWS's own logs. Otherwise `tollgate`. */
  readonly roleSessionName?: string;
  /** What the role's trust policy may ask for as `sts:ExternalId`. */
  readonly externalId?: string;
  /** A file with an identity token (a JWT), read at each login; `roleArn` or `AWS_ROLE_ARN` goes with it. */
  readonly webIdentityTokenFile?: string;
  /** Origin of STS instead of the region's own, such as that of a VPC endpoint: `https://host[:port]`. */
  readonly stsEndpoint?: string;
  /** Whether a profile's `credential_process` may run. */
  readonly allowCredentialProcess: boolean;
}
