/** Scripts for the fake provider that make a client work: tool calls, faults that happen once, wordings it heals by. */
import type { AnswerBlock, Behaviour, JsonObject, Script } from "../support/fake-anthropic-types.ts";

/** A session's own request; side calls (summaries of commands, quota checks) bring no tools. */
export function isMainTurn(body: JsonObject): boolean {
  return Array.isArray(body["tools"]) && body["tools"].length > 0;
}

/** Tool results in the history, whatever their place. */
export function toolResults(body: JsonObject): number {
  return JSON.stringify(body["messages"]).split('"type":"tool_result"').length - 1;
}

/** What the model does in the work of a test. */
export interface Work {
  /** Shell command of every tool call. */
  readonly command: string;
  readonly calls: number;
  /** The last answer. */
  readonly text: string;
  /** A signed thinking block before each tool call, which the client must bring back unharmed. */
  readonly isThinking?: boolean;
}

/** So many tool calls, one a turn, then the answer. */
export function working({ command, calls, text, isThinking = false }: Work): Script {
  return (_request, body) => {
    if (!isMainTurn(body)) return { text: "side call" };
    const done = toolResults(body);
    if (done >= calls) return { text };
    const call: AnswerBlock = { type: "tool_use", name: "Bash", id: `toolu_${done}`, input: { command, description: `Step ${done + 1}` } };
    return { blocks: isThinking ? [{ type: "thinking", thinking: "A command will tell." }, call] : [call] };
  };
}

/** The given behaviour for the first main turn that fits, the ordinary answer with `text` for all others. */
export function once(behaviour: Behaviour, text: string, fits: (body: JsonObject) => boolean = () => true): Script {
  let isDone = false;
  return (_request, body) => {
    if (isDone || !isMainTurn(body) || !fits(body)) return { text };
    isDone = true;
    return behaviour;
  };
}
