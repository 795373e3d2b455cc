import { expect } from "chai"
import { sep } from "node:path"
import * as face from "../../src"
import { newDataSource } from "../support/data-source"

/** The package, loaded a second time, as in a process with two bundles. */
function anotherCopy(): typeof face {
  const path = require.resolve("../../src")
  const root = path.slice(0, path.lastIndexOf(sep) + 1)
  const isOurs = (name: string) => name.startsWith(root)
  const loaded = Object.entries(require.cache).filter(([name]) => isOurs(name))
  for (const [name] of loaded) delete require.cache[name]
  try {
    return require("../../src")
  } finally {
    for (const name of Object.keys(require.cache).filter(isOurs)) delete require.cache[name]
    for (const [name, module] of loaded) require.cache[name] = module
  }
}

describe("maintenanceOf()", () => {
  it("returns the Maintenance of each DataSource, even from another copy of the package", async () => {
    const copy = anotherCopy()
    expect(copy.maintenanceOf).to.not.equal(face.maintenanceOf)
    const [one, other] = [newDataSource("postgres://nowhere/"), newDataSource("postgres://nowhere/")]
    const installed = [face.installMaintenance(one), copy.installMaintenance(other)]
    for (const { maintenanceOf } of [face, copy]) {
      expect([one, other].map(maintenanceOf)).to.have.ordered.members(installed)
    }
    expect(installed[0]).to.have.property("dataSource", one)
    expect(installed[0]).to.have.property("isInUse", false)
    for (const maintenance of installed) await maintenance.uninstall()
  })

  it("throws for a DataSource without the plugin, even if it was installed before", async () => {
    const dataSource = newDataSource("postgres://nowhere/")
    const refused = () =>
      expect(() => face.maintenanceOf(dataSource)).to.throw(
        face.MaintenanceSetupError,
        "Maintenance mode is not installed in this DataSource. Call installMaintenance(dataSource) first.",
      )
    refused()
    await face.installMaintenance(dataSource).uninstall()
    refused()
  })
})
