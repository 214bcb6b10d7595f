/** Every provider there is; one line each. The ids are the keys, and the `kind` an operator writes. */
import { anthropic } from "./anthropic/index.ts";
import { demo } from "./demo/index.ts";
import type { Provider } from "./provider.ts";

export const providers: Readonly<Record<string, Provider>> = {
  anthropic: anthropic as Provider,
  demo: demo as Provider,
};
