/** Every provider there is; one line each. The ids are the keys, and the `kind` an operator writes. */
import { anthropicAws } from "./anthropic-aws/index.ts";
import { anthropic } from "./anthropic/index.ts";
import { bedrock } from "./bedrock/index.ts";
import { demo } from "./demo/index.ts";
import { foundry } from "./foundry/index.ts";
import { mantle } from "./mantle/index.ts";
import type { Provider } from "./provider.ts";
import { vertex } from "./vertex/index.ts";

export const providers: Readonly<Record<string, Provider>> = {
  anthropic: anthropic as Provider,
  "anthropic-aws": anthropicAws as Provider,
  bedrock: bedrock as Provider,
  demo: demo as Provider,
  foundry: foundry as Provider,
  mantle: mantle as Provider,
  vertex: vertex as Provider,
};

/** Kinds that can tell a caller's own login from other bearers, which targets with `credential: client` need. */
export function clientLoginKinds(): ReadonlySet<string> {
  return new Set(Object.entries(providers).flatMap(([kind, provider]) => (provider.isClientLogin === undefined ? [] : [kind])));
}
