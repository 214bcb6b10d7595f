/** What an operator writes for Claude in Microsoft Foundry. */
import { z } from "zod";
import { Secret } from "../../kernel/secret.ts";
import { headersSetting } from "../settings.ts";

const secret = z.union([z.instanceof(Secret), z.string().min(1).transform((text) => new Secret(text))]);

/**
 * As Foundry's portal shows it (a target URI ends with `/anthropic/v1/messages`), as Anthropic's SDK takes it (`…/anthropic/`), or
 * the resource's bare host: kept up to and with `/anthropic`, which only Azure's own hosts get added.
 */
const baseUrl = z
  .string()
  .refine((text) => URL.canParse(text) && /^https?:$/.test(new URL(text).protocol), "must be an http or https URL")
  .refine((text) => !URL.canParse(text) || (new URL(text).username === "" && new URL(text).search === "" && new URL(text).hash === ""), "must hold no credentials, query or fragment")
  .transform((text) => {
    const bare = text.replace(/\/+$/, "").replace(/\/v1(?:\/messages)?$/, "").replace(/\/+$/, "");
    const { hostname, pathname } = new URL(bare);
    return hostname.endsWith(".azure.com") && pathname === "/" ? `${bare}/anthropic` : bare;
  });

export const settings = z
  .strictObject({
    resource: z.string().regex(/^[A-Za-z0-9](?:[A-Za-z0-9-]{0,62}[A-Za-z0-9])?$/, "must be a resource name").optional().meta({ description: "Name of the Foundry resource; the address is `https://<resource>.services.ai.azure.com/anthropic`." }),
    base_url: baseUrl.optional().meta({ description: "Address instead of `resource`." }),
    api_key: secret.optional().meta({ description: "Key of the resource." }),
    auth_header: z.enum(["x-api-key", "api-key"]).default("x-api-key").meta({ description: "Header for the key. Foundry takes both; API Management in front of it may want `api-key`." }),
    headers: headersSetting,
  })
  .refine(({ resource, base_url: url }) => (resource === undefined) !== (url === undefined), "needs either resource or base_url");

export type FoundrySettings = z.output<typeof settings>;
