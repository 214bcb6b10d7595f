/** What `tollgate init` writes: valid as it is, with every section explained and the usual choices ready to uncomment. */

/** Text of a `tollgate.yaml`. As it stands it means the same as no file at all. */
export const initTemplate = `# Configuration of Tollgate. Check it with \`tollgate config check\`; every key is explained in docs/configuration.md.
# Any value may hold \${NAME}, an environment variable, or \${file:path}, the text of a file: keep secrets out of this file.
# Durations: 500ms, 5s, 2m, 1h. Sizes: 32MiB.

listen:
  host: 127.0.0.1
  port: 4000
  # For other machines: their address to listen on, and a yes in so many words.
  # host: 0.0.0.0
  # public: true
  # tls:
  #   cert_file: tls/cert.pem
  #   key_file: tls/key.pem
  # Reverse proxies whose x-forwarded-for is believed.
  # trusted_proxies: [10.0.0.0/8]

# Where models are served. Without \`providers\` and \`models\` both are made from the environment: ANTHROPIC_API_KEY (or
# ANTHROPIC_AUTH_TOKEN) gives Anthropic with every claude-* model, and no credential gives the built-in simulation.
# providers:
#   anthropic:
#     kind: anthropic
#     api_key: \${ANTHROPIC_API_KEY}
#   trial:
#     kind: demo

# What clients may ask for: names, or patterns with one *. Claude Code offers only names with "claude" or "anthropic".
# models:
#   - name: claude-*
#     provider: anthropic
#   - name: claude-team-default
#     provider: anthropic
#     model: claude-sonnet-5-5
#     access_groups: [everyone]
#   # The caller's own claude.ai login, relayed to this target and nowhere else.
#   - name: claude-own-*
#     provider: anthropic
#     model: claude-*
#     credential: client

# Key of the management API. Without it one is made at the first start and kept in the data directory.
# admin:
#   key: \${TOLLGATE_ADMIN_KEY}

# Header that is read first for a developer's key; the usual headers follow.
# key_header: Proxy-Authorization

# How upstreams are reached. HTTPS_PROXY and NO_PROXY of the environment count unless this says otherwise.
# egress:
#   proxy: http://proxy.example:3128
#   no_proxy: [internal.example]
#   ca_file: tls/company-ca.pem

# The ledger. \`full\` forces each commit to the disk.
# store:
#   sync: full

# Your own prices, in US dollars per million tokens; they win over the price book.
# prices:
#   multiplier: 1.0
#   overrides:
#     claude-haiku-5-5: {input: 0.10, output: 0.50}

# limits:
#   body_max: 32MiB
#   in_flight_max: 10000

# timeouts:
#   first_byte_stream: 2m
#   idle: 5m
#   drain: 10m

logging:
  level: info

# Metrics without a key, on a listener of their own.
# metrics:
#   host: 127.0.0.1
#   port: 9464
`;
