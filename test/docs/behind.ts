/**
 * A gateway with the configuration of a page, in front of the strict fakes: only addresses, the listener and the secrets of the
 * environment are put in; everything else is the page's.
 */
import { parse, stringify } from "yaml";
import { startFakeAnthropic } from "../support/fake-anthropic.ts";
import type { RecordedRequest } from "../support/fake-anthropic-types.ts";
import { startFakeAnthropicAws, startFakeBedrock, startFakeMantle } from "../support/fake-bedrock.ts";
import { startFakeFoundry } from "../support/fake-foundry.ts";
import { FakeGoogleLogin } from "../support/fake-google-login.ts";
import type { PlaceBehaviour } from "../support/fake-place.ts";
import { startFakeVertex } from "../support/fake-vertex.ts";
import { adminKey, startHarness, until, upstreamKey, type Harness } from "../support/harness.ts";

type Node = Record<string, unknown>;

/** What all fakes have in common. */
export interface Fake {
  readonly url: string;
  readonly requests: readonly RecordedRequest[];
  readonly rejections: readonly { readonly message: string }[];
  readonly violations: readonly string[];
  /** Absent at the fake Anthropic. */
  behave?(choose: () => PlaceBehaviour | undefined): void;
  close(): Promise<void>;
}

/** A page's configuration at work. */
export interface Behind {
  readonly harness: Harness;
  /** By the provider's name; in a LiteLLM file, by the prefix of `litellm_params.model`. */
  readonly fakes: ReadonlyMap<string, Fake>;
  /** A developer's key, which may reach no fake. */
  key(fields?: Record<string, unknown>): Promise<string>;
  /** The ledger's rows, newest first, once there are `count` and all are closed. */
  rows(count: number): Promise<readonly Readonly<Record<string, unknown>>[]>;
  close(): Promise<void>;
}

/** Logins of callers that the fakes take. */
export interface OwnLogins {
  readonly googleToken?: string;
  readonly googleProject?: string;
  readonly bedrockKey?: string;
  readonly claudeLogin?: string;
}

const awsKey = { id: "AKIADOCSEXAMPLE00001", secret: "docs-example-secret-of-forty-characters-0" };

/** Names in a configuration that stand for environment variables, with values that pass for what they are. */
export function environmentFor(text: string): Record<string, string> {
  const names = [...text.matchAll(/\$\{([A-Z][A-Z0-9_]*)\}|os\.environ\/([A-Z][A-Z0-9_]*)/g)].map((match) => match[1] ?? match[2]!);
  return Object.fromEntries(names.map((name) => [name, /ADMIN|MASTER/.test(name) ? adminKey : name.endsWith("_FILE") ? "/etc/tollgate/key.json" : upstreamKey]));
}

export async function startBehind(text: string, own: OwnLogins = {}): Promise<Behind> {
  const file = parse(text) as Node;
  const google = await new FakeGoogleLogin().listen();
  const forbiddenSecrets: string[] = [];
  const fakes = new Map<string, Fake>();
  const context: Context = { own, google, forbiddenSecrets };
  const isLiteLlm = file["model_list"] !== undefined;
  const listen = { host: "127.0.0.1", port: 0 };
  if (isLiteLlm) {
    for (const { litellm_params: params } of file["model_list"] as { litellm_params: Node }[]) await pointLiteLlm(params, fakes, context);
    file["tollgate"] = { ...(file["tollgate"] as Node | undefined), listen, logging: { level: "silent" } };
    file["general_settings"] = { master_key: "os.environ/LITELLM_MASTER_KEY", ...(file["general_settings"] as Node | undefined) };
  } else {
    for (const [name, place] of Object.entries(file["providers"] as Record<string, Node>)) {
      const fake = await startFake(String(place["kind"]), place, context);
      fakes.set(name, fake);
      Object.assign(place, addressOf(String(place["kind"]), fake.url));
      delete place["resource"];
    }
    Object.assign(file, { listen, logging: { level: "silent" }, admin: { key: "${TOLLGATE_ADMIN_KEY}" } });
  }
  const edited = stringify(file);
  const env = {
    ...environmentFor(edited), AWS_ACCESS_KEY_ID: awsKey.id, AWS_SECRET_ACCESS_KEY: awsKey.secret, AWS_CONFIG_FILE: "/nonexistent", AWS_SHARED_CREDENTIALS_FILE: "/nonexistent",
    AWS_EC2_METADATA_DISABLED: "true", GCE_METADATA_HOST: new URL(google.url).host, CLOUDSDK_CONFIG: "/nonexistent",
  };
  const harness = await startHarness({ upstreamUrl: "", file: edited, env });
  return {
    harness,
    fakes,
    async key(fields) {
      const made = await harness.key(fields);
      forbiddenSecrets.push(made);
      return made;
    },
    rows: (count) =>
      until(`${count} closed rows`, async () => {
        const rows = await harness.rows();
        return rows.length >= count && rows.every((row) => row["closed_at"] !== null) ? rows : undefined;
      }),
    async close() {
      await harness.close();
      for (const fake of fakes.values()) await fake.close();
      await google.close();
    },
  };
}

interface Context {
  readonly own: OwnLogins;
  readonly google: FakeGoogleLogin;
  readonly forbiddenSecrets: string[];
}

/** A place as strict as its settings allow: only the login that they describe is good there. */
async function startFake(kind: string, place: Node, { own, google, forbiddenSecrets }: Context): Promise<Fake> {
  const region = textOf(place, "region", "aws_region_name") ?? "us-east-1";
  const aws = { forbiddenSecrets, region, profiles: [region.slice(0, region.indexOf("-")), "global"], ...(own.bedrockKey === undefined && place["api_key"] === undefined ? { keys: { [awsKey.id]: { secret: awsKey.secret } } } : { bearer: own.bedrockKey ?? upstreamKey }) };
  // Given as a path, it would be Google's own token endpoint that is asked.
  delete place["credentials"];
  delete place["vertex_credentials"];
  if (kind === "anthropic") return startFakeAnthropic(place["api_key"] === undefined ? { forbiddenSecrets, authToken: own.claudeLogin ?? upstreamKey } : { forbiddenSecrets, apiKey: upstreamKey });
  if (kind === "vertex") {
    const isTokenGood = (token: string): boolean => (own.googleToken === undefined ? google.liveToken(token) !== undefined : token === own.googleToken);
    return startFakeVertex({ forbiddenSecrets, project: own.googleProject ?? textOf(place, "project", "vertex_project") ?? "fake-project", isTokenGood });
  }
  if (kind === "foundry") return startFakeFoundry({ forbiddenSecrets, apiKey: upstreamKey });
  if (kind === "bedrock") return (await startFakeBedrock(aws)) as Fake;
  if (kind === "mantle") return startFakeMantle(aws);
  if (kind === "anthropic-aws") {
    const workspaceId = textOf(place, "workspace_id");
    return startFakeAnthropicAws({ ...aws, workspaceKey: upstreamKey, ...(workspaceId === undefined ? {} : { workspaceId }) });
  }
  throw new Error(`no fake for ${kind}`);
}

/** The first of the members that is a text. */
function textOf(node: Node, ...names: readonly string[]): string | undefined {
  return names.map((name) => node[name]).find((value): value is string => typeof value === "string");
}

function addressOf(kind: string, url: string): Node {
  if (kind === "foundry") return { base_url: `${url}/anthropic` };
  if (kind === "mantle") return { endpoint: `${url}/anthropic` };
  return kind === "bedrock" || kind === "anthropic-aws" ? { endpoint: url } : { base_url: url };
}

const liteLlmKinds: Readonly<Record<string, string>> = { anthropic: "anthropic", bedrock: "bedrock", vertex_ai: "vertex", azure_ai: "foundry" };

async function pointLiteLlm(params: Node, fakes: Map<string, Fake>, context: Context): Promise<void> {
  const prefix = String(params["model"]).split("/")[0]!;
  const kind = liteLlmKinds[prefix]!;
  const fake = fakes.get(prefix) ?? (await startFake(kind, params, context));
  fakes.set(prefix, fake);
  delete params["vertex_credentials"];
  params[kind === "bedrock" ? "aws_bedrock_runtime_endpoint" : "api_base"] = kind === "foundry" ? `${fake.url}/anthropic` : fake.url;
}
