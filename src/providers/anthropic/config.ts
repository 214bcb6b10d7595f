/** What an operator writes for an Anthropic-format upstream. */
import { z } from "zod";
import { headersSetting, secretSetting } from "../settings.ts";

/** `https://host[:port][/prefix]`, normalised without a slash at the end. */
const baseUrl = z
  .string()
  .refine((text) => URL.canParse(text) && /^https?:$/.test(new URL(text).protocol), "must be an http or https URL")
  .refine((text) => !URL.canParse(text) || (new URL(text).username === "" && new URL(text).search === "" && new URL(text).hash === ""), "must hold no credentials, query or fragment")
  .refine((text) => !/\/v1\/?$|\/v1\/messages\/?$/.test(text), "must end before /v1, which the gateway adds")
  .transform((text) => text.replace(/\/+$/, ""));

export const settings = z.strictObject({
  base_url: baseUrl.default("https://api.anthropic.com").meta({ description: "Address of the API, without `/v1`." }),
  api_key: secretSetting.optional().meta({ description: "Sent as `x-api-key`." }),
  auth_token: secretSetting.optional().meta({ description: "Sent as `Authorization: Bearer`. Wins over `api_key`." }),
  headers: headersSetting,
});

export type AnthropicSettings = z.output<typeof settings>;
