// Runs the demo in a separate process group. Ctrl-C in a terminal goes to a whole group, and would end the
// server and the branches before the demo could close them.
import { fork } from "node:child_process"
import { join } from "node:path"

const demo = fork(join(__dirname, "demo.js"), process.argv.slice(2), { detached: true })

for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
  process.on(signal, () => {
    if (demo.connected) demo.disconnect()
  })
}
demo.once("exit", (code) => process.exit(code ?? 1))
