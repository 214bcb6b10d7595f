import { join } from "node:path";
import { defineConfig } from "vitest/config";

// Each test starts a gateway and a client of its own; clients measure time, so the files run one after another.
export default defineConfig({
  root: join(import.meta.dirname, "..", ".."),
  test: {
    include: ["test/clients/*.test.ts"],
    exclude: ["**/node_modules/**"],
    pool: "forks",
    maxWorkers: 1,
    testTimeout: 90_000,
    hookTimeout: 30_000,
    reporters: ["default"],
  },
});
