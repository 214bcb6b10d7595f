/** `tollgate init`: writes a commented configuration to start from. */
import { writeFile } from "node:fs/promises";
import { resolve } from "node:path";
import type { Command } from "commander";
import { CliError, systemCodeOf } from "./cli-error.ts";
import type { CliContext } from "./context.ts";
import { renderJson } from "./json.ts";
import { defaultConfigFile } from "./serve.ts";

/** Adds `init` to the program. */
export function addInitCommand(program: Command, context: CliContext): void {
  program
    .command("init")
    .description(`Write a commented ${defaultConfigFile} into this folder.`)
    .option("--force", "write over a file that is there")
    .option("--json", "print JSON")
    .action(async (options: { readonly force?: boolean; readonly json?: boolean }) => {
      const { initTemplate } = await import("../config/init-template.ts");
      const path = resolve(context.cwd, defaultConfigFile);
      try {
        await writeFile(path, initTemplate, { flag: options.force === true ? "w" : "wx" });
      } catch (error) {
        const code = systemCodeOf(error);
        if (code === "EEXIST") throw new CliError(`${path} is there already.`, { mend: "Write over it with --force." });
        throw new CliError(`${path} cannot be written (${code ?? "unknown reason"}).`);
      }
      if (options.json === true) context.output.print(renderJson({ file: path }));
      else context.output.print(`Wrote ${path}. Check it with \`tollgate config check\`, and start with \`tollgate serve\`.`);
    });
}
