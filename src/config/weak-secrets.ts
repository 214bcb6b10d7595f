/** Secrets that everybody knows or can guess, and the sentence that refuses them. The secret itself is never in it. */

/** Shorter ones can be searched through. */
export const adminKeyLengthMin = 16;

/** Values from quick starts, tutorials and sample files, in lower case, compared without a leading `sk-`. */
const examples: ReadonlySet<string> = new Set([
  "1234", "12345", "123456", "1234567890", "0123456789", "abcdef", "abc123", "admin", "administrator", "changeme", "change-me", "change_me", "changethis", "change-this",
  "default", "demo", "dev", "dummy", "example", "foobar", "gateway", "hunter2", "letmein", "litellm", "litellm-master-key", "litellm_master_key", "local", "master", "master-key",
  "master_key", "masterkey", "my-master-key", "my-secret-key", "my_secret_key", "my_special_key", "my-special-key", "mysecretkey", "none", "null", "password", "password123", "placeholder",
  "replace-me", "replace_me", "replaceme", "root", "secret", "secret-key", "secret_key", "secretkey", "sk", "supersecret", "super-secret", "test", "test-key", "testkey", "todo", "tollgate",
  "tollgate-admin-key", "your-admin-key", "your-key", "your-key-here", "your-master-key", "your-master-key-here", "your-secret-key", "your-secret-key-here", "your_master_key", "your_secret_key",
]);

/** Fewer different characters than this make a filler such as `sk-xxxxxxxxxxxxxxxx`. */
const distinctCharactersMin = 6;

/**
 * Why a secret must not guard a gateway.
 *
 * @returns undefined when nothing speaks against it
 */
export function weaknessOf(secret: string): string | undefined {
  const core = secret.trim().toLowerCase().replace(/^sk-/, "");
  if (examples.has(core) || /^(?:your|my|change|replace|insert)[-_ ].*(?:key|secret|me|this|here)$/.test(core) || /^<.*>$/.test(core)) return "is an example that everybody knows";
  if (secret.length < adminKeyLengthMin) return `is too short: it needs at least ${adminKeyLengthMin} characters`;
  if (new Set(core).size < distinctCharactersMin) return "is a filler: it needs more different characters";
  return undefined;
}
