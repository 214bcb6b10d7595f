/**
 * Which members of a scope are known and which of them run: the sessions of a key, the agents of a session. Ids are the client's, so
 * this is a brake and not security; what it remembers is bounded, and whoever is forgotten counts as new.
 */
import type { Sweepable } from "./sweep.ts";

/** How long and how much a roster remembers. */
export interface RosterBounds {
  /** A member whose last call ended this long ago is forgotten. */
  readonly rememberMs: number;
  /** A member still counts as running for this long after its last call, since agents pause between calls to use their tools. */
  readonly graceMs: number;
  /** Members remembered per scope, and in all; beyond it the longest unused is forgotten. Members with an open call stay in any case. */
  readonly perScopeMax: number;
  readonly totalMax: number;
}

interface Member {
  /** Calls that are open. */
  open: number;
  /** When the last call ended; {@link never} while the first is open. */
  lastMs: number;
  /** As the first call named it, for good: an agent is started once. */
  readonly parentId: string | undefined;
}

const never = -Infinity;
/** A member keeps its place in the order of use for this long, to spare most calls the reordering. */
const reorderMs = 60_000;
/** Members looked at for one that may be forgotten. */
const triesMax = 16;

/** Members by scope; times are monotonic milliseconds. */
export interface Roster extends Sweepable {
  /** True while a call is open, and for `rememberMs` after the last one. */
  isKnown(scope: string, id: string, nowMs: number): boolean;
  /** True while a call is open, and within the grace. Cheaper than {@link Roster.running}, and without the waiting parents. */
  isActive(scope: string, id: string, nowMs: number): boolean;
  /** Ids that run: with an open call, within the grace, or waiting for one that does (its parent, and so on upwards, as far as known). */
  running(scope: string, nowMs: number): ReadonlySet<string>;
  /** Times at which running members without an open call stop counting, ascending; those waiting for others are left out. */
  graceEnds(scope: string, nowMs: number): readonly number[];
  /** Counts one open call, and remembers the member; `parentId` is noted on its first call only. */
  enter(scope: string, id: string, parentId: string | undefined): void;
  leave(scope: string, id: string, nowMs: number): void;
  /** Undoes `enter` as if it had not been. */
  undo(scope: string, id: string): void;
}

/** @param onCreated called for each new member, so that the sweep keeps up */
export function createRoster(bounds: RosterBounds, onCreated: () => void): Roster {
  const scopes = new Map<string, Map<string, Member>>();
  let total = 0;

  // A clock that was set back would make the last call lie in the future; it then counts as having just ended.
  const isActive = (member: Member, nowMs: number): boolean =>
    member.open > 0 || (nowMs - member.lastMs < bounds.graceMs && member.lastMs - nowMs < bounds.graceMs);

  const forget = (scope: string, members: Map<string, Member>, id: string): void => {
    if (members.delete(id)) total -= 1;
    if (members.size === 0) scopes.delete(scope);
  };
  /** Forgets the longest unused member of the scope, or none if the first few have open calls; tells whether it did. */
  const forgetOne = (scope: string, members: Map<string, Member>): boolean => {
    let tries = 0;
    for (const [id, member] of members) {
      if (member.open === 0) {
        forget(scope, members, id);
        return true;
      }
      if (++tries === triesMax) return false;
    }
    return false;
  };
  const makeRoom = (scope: string, members: Map<string, Member>): void => {
    if (members.size > bounds.perScopeMax) forgetOne(scope, members);
    if (total <= bounds.totalMax) return;
    let tries = 0;
    for (const [other, otherMembers] of scopes) {
      if (forgetOne(other, otherMembers) || ++tries === triesMax) return;
    }
  };

  return {
    isKnown(scope, id, nowMs) {
      const member = scopes.get(scope)?.get(id);
      return member !== undefined && (member.open > 0 || nowMs - member.lastMs <= bounds.rememberMs);
    },
    isActive(scope, id, nowMs) {
      const member = scopes.get(scope)?.get(id);
      return member !== undefined && isActive(member, nowMs);
    },
    running(scope, nowMs) {
      const running = new Set<string>();
      const members = scopes.get(scope);
      for (const [id, member] of members ?? []) {
        if (!isActive(member, nowMs)) continue;
        running.add(id);
        let parentId = member.parentId;
        while (parentId !== undefined && !running.has(parentId)) {
          const parent = members?.get(parentId);
          if (parent === undefined) break;
          running.add(parentId);
          parentId = parent.parentId;
        }
      }
      return running;
    },
    graceEnds(scope, nowMs) {
      const ends: number[] = [];
      for (const member of scopes.get(scope)?.values() ?? []) {
        if (member.open === 0 && isActive(member, nowMs)) ends.push(member.lastMs + bounds.graceMs);
      }
      return ends.sort((a, b) => a - b);
    },
    enter(scope, id, parentId) {
      let members = scopes.get(scope);
      if (members === undefined) scopes.set(scope, (members = new Map()));
      const member = members.get(id);
      if (member !== undefined) {
        member.open += 1;
        return;
      }
      members.set(id, { open: 1, lastMs: never, parentId });
      total += 1;
      makeRoom(scope, members);
      onCreated();
    },
    leave(scope, id, nowMs) {
      const members = scopes.get(scope);
      const member = members?.get(id);
      if (members === undefined || member === undefined) return;
      member.open -= 1;
      if (nowMs - member.lastMs > reorderMs) {
        members.delete(id);
        members.set(id, member);
      }
      member.lastMs = nowMs;
    },
    undo(scope, id) {
      const members = scopes.get(scope);
      const member = members?.get(id);
      if (members === undefined || member === undefined) return;
      member.open -= 1;
      if (member.open === 0 && member.lastMs === never) forget(scope, members, id);
    },
    get size() {
      return total;
    },
    scopes: () => scopes.keys(),
    dropIdle(scope, nowMs) {
      const members = scopes.get(scope);
      if (members === undefined) return;
      let tries = 0;
      for (const [id, member] of members) {
        if (++tries > triesMax) return;
        if (member.open > 0) continue;
        if (member.lastMs - nowMs > bounds.rememberMs) member.lastMs = nowMs;
        if (nowMs - member.lastMs <= bounds.rememberMs) return;
        forget(scope, members, id);
      }
    },
  };
}
