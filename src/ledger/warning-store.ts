/** Port to where warnings are remembered, so that a restart tells none of them again and forgets none that was not delivered. */
import type { BudgetWarning } from "./warnings.ts";

/** A warning that is to be delivered. */
export interface DueWarning {
  readonly id: string;
  readonly atMs: number;
  /** JSON. */
  readonly body: string;
  /** Tries that failed. */
  readonly attempts: number;
}

export interface WarningStore {
  /**
   * Remembers those that are new.
   *
   * @param isDelivered whether there is anybody to tell besides the log
   * @returns the ids of the new ones
   */
  note(warnings: readonly BudgetWarning[], isDelivered: boolean): Promise<ReadonlySet<string>>;
  /** Those whose next try is due, oldest first. */
  due(nowMs: number, limit: number): Promise<readonly DueWarning[]>;
  /** Delivered, or given up. */
  done(id: string): Promise<void>;
  failed(id: string, nextTryMs: number): Promise<void>;
}
