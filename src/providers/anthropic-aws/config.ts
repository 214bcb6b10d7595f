/** What an operator writes for Claude Platform on AWS: Anthropic's own service behind AWS's login and bill. */
import { z } from "zod";
import { awsAddress, awsLoginShape, hasWholeKeys, wholeKeysMessage } from "../aws-settings.ts";
import { headersSetting } from "../settings.ts";

export const settings = z
  .strictObject({
    ...awsLoginShape,
    api_key: awsLoginShape.api_key.meta({ description: "API key of the workspace. Otherwise AWS keys; `ANTHROPIC_AWS_API_KEY` counts where no login is configured at all." }),
    workspace_id: z.string().regex(/^[\w-]{1,100}$/, "must be a workspace id").optional().meta({ description: "Sent as `anthropic-workspace-id`, in place of a client's. Without it the client's own goes." }),
    endpoint: awsAddress.optional().meta({ description: "Address instead of the region's own, without `/v1`." }),
    headers: headersSetting,
  })
  .refine(hasWholeKeys, wholeKeysMessage);

export type AnthropicAwsSettings = z.output<typeof settings>;
