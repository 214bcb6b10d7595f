/** What an operator writes to log in to a place on AWS; the same for Bedrock, Mantle and Claude Platform on AWS. */
import { z } from "zod";
import type { AwsCredentialOptions } from "../credentials/aws/types.ts";
import { Secret } from "../kernel/secret.ts";

const secret = z.union([z.instanceof(Secret), z.string().min(1).transform((text) => new Secret(text))]);

/** `https://host[:port][/prefix]`, normalised without a slash at the end. */
export const awsAddress = z
  .string()
  .refine((text) => URL.canParse(text) && /^https?:$/.test(new URL(text).protocol), "must be an http or https URL")
  .refine((text) => !URL.canParse(text) || (new URL(text).username === "" && new URL(text).search === "" && new URL(text).hash === ""), "must hold no credentials, query or fragment")
  .transform((text) => text.replace(/\/+$/, ""));

/** Members of a settings schema. */
export const awsLoginShape = {
  region: z.string().regex(/^[a-z]{2,5}(?:-[a-z]+)+-\d{1,2}$/, "must be an AWS region such as eu-central-1").meta({ description: "AWS region of the place, such as `eu-central-1`." }),
  api_key: secret.optional().meta({ description: "API key of the place, instead of AWS keys." }),
  access_key_id: z.string().min(1).optional().meta({ description: "AWS access key id. Without any key, profile or role the default chain of AWS's own clients is used." }),
  secret_access_key: secret.optional().meta({ description: "Secret of `access_key_id`." }),
  session_token: secret.optional().meta({ description: "Session token, where the keys are temporary." }),
  profile: z.string().min(1).optional().meta({ description: "Profile of the shared AWS files." }),
  role_arn: z.string().regex(/^arn:[\w-]+:iam::\d{12}:role\/[\w+=,.@/-]+$/, "must be the ARN of an IAM role").optional().meta({ description: "Role to assume through STS." }),
  role_session_name: z.string().regex(/^[\w+=,.@-]{2,64}$/, "must be 2 to 64 letters, digits or + = , . @ _ -").optional().meta({ description: "Name of the role's session in AWS's logs." }),
  external_id: z.string().min(2).optional().meta({ description: "External id that the role's trust policy asks for." }),
  web_identity_token_file: z.string().min(1).optional().meta({ description: "File with an identity token, to assume `role_arn` with." }),
  sts_endpoint: awsAddress.optional().meta({ description: "Address of STS instead of the region's own, such as a VPC endpoint." }),
  allow_credential_process: z.boolean().default(false).meta({ description: "Lets a profile's `credential_process` run." }),
} as const;

const loginSettings = z.strictObject(awsLoginShape);
/** The part of a place's settings that says how to log in. */
export type AwsLoginSettings = z.output<typeof loginSettings>;

/** For `refine`: a key without its secret is a mistake. */
export function hasWholeKeys(settings: Pick<AwsLoginSettings, "access_key_id" | "secret_access_key">): boolean {
  return (settings.access_key_id === undefined) === (settings.secret_access_key === undefined);
}
/** What goes with {@link hasWholeKeys}. */
export const wholeKeysMessage = "access_key_id and secret_access_key go together";

/** The settings in the words of the credential chain. */
export function awsCredentialOptions(settings: AwsLoginSettings): AwsCredentialOptions {
  const given = {
    accessKeyId: settings.access_key_id,
    secretAccessKey: settings.secret_access_key,
    sessionToken: settings.session_token,
    profile: settings.profile,
    roleArn: settings.role_arn,
    roleSessionName: settings.role_session_name,
    externalId: settings.external_id,
    webIdentityTokenFile: settings.web_identity_token_file,
    stsEndpoint: settings.sts_endpoint,
  };
  const present = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)) as Partial<AwsCredentialOptions>;
  return { ...present, region: settings.region, allowCredentialProcess: settings.allow_credential_process };
}
