/** What an operator writes for Claude on Amazon Bedrock's InvokeModel. */
import { z } from "zod";
import { awsAddress, awsLoginShape, hasWholeKeys, wholeKeysMessage } from "../aws-settings.ts";
import { headersSetting } from "../settings.ts";

export const settings = z
  .strictObject({
    ...awsLoginShape,
    api_key: awsLoginShape.api_key.meta({ description: "Bedrock API key. Otherwise AWS keys; `AWS_BEARER_TOKEN_BEDROCK` counts where no login is configured at all." }),
    endpoint: awsAddress.optional().meta({ description: "Address instead of the region's own: a VPC or FIPS endpoint, or a proxy." }),
    inference_profile: z
      .string()
      .regex(/^[a-z]{2,}(?:-[a-z]+)*$/, "must be auto, none, or a prefix such as us, eu, apac, jp, au or global")
      .default("auto")
      .meta({ description: "Prefix of the inference profile for models that clients name as Anthropic does: `auto` by region, `none`, or one such as `us`, `eu`, `global`." }),
    headers: headersSetting,
  })
  .refine(hasWholeKeys, wholeKeysMessage);

export type BedrockSettings = z.output<typeof settings>;
