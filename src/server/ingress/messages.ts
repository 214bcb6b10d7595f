/** Clients that speak Anthropic's Messages API: everything stands in the body, streams are the dialect's own events. */
import { dialects } from "../../dialects/registry.ts";
import type { Ingress } from "../../pipeline/ingress.ts";

export const messagesIngress: Ingress = {
  envelope: "messages",
  hasCloudNames: false,
  url: undefined,
  clientProject: undefined,
  requestIdHeader: "request-id",
  renderError: (fault, requestId) => dialects["anthropic-messages"].renderError(fault, requestId),
};

/** The same for clients set up for Foundry, Mantle or Claude Platform on AWS: Claude Code in Mantle mode says `anthropic.claude-…` (measured on 2.1.330). */
export const cloudMessagesIngress: Ingress = { ...messagesIngress, hasCloudNames: true };
