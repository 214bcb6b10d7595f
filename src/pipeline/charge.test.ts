// Guarantee: a charge is its cost with the caller's margin, rounded up once and never below; what is held is in the same money as what is
// counted; the platform pays what providers bill, and nobody earns on what a caller's own login pays.
import fc from "fast-check";
import { describe, expect, it, vi } from "vitest";
import type { GatewayConfig, SpendingConfig } from "../config/gateway-config.ts";
import { charged } from "../kernel/money.ts";
import type { Demand } from "../ledger/ledger.ts";
import { chargedDemands, chargedRunning, chargeOf, termsOf } from "./charge.ts";
import type { Planned, PlannedTarget } from "./exchange.ts";
import type { Services } from "./services.ts";
import { demandsOfUnpriced } from "./unpriced.ts";

const spending: SpendingConfig = {
  failoverPriceMaxPpm: undefined, wastedPayer: "platform", userBudget: "all", unpriced: "refuse", countsClientCredentials: false,
  margin: { generalPpm: 1_100_000, byTeam: new Map([["blue", 1_500_000], ["red", 1_000_000]]) },
};
const targetWith = (credential: "provider" | "client"): PlannedTarget => ({ target: { credential }, place: { name: "p" }, upstreamModel: "m" }) as PlannedTarget;
const amount = fc.bigInt(0n, 10n ** 16n);
const margin = fc.integer({ min: 0, max: 11_000_000 });

describe("a charge", () => {
  it("is the smallest whole amount that is not below cost times margin, and grows with the cost", () => {
    fc.assert(
      fc.property(amount, amount, margin, (cost, more, ppm) => {
        const charge = charged(cost, ppm);
        expect(charge * 1_000_000n >= cost * BigInt(ppm) && (charge - 1n) * 1_000_000n < cost * BigInt(ppm)).toBe(true);
        expect(charged(cost + more, ppm) >= charge).toBe(true);
      }),
    );
    expect(charged(7n, undefined)).toBe(7n);
  });

  it("has the team's own margin, else the general one", () => {
    const marginOf = (team: string | null): number | undefined => termsOf(spending, targetWith("provider"), team).marginPpm;
    expect([marginOf("blue"), marginOf("red"), marginOf("green"), marginOf(null)]).toEqual([1_500_000, 1_000_000, 1_100_000, 1_100_000]);
    expect(termsOf({ ...spending, margin: { generalPpm: undefined, byTeam: new Map() } }, targetWith("provider"), "blue")).toEqual({});
  });

  it("of a wasted attempt is the cost where the platform bears it, and the caller's where the caller does", () => {
    const terms = termsOf(spending, targetWith("provider"), "blue");
    expect(chargeOf(spending, terms, { cost: 100n, isWasted: false })).toEqual({ payer: "caller", charge: 150n });
    expect(chargeOf(spending, terms, { cost: 100n, isWasted: true })).toEqual({ payer: "platform", charge: 100n });
    expect(chargeOf({ ...spending, wastedPayer: "caller" }, terms, { cost: 100n, isWasted: true })).toEqual({ payer: "caller", charge: 150n });
  });

  it("of a caller's own login is the cost, counted or not, wasted or not", () => {
    for (const countsClientCredentials of [false, true]) {
      const own = { ...spending, countsClientCredentials };
      const terms = termsOf(own, targetWith("client"), "blue");
      expect(terms.isNotional).toBe(true);
      expect(chargeOf(own, terms, { cost: 100n, isWasted: false })).toEqual({ payer: countsClientCredentials ? "caller" : "client", charge: 100n });
      expect(chargeOf(own, terms, { cost: 100n, isWasted: true })).toEqual({ payer: countsClientCredentials ? "platform" : "client", charge: 100n });
    }
  });

  it("is what holds are in, while a call is asked for and while it runs", () => {
    fc.assert(
      fc.property(amount, amount, amount, margin, (expected, risk, bound, marginPpm) => {
        const demand: Demand = { expected, risk, bound: () => bound };
        const [own] = chargedDemands([demand], { marginPpm });
        expect([own!.expected, own!.risk, own!.bound()]).toEqual([charged(expected, marginPpm), charged(risk, marginPpm), charged(bound, marginPpm)]);
        // Characters that an amount pays for cost no more than it.
        const running = chargedRunning({ expected: () => expected, soFar: () => bound, charactersFor: Number }, { marginPpm });
        expect([running.expected({} as never), running.soFar({} as never, 0)]).toEqual([charged(expected, marginPpm), charged(bound, marginPpm)]);
        if (marginPpm > 0 && bound < 10n ** 12n) expect(charged(BigInt(running.charactersFor(bound)), marginPpm) <= bound).toBe(true);
      }),
    );
    expect(chargedDemands([{ expected: 1n, risk: 0n, bound: () => "max_tokens" }], { marginPpm: 2_000_000 })[0]!.bound()).toBe("max_tokens");
  });
});

describe("a model without a price", () => {
  const planned = (unpriced: SpendingConfig["unpriced"]): Planned => ({ exchange: { snapshot: { config: { spending: { ...spending, unpriced } } as GatewayConfig } } }) as Planned;

  it("is refused, or free of any hold also under a strict budget, and told once where that is wanted", () => {
    const warn = vi.fn();
    const services = { log: { warn } } as unknown as Services;
    expect(demandsOfUnpriced(services, planned("refuse"), targetWith("provider"))).toBeUndefined();
    for (const way of ["free", "warn", "warn"] as const) {
      const [demand] = demandsOfUnpriced(services, planned(way), targetWith("provider"))!;
      expect([demand!.expected, demand!.risk, demand!.bound()]).toEqual([0n, 0n, 0n]);
    }
    expect(warn).toHaveBeenCalledTimes(1);
    demandsOfUnpriced(services, planned("warn"), { ...targetWith("provider"), upstreamModel: "other" });
    expect(warn).toHaveBeenCalledTimes(2);
  });
});
