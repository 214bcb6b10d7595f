/**
 * Who bears an attempt and what is charged for it. Everything that is held and counted is in charges; estimates and prices are in costs,
 * and here one becomes the other.
 */
import type { SpendingConfig } from "../config/gateway-config.ts";
import { charged, nanoUsd, type NanoUsd } from "../kernel/money.ts";
import type { Demand } from "../ledger/ledger.ts";
import type { Payer } from "../ledger/scope.ts";
import type { AttemptOpening } from "./books.ts";
import type { RunningCost } from "./estimates.ts";
import type { PlannedTarget } from "./exchange.ts";

type Terms = Pick<AttemptOpening, "payer" | "isNotional" | "marginPpm">;

const onOwnLogin: Terms = { isNotional: true };
const onOwnLoginAndUncounted: Terms = { isNotional: true, payer: "client" };
const atCost: Terms = {};

/** As they stand when an attempt opens. The operator earns nothing on what the caller's own login pays. */
export function termsOf({ margin, countsClientCredentials }: SpendingConfig, { target }: PlannedTarget, teamId: string | null): Terms {
  if (target.credential === "client") return countsClientCredentials ? onOwnLogin : onOwnLoginAndUncounted;
  const marginPpm = (teamId === null ? undefined : margin.byTeam.get(teamId)) ?? margin.generalPpm;
  return marginPpm === undefined ? atCost : { marginPpm };
}

/** What has become of an attempt's money. The platform pays what providers bill. */
export function chargeOf({ wastedPayer }: SpendingConfig, { payer, marginPpm }: Terms, { cost, isWasted }: { readonly cost: bigint; readonly isWasted: boolean }): { readonly payer: Payer; readonly charge: NanoUsd } {
  const bearer = isWasted && payer !== "client" ? wastedPayer : (payer ?? "caller");
  return { payer: bearer, charge: nanoUsd(charged(cost, bearer === "caller" ? marginPpm : undefined)) };
}

export function chargedDemands(demands: readonly Demand[], { marginPpm }: Terms): readonly Demand[] {
  if (marginPpm === undefined) return demands;
  return demands.map((demand) => ({
    ...demand,
    expected: charged(demand.expected, marginPpm),
    risk: charged(demand.risk, marginPpm),
    bound() {
      const bound = demand.bound();
      return typeof bound === "string" ? bound : charged(bound, marginPpm);
    },
  }));
}

export function chargedRunning(running: RunningCost, { marginPpm }: Terms): RunningCost {
  if (marginPpm === undefined) return running;
  return {
    expected: (observed) => charged(running.expected(observed), marginPpm),
    soFar: (observed, charactersMore) => charged(running.soFar(observed, charactersMore), marginPpm),
    charactersFor: (amount) => (marginPpm === 0 ? Number.POSITIVE_INFINITY : running.charactersFor((amount * 1_000_000n) / BigInt(marginPpm))),
  };
}
