/** `tollgate config reload`: has a running gateway read its configuration again, and shows what that has changed or why it could not. */
import type { Command } from "commander";
import type { ConfigChange } from "../config/diff.ts";
import type { ConfigNotice } from "../config/gateway-config.ts";
import { CliError, exitCodes, ShownFailure } from "./cli-error.ts";
import { errorText } from "./client.ts";
import { renderChanges } from "./config-diff.ts";
import { adminClient, withConnection, type ConnectionOptions } from "./connection.ts";
import type { CliContext, Output } from "./context.ts";
import { listOf, objectOf, renderJson, textOf, type JsonObject } from "./json.ts";
import { formatNotice } from "./text.ts";

/** @param config the command that it belongs to */
export function addConfigReloadCommand(config: Command, context: CliContext): void {
  const reload = config.command("reload").description("Have the running gateway read its configuration again. One that is not valid changes nothing.");
  withConnection(reload).action(async (options: ConnectionOptions) => {
    const client = await adminClient(options, context);
    const reply = await client.send("POST", "/api/v1/config/reload");
    const body = objectOf(reply.body);
    if (reply.status === 422) {
      context.output.note(options.json === true ? renderJson(body) : [...listOf(body.errors).map((error) => formatNotice(noticeOf(objectOf(error)))), `tollgate: ${errorText(reply)}`].join("\n"));
      throw new ShownFailure(exitCodes.config);
    }
    if (reply.status !== 200) throw new CliError(`The gateway refused with status ${reply.status}: ${errorText(reply)}`, { mend: reply.status === 401 || reply.status === 403 ? "Use the admin key." : "" });
    context.output.print(options.json === true ? renderJson(body) : renderReload(body, context.output));
  });
}

function renderReload(body: JsonObject, output: Pick<Output, "style">): string {
  const changes = listOf(body.changes).map(objectOf).map(({ change, text }) => ({ change: changeOf(textOf(change)), text: textOf(text) }));
  const waiting = listOf(body.needs_restart).map(textOf);
  return [
    changes.length === 0 ? "Read again; nothing has changed." : renderChanges(changes, output),
    ...(waiting.length === 0 ? [] : [`${output.style("yellow", "needs a restart")}  ${waiting.join(", ")}`]),
    ...listOf(body.warnings).map((warning) => `${output.style("yellow", "warning")}  ${formatNotice(noticeOf(objectOf(warning)))}`),
  ].join("\n");
}

function changeOf(text: string): ConfigChange["change"] {
  return text === "added" || text === "removed" ? text : "changed";
}

function noticeOf({ file, line, column, path, message }: JsonObject): ConfigNotice {
  return { file: textOf(file), line: Number(line), column: Number(column), path: textOf(path), message: textOf(message) };
}
