import type { Command } from "commander"
import { examine } from "../doctor/examine"
import { type Finding, type Severity, worstOf } from "../doctor/finding"
import { exitCode } from "../exit-code"
import { plain } from "../plain"
import { print, printJson, type Style, styled } from "../screen"
import { sayTarget, type SessionOptions } from "../session"
import { findTarget } from "../target"
import { connecting } from "../window-options"

const styleOf: Readonly<Record<Severity, Style>> = {
  ok: "green",
  note: "dim",
  warning: "yellow",
  error: "red",
}

const codeOf: Readonly<Record<Severity, number>> = {
  ok: exitCode.done,
  note: exitCode.done,
  warning: exitCode.no,
  error: exitCode.setup,
}

/** Adds the command `doctor`. */
export function addDoctor(program: Command, answer: (code: number) => void): void {
  connecting(program.command("doctor"))
    .description(
      "examine the installation: exit with 1 for warnings, with 7 for errors, with 6 if the server does not answer",
    )
    .addHelpText("after", "\nExample:\n  $ npx typeorm-maintenance-mode doctor -d dist/data-source.js")
    .action(async (options: SessionOptions) => {
      const target = await findTarget(options)
      if (!options.json) sayTarget(target)
      const { findings, isUnavailable } = await examine(target, (finding) => {
        if (!options.json) print(findingText(finding))
      })
      const worst = worstOf(findings)
      if (options.json) printJson({ severity: worst, findings })
      answer(isUnavailable ? exitCode.unavailable : codeOf[worst])
    })
}

function findingText({ severity, check, message, remedy }: Finding): string {
  const first = `${styled(styleOf[severity], severity.padEnd(8))}${check.padEnd(13)}${plain(message)}`
  return remedy ? `${first}\n${" ".repeat(21)}${plain(remedy)}` : first
}
