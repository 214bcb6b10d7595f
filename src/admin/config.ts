/** `POST /api/v1/config/reload`: the configuration's files read again, with what that has changed or why it could not. */
import type { ConfigChange } from "../config/diff.ts";
import type { ConfigNotice } from "../config/gateway-config.ts";
import type { AdminHandler } from "./handler.ts";

/** Who wants it, for the audit. */
export interface ReloadCaller {
  readonly actor: string;
  readonly sourceAddress: string;
}

/** `needsRestart`: keys of what stays as it is until then. */
export type ReloadResult =
  | { readonly isOk: true; readonly changes: readonly ConfigChange[]; readonly needsRestart: readonly string[]; readonly warnings: readonly ConfigNotice[] }
  | { readonly isOk: false; readonly errors: readonly ConfigNotice[] };

export interface ConfigReload {
  /** Waits for one that is under way. @param caller absent: nobody, but a signal or a changed file */
  reload(caller?: ReloadCaller): Promise<ReloadResult>;
}

/** 200 with what is otherwise; 422 with every fault and its place, and then nothing has changed. */
export function createReloadHandler(config: ConfigReload): AdminHandler {
  return async ({ principal, sourceAddress }) => {
    const result = await config.reload({ actor: principal.keyId, sourceAddress });
    if (result.isOk) return { status: 200, body: { changes: result.changes, needs_restart: result.needsRestart, warnings: result.warnings } };
    const message = "The configuration cannot be used; the last good one stays in force.";
    return { status: 422, body: { error: { message, type: "bad_request_error", param: null, code: "422" }, errors: result.errors } };
  };
}
