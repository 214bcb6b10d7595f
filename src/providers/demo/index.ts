/**
 * A simulated place for trying Tollgate without any credential. It speaks genuine Messages SSE through the whole ordinary
 * path, and says in each answer that it is a simulation. Its upstream is a loopback listener that `main.ts` starts.
 */
import { z } from "zod";
import { destination, prepare } from "../anthropic/endpoint.ts";
import type { Provider } from "../provider.ts";

const settings = z.strictObject({
  base_url: z.string().default("http://127.0.0.1:0").meta({ description: "Filled in at the start; not to be written." }),
});

type DemoSettings = z.output<typeof settings>;

export const demo: Provider<DemoSettings> = {
  id: "demo",
  settings,
  dialects: () => ["anthropic-messages"],
  destination: (own) => destination({ ...own, headers: {} }),
  prepare: (call, own) => prepare(call, { ...own, headers: {} }),
  authorize: (request) => request,
  classify: (status) => (status >= 500 ? "retryable" : "deliver"),
};
