/** The organization that a key is billed to. */
import { sqlScript } from "../sql.ts";

export const organizationColumn = sqlScript`ALTER TABLE keys ADD COLUMN organization_id TEXT;`;
