/**
 * Google's credential files: which kind one is, and the members that its kind needs. Their secrets stay in plain strings for
 * the length of one login only; nothing here keeps them.
 *
 * Formats: https://google.aip.dev/auth (AIP-4110 to 4117) and googleapis/google-auth-library-nodejs, checked 2026-11.
 */
import { CredentialError } from "../runtime.ts";
import { isObject } from "./exchange.ts";

/** The key of a service account. */
export interface ServiceAccountFile {
  readonly type: "service_account";
  readonly clientEmail: string;
  /** PEM. */
  readonly privateKey: string;
  readonly privateKeyId: string | undefined;
  readonly tokenUri: string;
  readonly projectId: string | undefined;
}

/** What `gcloud auth application-default login` leaves behind. */
export interface AuthorizedUserFile {
  readonly type: "authorized_user";
  readonly clientId: string;
  readonly clientSecret: string;
  readonly refreshToken: string;
  readonly tokenUri: string;
  readonly projectId: string | undefined;
}

/** Where an outside identity's token is read. */
export interface SubjectSource {
  readonly place: { readonly file: string } | { readonly url: string; readonly headers: readonly string[] };
  /** Member of the JSON that holds the token; undefined when the text is the token. */
  readonly fieldName: string | undefined;
}

/** Workload identity federation, by file or by URL. */
export interface ExternalAccountFile {
  readonly type: "external_account";
  readonly audience: string;
  readonly subjectTokenType: string;
  readonly tokenUrl: string;
  readonly source: SubjectSource;
  readonly impersonationUrl: string | undefined;
  readonly impersonationLifetimeSeconds: number;
  readonly clientId: string | undefined;
  readonly clientSecret: string | undefined;
  readonly workforceUserProject: string | undefined;
  readonly projectId: string | undefined;
}

/** Another account's token, asked for with the source's. */
export interface ImpersonatedFile {
  readonly type: "impersonated_service_account";
  readonly impersonationUrl: string;
  readonly delegates: readonly string[];
  readonly source: SourceFile;
  readonly projectId: string | undefined;
}

export type SourceFile = ServiceAccountFile | AuthorizedUserFile | ExternalAccountFile;

/** A file's content, with the project that its calls are booked on, where it names one. */
export type CredentialFile = (SourceFile | ImpersonatedFile) & { readonly quotaProject: string | undefined };

const defaultTokenUri = "https://oauth2.googleapis.com/token";
const defaultStsUrl = "https://sts.googleapis.com/v1/token";

/**
 * @param where names the file in messages
 * @throws CredentialError for a kind that is not supported, and for a file of a known kind that lacks something
 */
export function readCredentialFile(text: string, where: string): CredentialFile {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    json = undefined;
  }
  if (!isObject(json)) throw new CredentialError(`${where} holds no JSON object`, false);
  const members = new Members(json, where);
  const universe = members.optional("universe_domain");
  if (universe !== undefined && universe !== "googleapis.com") throw new CredentialError(`${where} belongs to ${universe}; only googleapis.com is supported`, false);
  const file = json["type"] === "impersonated_service_account" ? impersonated(members) : source(members);
  return { ...file, quotaProject: members.optional("quota_project_id") };
}

/** Reads members of one JSON object and says which file lacks what. */
class Members {
  readonly json: Readonly<Record<string, unknown>>;
  readonly where: string;

  constructor(json: Readonly<Record<string, unknown>>, where: string) {
    this.json = json;
    this.where = where;
  }

  optional(name: string): string | undefined {
    const value = this.json[name];
    return typeof value === "string" && value !== "" ? value : undefined;
  }

  required(name: string): string {
    const value = this.optional(name);
    if (value === undefined) throw new CredentialError(`${this.where} lacks ${name}`, false);
    return value;
  }

  object(name: string): Members {
    const value = this.json[name];
    if (!isObject(value)) throw new CredentialError(`${this.where} lacks ${name}`, false);
    return new Members(value, `${name} of ${this.where}`);
  }
}

function source(members: Members): SourceFile {
  const type = members.required("type");
  if (type === "service_account") return serviceAccount(members);
  if (type === "authorized_user") return authorizedUser(members);
  if (type === "external_account") return externalAccount(members);
  throw new CredentialError(`${members.where} is of type ${type.slice(0, 60)}, which is not supported`, false);
}

function serviceAccount(members: Members): ServiceAccountFile {
  return {
    type: "service_account",
    clientEmail: members.required("client_email"),
    privateKey: members.required("private_key"),
    privateKeyId: members.optional("private_key_id"),
    tokenUri: members.optional("token_uri") ?? defaultTokenUri,
    projectId: members.optional("project_id"),
  };
}

function authorizedUser(members: Members): AuthorizedUserFile {
  return {
    type: "authorized_user",
    clientId: members.required("client_id"),
    clientSecret: members.required("client_secret"),
    refreshToken: members.required("refresh_token"),
    tokenUri: members.optional("token_uri") ?? defaultTokenUri,
    projectId: members.optional("project_id"),
  };
}

function externalAccount(members: Members): ExternalAccountFile {
  const lifetime = isObject(members.json["service_account_impersonation"]) ? members.json["service_account_impersonation"]["token_lifetime_seconds"] : undefined;
  return {
    type: "external_account",
    audience: members.required("audience"),
    subjectTokenType: members.required("subject_token_type"),
    tokenUrl: members.optional("token_url") ?? defaultStsUrl,
    source: subjectSource(members.object("credential_source")),
    impersonationUrl: members.optional("service_account_impersonation_url"),
    impersonationLifetimeSeconds: typeof lifetime === "number" ? lifetime : 3600,
    clientId: members.optional("client_id"),
    clientSecret: members.optional("client_secret"),
    workforceUserProject: members.optional("workforce_pool_user_project"),
    projectId: members.optional("project_id"),
  };
}

/** Programs would be run, and AWS requests signed, by the word of a file: both are refused by name. */
function subjectSource(members: Members): SubjectSource {
  const { json, where } = members;
  if (json["executable"] !== undefined) throw new CredentialError(`${where} runs a program (executable), which is not supported`, false);
  if (members.optional("environment_id") !== undefined) throw new CredentialError(`${where} is an AWS source (environment_id), which is not supported; use a file or URL source`, false);
  if (json["certificate"] !== undefined) throw new CredentialError(`${where} is a certificate source, which is not supported`, false);
  const format = isObject(json["format"]) ? json["format"] : {};
  const fieldName = format["type"] === "json" ? format["subject_token_field_name"] : undefined;
  if (format["type"] === "json" && typeof fieldName !== "string") throw new CredentialError(`${where} lacks format.subject_token_field_name`, false);
  const file = members.optional("file");
  if (file !== undefined) return { place: { file }, fieldName: typeof fieldName === "string" ? fieldName : undefined };
  const url = members.required("url");
  const headers = isObject(json["headers"]) ? Object.entries(json["headers"]).flatMap(([name, value]) => (typeof value === "string" ? [name, value] : [])) : [];
  return { place: { url, headers }, fieldName: typeof fieldName === "string" ? fieldName : undefined };
}

function impersonated(members: Members): ImpersonatedFile {
  const delegates = members.json["delegates"];
  return {
    type: "impersonated_service_account",
    impersonationUrl: members.required("service_account_impersonation_url"),
    delegates: Array.isArray(delegates) ? delegates.filter((name): name is string => typeof name === "string") : [],
    source: source(members.object("source_credentials")),
    projectId: members.optional("project_id"),
  };
}
