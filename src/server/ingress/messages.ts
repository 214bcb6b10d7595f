/** Clients that speak Anthropic's Messages API: everything stands in the body, streams are the dialect's own events. */
import { dialects } from "../../dialects/registry.ts";
import type { Ingress } from "../../pipeline/ingress.ts";

export const messagesIngress: Ingress = {
  envelope: "messages",
  url: undefined,
  clientProject: undefined,
  requestIdHeader: "request-id",
  renderError: (fault, requestId) => dialects["anthropic-messages"].renderError(fault, requestId),
};
