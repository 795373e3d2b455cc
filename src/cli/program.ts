import { Command } from "commander"
import { addAnnounce } from "./commands/announce"
import { addBlockers } from "./commands/blockers"
import { addCancel } from "./commands/cancel"
import { addDoctor } from "./commands/doctor"
import { addEnter } from "./commands/enter"
import { addExtend } from "./commands/extend"
import { addInstances } from "./commands/instances"
import { addIs } from "./commands/is"
import { addJournal } from "./commands/journal"
import { addLeave } from "./commands/leave"
import { addPanel } from "./commands/panel"
import { addProgress } from "./commands/progress"
import { addRun } from "./commands/run"
import { addSchema } from "./commands/schema"
import { addStatus } from "./commands/status"
import { addTransfer } from "./commands/transfer"
import { addWait } from "./commands/wait"
import { addWatch } from "./commands/watch"
import type { ActingOptions } from "./session"
import { packageVersion } from "./versions"

/** The commands, in the order in which the help lists them. */
const commands = [
  addStatus,
  addIs,
  addWait,
  addWatch,
  addBlockers,
  addEnter,
  addLeave,
  addExtend,
  addTransfer,
  addProgress,
  addAnnounce,
  addCancel,
  addRun,
  addPanel,
  addJournal,
  addInstances,
  addDoctor,
  addSchema,
]

/** Options for `makeProgram()`. */
export interface ProgramOptions {
  /** Receives the exit code of a command that did not throw, if that is not 0. */
  readonly answer?: (code: number) => void
  /** Receives the options of the command before it runs. */
  readonly begin?: (options: ActingOptions) => void
  /** Whether the result is to be JSON, so that nothing else is printed. */
  readonly isJson?: boolean
}

/** The command line. Its commands throw; the caller reports, and chooses the exit code. */
export function makeProgram({
  answer = () => undefined,
  begin = () => undefined,
  isJson = false,
}: ProgramOptions = {}): Command {
  const program = new Command("typeorm-maintenance-mode")
    .description("Puts a database that TypeORM applications use into maintenance, and shows what goes on.")
    .version(packageVersion(), "-V, --version")
    .enablePositionalOptions()
    .exitOverride()
    // The caller reports the errors of commander, too.
    .configureOutput({ outputError: () => undefined, ...(isJson && { writeErr: () => undefined }) })
    .showSuggestionAfterError()
    .hook("preAction", (_, command) => begin(command.opts()))
    .addHelpText(
      "after",
      "\nExit codes: 0 done or yes, 1 no, 2 bad arguments, 3 somebody else holds the window, 4 the drain timed out,\n" +
        "5 the window is over, 6 the database does not answer, 7 the installation is wrong, 8 the outcome is unknown,\n" +
        "9 you declined, 70 a fault of this program, 125 to 127 run did not run its command, 130 and 143 interrupted.\n" +
        "Guide: https://github.com/typeorm-maintenance-mode/typeorm-maintenance-mode/blob/main/docs/guides/cli.md",
    )
  for (const add of commands) add(program, answer)
  // Subcommands do not inherit it from commands that are created before.
  for (const command of program.commands) command.exitOverride()
  return program
}
