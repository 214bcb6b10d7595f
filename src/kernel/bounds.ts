/**
 * Every numeric bound of the system that an operator cannot change, with its unit. The ones that can be changed are in
 * `config/` and have their defaults there.
 */

/** Header fields a request may have; Node's own limit on bytes is set beside it. */
export const headerCountMax = 100;
export const headerBytesMax = 32 * 1024;
/** Nesting of JSON values in a request body. */
export const jsonDepthMax = 128;
/** Top-level members of a request body. */
export const jsonMembersMax = 256;
/** A plain reply up to this size is held until it is complete, so that its cost can be told in a header. A client that reads slowly makes the gateway hold no more. */
export const plainReplyHoldBytesMax = 256 * 1024;
/** A plain reply beyond this size is passed on but not read for usage; its entry is closed as estimated. */
export const plainReplyMeterBytesMax = 64 * 1024 * 1024;
/** The unfinished tail of a stream that is held back so that only whole events go out. */
export const eventTailBytesMax = 1024 * 1024;
/** Entries that wait for the store in memory before new work is refused. */
export const journalDepthMax = 20_000;
/** What may be spent under one budget while the store cannot be written: parts per million of its amount. */
export const failOpenSharePpmMax = 20_000n;
/** How long calls may go on while the store cannot be written, in milliseconds. */
export const failOpenMsMax = 10 * 60_000;
/** Sessions and runs of which it is known what they have spent while no call of theirs runs; that of others is read when they come back. */
export const recalledBalancesMax = 20_000;
/** Limits of rate above this, and costs of one call, count as this: with it every sum of the meters is an exact integer. */
export const limitAmountMax = 1_000_000_000;
/** Meters of one kind of rate kept for scopes that clients name; beyond it the oldest is forgotten. */
export const clientNamedMetersMax = 50_000;
/** Length of attribution values taken from headers, in characters. */
export const attributionLengthMax = 256;
/** Model name length, in characters. */
export const modelNameLengthMax = 256;
/** Distinct kinds of refusals counted between two writes to the audit table. */
export const refusalKindsMax = 1_000;

/** Bytes of an error reply that is read before it is judged. */
export const errorReplyBytesMax = 64 * 1024;

/** A file of the configuration, bytes; larger ones are not read. */
export const configFileBytesMax = 4 * 1024 * 1024;
