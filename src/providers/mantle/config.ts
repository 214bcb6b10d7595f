/** What an operator writes for Claude in Amazon Bedrock's Messages endpoint, called Mantle. */
import { z } from "zod";
import { awsAddress, awsLoginShape, hasWholeKeys, wholeKeysMessage } from "../aws-settings.ts";
import { headersSetting } from "../settings.ts";

export const settings = z
  .strictObject({
    ...awsLoginShape,
    api_key: awsLoginShape.api_key.meta({ description: "Bedrock API key. Otherwise AWS keys; `AWS_BEARER_TOKEN_BEDROCK` counts where no login is configured at all." }),
    endpoint: awsAddress.optional().meta({ description: "Address instead of the region's own, up to and with `/anthropic`." }),
    headers: headersSetting,
  })
  .refine(hasWholeKeys, wholeKeysMessage);

export type MantleSettings = z.output<typeof settings>;
