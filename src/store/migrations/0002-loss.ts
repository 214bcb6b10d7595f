/** What was taken out of a request for the place that served it. */
import { sqlScript } from "../sql.ts";

/** `loss` is a comma-separated list such as `beta:context-management-2025-06-27, field:context_management`; NULL for none. */
export const lossColumn = sqlScript`ALTER TABLE attempts ADD COLUMN loss TEXT;`;
