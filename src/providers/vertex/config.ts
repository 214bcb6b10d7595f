/** What an operator writes for Claude on Google Cloud's Vertex AI (Agent Platform). */
import { z } from "zod";
import { Secret } from "../../kernel/secret.ts";
import { headersSetting } from "../settings.ts";

/** A path, the file's JSON text, or the same as an object: `vertex_credentials` of a LiteLLM file takes all three. */
const credentials = z.union([
  z.instanceof(Secret),
  z.string().min(1).transform((text) => new Secret(text)),
  z.record(z.string(), z.unknown()).transform((file) => new Secret(JSON.stringify(file))),
]);

/** Project ids and numbers, with the domain in front that some old ones have (`example.com:project`). */
export const projectPattern = /^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$/;
/** `global`, a multi-region (`us`, `eu`) or a region; never a dot, for it becomes a part of a host name. */
export const locationPattern = /^[a-z][a-z0-9]{0,30}(?:-[a-z0-9]{1,30}){0,4}$/;

/** With or without the `/v1` that Google's own and Anthropic's SDK end with; kept without. */
const baseUrl = z
  .string()
  .refine((text) => URL.canParse(text) && /^https?:$/.test(new URL(text).protocol), "must be an http or https URL")
  .refine((text) => !URL.canParse(text) || (new URL(text).username === "" && new URL(text).search === "" && new URL(text).hash === ""), "must hold no credentials, query or fragment")
  .refine((text) => !/\/projects(?:\/|$)/.test(text), "must end before /projects, which the gateway adds")
  .transform((text) => text.replace(/\/+$/, "").replace(/\/v1$/, "").replace(/\/+$/, ""));

export const settings = z.strictObject({
  project: z.string().regex(projectPattern, "must be a project id").optional().meta({ description: "Google Cloud project. Absent: the one that the credentials belong to." }),
  location: z.string().regex(locationPattern, "must be `global`, `us`, `eu` or a region").default("global").meta({ description: "`global`, a multi-region (`us`, `eu`), or a region such as `europe-west1`. Decides where requests are processed." }),
  base_url: baseUrl.optional().meta({ description: "Address instead of Google's for the location, for private endpoints." }),
  credentials: credentials.optional().meta({ description: "Path of a credential file, or its JSON. Absent: Application Default Credentials." }),
  quota_project: z.string().regex(projectPattern, "must be a project id").optional().meta({ description: "Sent as `x-goog-user-project`." }),
  headers: headersSetting,
});

export type VertexSettings = z.output<typeof settings>;
