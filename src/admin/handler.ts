/** The shape of a control-plane handler: values in, values out, no socket; so each is tested as a function. */
import type { Principal } from "../identity/principal.ts";

export interface AdminCall {
  readonly principal: Principal;
  readonly params: Readonly<Record<string, string>>;
  readonly query: URLSearchParams;
  /** Parsed JSON body; undefined when there was none. */
  readonly body: unknown;
  readonly nowMs: number;
  readonly sourceAddress: string;
}

export interface AdminReply {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  /** JSON-able; a string is sent as `text/plain`. */
  readonly body: unknown;
}

/** @throws GatewayError of the catalogue; the server renders it in the row's error shape */
export type AdminHandler = (call: AdminCall) => Promise<AdminReply>;
