import { lineBreak } from "../text"

/** The end of a message that says what to run to install the schema: the command stands on a line of its own. */
export function installCommand(schema: string): string {
  return (
    ", with the role of the application for ROLE:" +
    `${lineBreak}  npx typeorm-maintenance-mode schema --apply --schema ${schema} --role ROLE`
  )
}
