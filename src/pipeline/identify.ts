/** Stage 1, from headers only: who is asking, before a byte of the body is read. */
import { GatewayError } from "../kernel/gateway-error.ts";
import type { Exchange, Identified } from "./exchange.ts";
import type { Services } from "./services.ts";

/** @throws GatewayError `client_key_missing`, `client_key_invalid`, `client_role_insufficient` */
export function identify(services: Services, exchange: Exchange): Identified {
  const { request, report } = exchange;
  const result = services.authenticator.authenticate(request.headers, exchange.startedAtMs);
  if (!result.ok) throw refusal(exchange, result.code);
  const { principal } = result;
  report.keyId = principal.keyId;
  // Given back by `finish`.
  services.load.byKey.set(principal.keyId, (services.load.byKey.get(principal.keyId) ?? 0) + 1);
  if (!principal.mayInfer) throw new GatewayError("client_role_insufficient", { publicText: "The admin key does not call models; use a developer key." });
  return { exchange, principal, keyHeader: result.header, notice: result.notice, clientCredential: clientCredential(services, exchange, result.header) };
}

/** A login of the client's own names nobody here; the sentence says where the key goes beside it, or in its place. */
function refusal({ request, ingress }: Exchange, code: "client_key_missing" | "client_key_invalid"): GatewayError {
  const { authorization = "" } = request.headers;
  if (ingress.envelope === "bedrock" && authorization.startsWith("AWS4-HMAC-SHA256")) {
    const publicText = "This request is signed with AWS keys, which say nothing about a Tollgate key: set CLAUDE_CODE_SKIP_BEDROCK_AUTH=1 and put the key in ANTHROPIC_AUTH_TOKEN, or use it as AWS_BEARER_TOKEN_BEDROCK.";
    return new GatewayError(code, { publicText });
  }
  const isOwnLogin = /^bearer +sk-ant-oat/i.test(authorization) || (ingress.hasCloudNames && /^bearer +(?!sk-)/i.test(authorization));
  if (!isOwnLogin) return new GatewayError(code);
  // Claude Code from 1.0.40 on sends the key of ANTHROPIC_AUTH_TOKEN nowhere when it has a login of its own (measured up to 2.1.330).
  const publicText = "The login in Authorization is none of this gateway's, and no valid Tollgate key came beside it: send the key in a header of its own, in Claude Code with ANTHROPIC_CUSTOM_HEADERS=\"x-litellm-api-key: YOUR_KEY\".";
  return new GatewayError(code, { publicText });
}

/**
 * A claude.ai login: an OAuth bearer in `Authorization` beside a Tollgate key in another header. It is only ever used for
 * a target with `credential: client`. A Tollgate key, valid or not, is nobody's provider login and never leaves.
 */
function clientCredential(services: Services, exchange: Exchange, keyHeader: string): Identified["clientCredential"] {
  const { authorization } = exchange.request.headers;
  if (keyHeader === "authorization" || authorization === undefined) return undefined;
  if (!/^bearer +/i.test(authorization) || /^bearer +sk-(?!ant-)/i.test(authorization)) return undefined;
  if (services.authenticator.authenticate({ authorization }, exchange.startedAtMs).ok) return undefined;
  return { header: "authorization", value: authorization };
}
