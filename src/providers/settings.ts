/** Kinds of value that every place's settings have, checked the same everywhere: what passes here can be put on the wire. */
import { z } from "zod";
import { headerNameFault, isHeaderValue } from "../kernel/header-rules.ts";
import { Secret } from "../kernel/secret.ts";

/** A credential. White space around it is a slip of copying, mostly a line end of a file or variable; inside it is a fault. */
export const secretSetting = z.union([z.instanceof(Secret), z.string()]).transform((value, context): Secret => {
  const text = (typeof value === "string" ? value : value.reveal()).trim();
  if (/^[\x21-\x7e]+$/.test(text)) return new Secret(text);
  context.addIssue({ code: "custom", message: text === "" ? "must not be empty" : "must be one word of visible characters, as a header can carry it" });
  return z.NEVER;
});

/** Further headers for an upstream. */
export const headersSetting = z
  .record(z.string(), z.string())
  .superRefine((headers, context) => {
    for (const [name, value] of Object.entries(headers)) {
      const fault = headerNameFault(name);
      if (fault !== undefined) context.addIssue({ code: "custom", path: [name], message: fault });
      else if (!isHeaderValue(value)) context.addIssue({ code: "custom", path: [name], message: "must be one line of characters that HTTP headers allow" });
    }
  })
  .default({})
  .meta({ description: "Further headers for this upstream." });
