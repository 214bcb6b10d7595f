/** How busy each target is, and how quick it has been of late. */
import type { Clock } from "../kernel/clock.ts";

export interface TargetStats {
  begin(targetId: string): void;
  end(targetId: string): void;
  /** Of a reply, from its dispatch on. */
  noteFirstEvent(targetId: string, firstEventMs: number): void;
  /** Attempts that run now. */
  running(targetId: string): number;
  /** Moving average; undefined where nothing was measured for ten minutes. */
  firstEventMs(targetId: string): number | undefined;
}

/** In this time an old measurement loses half of its weight. */
const halfLifeMs = 60_000;
const forgottenAfterMs = 10 * 60_000;

interface Stat {
  running: number;
  averageMs: number;
  measuredAt: number;
}

/** Bounded by the targets of the configurations there were. */
export function createTargetStats(clock: Clock): TargetStats {
  const stats = new Map<string, Stat>();
  const statOf = (targetId: string): Stat => {
    let stat = stats.get(targetId);
    if (stat === undefined) stats.set(targetId, (stat = { running: 0, averageMs: 0, measuredAt: -Infinity }));
    return stat;
  };
  return {
    begin: (targetId) => void (statOf(targetId).running += 1),
    end(targetId) {
      const stat = statOf(targetId);
      stat.running = Math.max(0, stat.running - 1);
    },
    noteFirstEvent(targetId, firstEventMs) {
      const stat = statOf(targetId);
      const now = clock.monotonic();
      // Measurements of one moment count alike; the longer the pause, the less is left of the past.
      const share = Math.max(0.1, 1 - 0.5 ** ((now - stat.measuredAt) / halfLifeMs));
      stat.averageMs += (firstEventMs - stat.averageMs) * share;
      stat.measuredAt = now;
    },
    running: (targetId) => stats.get(targetId)?.running ?? 0,
    firstEventMs(targetId) {
      const stat = stats.get(targetId);
      return stat === undefined || clock.monotonic() - stat.measuredAt > forgottenAfterMs ? undefined : stat.averageMs;
    },
  };
}
