/** The written part of `docs/litellm.md`, around the generated table. */

/** @param keyTable Markdown of every key with its verdict */
export function litellmPage(keyTable: string): string {
  return `# Running from a LiteLLM config.yaml

\`tollgate serve --config config.yaml\` takes a LiteLLM file as it is; \`model_list\`, or without it another section that only LiteLLM has, tells
that it is one. \`tollgate config check config.yaml\` prints each of its keys with what becomes of it, and every error with line and column. Names and meanings are those of LiteLLM
1.81 to 1.105. The last part of this page is generated from \`src/config/litellm-keys.ts\` by \`node scripts/config-docs.ts\`.

## A file that works

\`\`\`yaml
model_list:
  - model_name: claude-*
    litellm_params:
      model: anthropic/claude-*
      api_key: os.environ/ANTHROPIC_API_KEY
  - model_name: claude-sonnet
    litellm_params:
      model: anthropic/claude-sonnet-5-5
      api_key: os.environ/ANTHROPIC_API_KEY
      stream_timeout: 120
    model_info:
      access_groups: [everyone]

general_settings:
  master_key: os.environ/LITELLM_MASTER_KEY
\`\`\`

## What is different

- **A key that restricts is never dropped in silence.** Budgets, rates, allow lists and guardrails that this build does not enforce stop the
  start. \`--accept-unenforced rpm,max_budget\` says that you know; then there is a warning. A restriction that is switched off (\`false\`, empty)
  is no obstacle.
- **Unknown keys** are a warning under \`litellm_params\` and \`model_info\`, where LiteLLM takes any name, and an error elsewhere.
- **Several entries of one \`model_name\`**: the first serves, with a warning. Entries of other providers than Anthropic, Bedrock,
  Vertex AI and Azure AI are errors, and so are ways to other APIs of Bedrock.
- **\`litellm_key_header_name\`** is read first; where it is missing the usual headers still count, while LiteLLM then refuses.
- **\`master_key\`** is the key of the management API and may also infer. Without one, here or in \`LITELLM_MASTER_KEY\`, the first start makes
  an admin key. Example values such as \`sk-1234\` are refused.
- **\`os.environ/NAME\`** must be set and not empty where the key is in use; LiteLLM would go on without it. Keys that do nothing here are not
  looked at, so an unset \`DATABASE_URL\` is no obstacle.
- **Paths of files**, such as \`vertex_credentials\`, begin at the folder of the file that they stand in, also where they come from
  \`os.environ/NAME\`; LiteLLM begins at its working directory. Variables that stand in for absent keys still begin there.
- **Regions and locations**: a \`bedrock/…\` entry that tells no region is an error, where LiteLLM takes us-west-2; a \`vertex_ai/…\` entry without
  a location is served by \`global\`.
- **\`api_base\`** may end in \`/v1\` or \`/v1/messages\`; that part is left out, with a warning.
- **Prices** under \`litellm_params\` (dollars per token) are read digit by digit, not as binary fractions.
- **\`include\`**: lists are joined and mappings merged; where a key stands in several files the included file's value counts, with a warning.
- **The address to listen on** is no part of a LiteLLM file. \`--host\` and \`--port\` give it, or the section below.

## The clouds' own paths

\`/bedrock\` and \`/vertex_ai\` serve what \`model_list\` has, by public names and by the cloud's own. For Claude models that it does not have, a
login can be lent to them. Rights stay as they are: a key with a list of models needs the model in it, by the cloud's name or by
Anthropic's.

\`\`\`yaml
model_list:
  - model_name: claude-sonnet-5-5
    litellm_params:
      model: vertex_ai/claude-sonnet-5-5
      vertex_project: my-project
      vertex_location: europe-west1
      vertex_credentials: google.json
      use_in_pass_through: true
  - model_name: claude-opus-5-5
    litellm_params:
      model: bedrock/eu.anthropic.claude-opus-5-5
      aws_region_name: eu-central-1
      use_in_pass_through: true
\`\`\`

- **\`use_in_pass_through: true\`** of a \`bedrock/…\` or \`vertex_ai/…\` entry lends its login, address, \`extra_headers\` and times, not its price. The
  first such entry of a place counts: project and location of a client's URL are replaced by the entry's, while LiteLLM chooses among entries by
  them.
- **\`default_vertex_config\`** lends a login where no entry does, and so do DEFAULT_VERTEXAI_PROJECT, DEFAULT_VERTEXAI_LOCATION and
  DEFAULT_GOOGLE_APPLICATION_CREDENTIALS, any one of them.
- **AWS_REGION_NAME** lends Bedrock in that region with the login that AWS's own clients would find, where no entry lends another.
- **Clients' own Google logins**: a file with \`litellm_key_header_name\` and no Vertex AI login anywhere sends the Google token in a client's
  \`Authorization\` to Google's host for the project and location of the client's URL. Costs are booked at the price of \`global\`.

The start names each of these that is not written in the file. Which login is asked follows from the name: Bedrock's ids (\`anthropic.claude-…\`
with or without a prefix) and ARNs go to Bedrock, \`claude-…\` to Vertex AI, each on its own cloud's path only. \`/v1/messages\` and the list of
models never show what is lent.

## Words that LiteLLM lacks

LiteLLM passes over top-level keys that it does not know. Tollgate reads one of them, \`tollgate\`, with the sections \`listen\`, \`egress\`,
\`store\`, \`limits\`, \`timeouts\`, \`logging\`, \`metrics\` and \`forward\` of [configuration.md](configuration.md), so that one file can serve both:

\`\`\`yaml
tollgate:
  listen: {host: 0.0.0.0, port: 4000, public: true}
  timeouts: {idle: 10m}
\`\`\`

## Every key

*supported*: read and obeyed. *not yet*: known, without effect, a warning. *restricts*: an error unless accepted by name. *ignored*: without
effect on purpose. A \`*\` stands for any letters.

${keyTable}
`;
}
