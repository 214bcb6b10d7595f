/**
 * Tells of budgets that are nearly spent: one line in the log, and a signed message to the operator's webhook, tried again until it was
 * taken or a day has passed. It looks at the balances from time to time, so no request waits for it.
 */
import type { WebhookConfig } from "../config/gateway-config.ts";
import type { Dialer } from "../egress/dialer.ts";
import { Cancellation } from "../kernel/cancellation.ts";
import type { Clock, Timer } from "../kernel/clock.ts";
import { GatewayError, internalWords } from "../kernel/gateway-error.ts";
import type { Ledger } from "../ledger/ledger.ts";
import type { DueWarning, WarningStore } from "../ledger/warning-store.ts";
import { crossedWarnings } from "../ledger/warnings.ts";
import type { Log } from "../telemetry/log.ts";
import { signatureOf } from "./webhook-signature.ts";

/** Between two looks. */
const lookMs = 2_000;
const tryMs = 10_000;
const firstRetryMs = 2_000;
const retryMaxMs = 3_600_000;
/** Who was not told for a day has other troubles. */
const giveUpMs = 86_400_000;
const batchMax = 20;

export interface WarningOptions {
  readonly ledger: Pick<Ledger, "balances">;
  readonly store: WarningStore;
  /** In force now; undefined: the log is all. */
  readonly webhook: () => WebhookConfig | undefined;
  readonly dialer: Pick<Dialer, "system">;
  readonly clock: Clock;
  readonly log: Pick<Log, "warn" | "error">;
  readonly lookMs?: number;
}

export function startWarnings(options: WarningOptions): Timer {
  const { clock, log } = options;
  /** Those that the store has been told of by this process, with when. */
  const noted = new Map<string, number>();
  let isBusy = false;
  const look = async (): Promise<void> => {
    if (isBusy) return;
    isBusy = true;
    try {
      await noteNew(options, noted);
      await deliverDue(options);
    } catch (fault) {
      // A store that is down has told of itself already; the next look finds what this one missed.
      log.warn({ internal: internalWords(fault) }, "warnings of budgets wait");
    } finally {
      isBusy = false;
    }
  };
  return clock.every(options.lookMs ?? lookMs, () => void look());
}

async function noteNew({ ledger, store, webhook, clock, log }: WarningOptions, noted: Map<string, number>): Promise<void> {
  const nowMs = clock.now();
  const crossed = crossedWarnings(ledger.balances(nowMs), nowMs);
  const unnoted = crossed.filter(({ id, isNewAfterMs }) => (noted.get(id) ?? Number.NEGATIVE_INFINITY) < Math.max(0, isNewAfterMs));
  if (unnoted.length > 0) {
    const added = await store.note(unnoted, webhook() !== undefined);
    for (const { id, event } of unnoted) if (added.has(id)) log.warn({ budget: event.budget_id, scope: event.scope, spentUsd: event.spent_usd, amountUsd: event.amount_usd, resetsAt: event.resets_at ?? "never" }, `a budget is spent to ${event.threshold_percent} %`);
  }
  // What is crossed no more, since its window has ended, need not be remembered here.
  noted.clear();
  for (const { id, atMs } of crossed) noted.set(id, atMs);
}

async function deliverDue(options: WarningOptions): Promise<void> {
  const { store, clock, log } = options;
  const webhook = options.webhook();
  if (webhook === undefined) return;
  for (const due of await store.due(clock.now(), batchMax)) {
    const fault = await deliver(options, webhook, due);
    if (fault === undefined) await store.done(due.id);
    else if (clock.now() - due.atMs >= giveUpMs) {
      log.error({ internal: fault, warning: due.id }, "the webhook did not take a warning for a day; it is given up");
      await store.done(due.id);
    } else {
      if (due.attempts === 0) log.warn({ internal: fault, warning: due.id }, "the webhook did not take a warning; it is tried again");
      await store.failed(due.id, clock.now() + Math.min(retryMaxMs, firstRetryMs * 2 ** due.attempts));
    }
  }
}

/** @returns why it was not taken */
async function deliver({ dialer, clock }: WarningOptions, { url, secret }: WebhookConfig, { id, body: event }: DueWarning): Promise<string | undefined> {
  const { origin, pathname, search } = new URL(url);
  const body = Buffer.from(JSON.stringify({ id, ...(JSON.parse(event) as object) }));
  const ending = new Cancellation();
  const timer = clock.after(tryMs, () => ending.cancel(new GatewayError("upstream_slow", { internal: "the webhook took too long" })));
  try {
    const headers = ["content-type", "application/json", "user-agent", "tollgate", "tollgate-signature", signatureOf(secret, body.toString("utf8"), clock.now())];
    const reply = await dialer.system("webhook", { origin, method: "POST", path: `${pathname}${search}`, headers, body, timeouts: { firstByteMs: tryMs, idleMs: tryMs } }, ending);
    reply.abort();
    return reply.status >= 200 && reply.status < 300 ? undefined : `status ${reply.status}`;
  } catch (fault) {
    return internalWords(fault);
  } finally {
    timer.cancel();
  }
}
