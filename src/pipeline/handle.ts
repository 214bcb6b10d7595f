/** The table of contents of a request: one call per stage, in order; every exit closes what was opened. */
import { asGatewayError } from "../kernel/gateway-error.ts";
import { admit } from "./admit.ts";
import { choose } from "./choose.ts";
import type { Exchange } from "./exchange.ts";
import { failover } from "./failover.ts";
import { identify } from "./identify.ts";
import { takeTurn, type Turn } from "./limits.ts";
import { plan } from "./plan.ts";
import { receive } from "./receive.ts";
import { refuse } from "./refuse.ts";
import { relay } from "./relay.ts";
import { finish, start } from "./report.ts";
import type { Services } from "./services.ts";

/** Serves one `messages` request to its end. Never rejects. */
export async function handle(services: Services, exchange: Exchange): Promise<void> {
  const watch = start(services, exchange);
  let turn: Turn | undefined;
  try {
    const identified = identify(services, exchange);
    const received = await receive(services, identified);
    const planned = choose(services, plan(received));
    turn = takeTurn(services, planned);
    const admitted = await admit(services, planned, turn);
    const committed = await failover(services, admitted, turn);
    await relay(services, committed);
  } catch (fault) {
    refuse(services, exchange, asGatewayError(fault));
  } finally {
    turn?.leave();
    finish(services, exchange, watch);
  }
}
