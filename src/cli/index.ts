#!/usr/bin/env node
/**
 * The bin. It looks at the Node version before anything else is loaded, because an old Node fails on newer modules with
 * errors that name no mend. So it must import nothing statically; all else is behind `program.ts`.
 */

/** The oldest major version of Node that everything here runs on; the same as `engines` in package.json. */
const nodeMajorMin = 24;

if (Number(process.versions.node.split(".")[0]) < nodeMajorMin) {
  console.error(`tollgate needs Node ${nodeMajorMin} or newer, and this is Node ${process.versions.node}: install a newer Node, or use \`npm start\` in the repository, which brings one along.`);
  process.exitCode = 1;
} else if (process.argv[2] !== "statusline" || !(await isStatusline(process.argv.slice(3)))) {
  const { runFromProcess } = await import("./program.ts");
  await runFromProcess();
}

/** Claude Code runs this one at every turn, where loading all commands would take longer than the command. */
async function isStatusline(args: readonly string[]): Promise<boolean> {
  const [{ runStatusline }, { processContext }] = await Promise.all([import("./statusline.ts"), import("./context.ts")]);
  return runStatusline(args, processContext());
}
