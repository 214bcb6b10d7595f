/**
 * The closed catalogue of everything Tollgate itself can answer with (K6). A code says whose fault it is, which status
 * the client acts on rightly, whether a retry can help, and the one public sentence. Upstream errors are not in here:
 * they pass with their own words.
 *
 * `type` is Anthropic's error type (https://docs.anthropic.com/en/api/errors); `policy_blocked`, `not_supported` and
 * `billing_error` are from the Claude Code gateway protocol. `shouldRetry: false` sends `x-should-retry: false`, without
 * which Claude Code repeats a 401 eleven times over three minutes.
 */

/** What a code means to a client and to an operator. */
export interface ErrorSpec {
  readonly blame: "client" | "upstream" | "gateway";
  readonly status: number;
  readonly type: string;
  readonly shouldRetry?: false;
  /** Seconds for a `retry-after` header. */
  readonly retryAfterSeconds?: number;
  /** The connection closes after the answer, because the request may not have been read to its end. */
  readonly closes?: true;
  /** One sentence for the client. Details given with the error replace it only where `detailed` says so. */
  readonly text: string;
}

const catalogue = {
  client_key_missing: { blame: "client", status: 401, type: "authentication_error", shouldRetry: false, text: "No valid Tollgate key was sent: put it in x-api-key, or in Authorization as a bearer token." },
  client_key_invalid: { blame: "client", status: 401, type: "authentication_error", shouldRetry: false, text: "The key that was sent is not valid here: it is unknown, expired, blocked or revoked." },
  client_role_insufficient: { blame: "client", status: 403, type: "permission_error", shouldRetry: false, text: "This key may not use this endpoint; it needs an admin key." },
  client_origin_forbidden: { blame: "client", status: 403, type: "permission_error", shouldRetry: false, text: "Requests from web pages of another origin are refused." },
  client_model_unavailable: { blame: "client", status: 404, type: "not_found_error", text: "This model is not available to you here." },
  client_project_forbidden: { blame: "client", status: 403, type: "permission_error", shouldRetry: false, text: "This key may not spend for that project." },
  client_body_malformed: { blame: "client", status: 400, type: "invalid_request_error", text: "The request body is not a JSON object that can be read without doubt." },
  client_body_too_large: { blame: "client", status: 413, type: "request_too_large", closes: true, text: "The request body is larger than this gateway accepts." },
  client_body_incomplete: { blame: "client", status: 400, type: "invalid_request_error", closes: true, text: "The request body ended before its announced length." },
  client_body_slow: { blame: "client", status: 408, type: "invalid_request_error", closes: true, text: "The request body did not arrive in time." },
  client_request_malformed: { blame: "client", status: 400, type: "invalid_request_error", closes: true, text: "The HTTP request is malformed." },
  client_headers_too_large: { blame: "client", status: 431, type: "invalid_request_error", closes: true, text: "The request has too many or too large headers." },
  client_field_invalid: { blame: "client", status: 400, type: "invalid_request_error", text: "A field of the request is not valid." },
  client_object_missing: { blame: "client", status: 404, type: "not_found_error", text: "There is no such object, or you may not see it." },
  client_object_conflict: { blame: "client", status: 409, type: "invalid_request_error", text: "This would collide with an object that exists already." },
  client_rate_limited: { blame: "client", status: 429, type: "rate_limit_error", text: "A limit of rate or concurrency has no room for this call." },
  client_budget_exceeded: { blame: "client", status: 429, type: "billing_error", shouldRetry: false, text: "A budget has no room for this call." },
  client_model_unpriced: { blame: "client", status: 400, type: "invalid_request_error", shouldRetry: false, text: "This model has no known price, and a budget applies to you: its operator has to set one." },
  client_path_unknown: { blame: "client", status: 404, type: "not_found_error", text: "There is nothing at this path." },
  client_method_unsupported: { blame: "client", status: 405, type: "invalid_request_error", text: "This path does not take this method." },
  client_feature_unsupported: { blame: "client", status: 501, type: "not_supported", shouldRetry: false, text: "This gateway does not offer this endpoint." },
  client_closed: { blame: "client", status: 499, type: "invalid_request_error", text: "The client went away." },
  upstream_unreachable: { blame: "upstream", status: 502, type: "api_error", text: "The model provider could not be reached." },
  upstream_slow: { blame: "upstream", status: 504, type: "api_error", text: "The model provider did not answer in time." },
  upstream_refused: { blame: "upstream", status: 502, type: "api_error", text: "The model provider refused the request." },
  upstream_reply_invalid: { blame: "upstream", status: 502, type: "api_error", text: "The model provider sent a reply that cannot be passed on." },
  upstream_all_failed: { blame: "upstream", status: 529, type: "overloaded_error", retryAfterSeconds: 5, text: "Every place that serves this model has failed; try again in a few seconds." },
  upstream_stream_broken: { blame: "upstream", status: 502, type: "api_error", text: "The model provider's stream broke off before its end." },
  upstream_stream_idle: { blame: "upstream", status: 504, type: "api_error", text: "The model provider's stream fell silent for too long." },
  gateway_time_exceeded: { blame: "gateway", status: 504, type: "api_error", text: "The request ran longer than this gateway allows." },
  gateway_credential_rejected: { blame: "gateway", status: 503, type: "api_error", shouldRetry: false, text: "The gateway's credential for the model provider was rejected; its operator has to mend that." },
  gateway_credential_missing: { blame: "client", status: 401, type: "authentication_error", shouldRetry: false, text: "This model takes your own provider login, and the request carried none beside the Tollgate key." },
  gateway_store_unavailable: { blame: "gateway", status: 503, type: "api_error", retryAfterSeconds: 2, text: "The gateway cannot write its ledger at the moment, so it takes no work." },
  gateway_overloaded: { blame: "gateway", status: 529, type: "overloaded_error", retryAfterSeconds: 1, text: "The gateway is at its limit of work in flight." },
  gateway_draining: { blame: "gateway", status: 503, type: "overloaded_error", retryAfterSeconds: 1, closes: true, text: "The gateway is shutting down." },
  gateway_internal: { blame: "gateway", status: 500, type: "api_error", text: "The gateway failed on this request." },
} as const satisfies Record<string, ErrorSpec>;

/** Every code there is. */
export type ErrorCode = keyof typeof catalogue;

/** The catalogue, for the error writer and for the generated page `docs/errors.md`. */
export const errorCodes: Readonly<Record<ErrorCode, ErrorSpec>> = catalogue;
