import { execFileSync } from "node:child_process"
import { readFileSync, rmSync } from "node:fs"
import { join } from "node:path"
import { expect } from "chai"
import {
  AsMaintainer,
  DuringMaintenance,
  installMaintenance,
  MaintenanceInputError,
  MaintenanceSetupError,
  NotMaintainerError,
  WriteVetoedError,
} from "../../src"
import { newDataSource, useMaintenance, withMaintenance } from "../support/data-source"
import { useDatabase } from "../support/database"
import { Item } from "../support/entities"
import { temporaryFolder } from "../support/watchdog"

type Services = typeof import("./standard-decorators/services")

const noMethod = " is for methods and classes, but rows is not a method."
const generator =
  " cannot be applied to the generator rows, which would run outside the context. " +
  "Call runAs() or during() around the loop instead."
/** Places where a decorator is not allowed, with the resulting error. */
const refusals: Record<keyof ReturnType<Services["misplaced"]>, string> = {
  property: `@AsMaintainer${noMethod}`,
  arrowFunction: `@AsMaintainer${noMethod}`,
  getter: `@AsMaintainer${noMethod}`,
  setter: `@AsMaintainer${noMethod}`,
  accessor: `@AsMaintainer${noMethod}`,
  generator: `@AsMaintainer${generator}`,
  asyncGenerator: `@AsMaintainer${generator}`,
  classWithGenerator: `@AsMaintainer${generator}`,
  propertyDuring: `@DuringMaintenance${noMethod}`,
  getterDuring: `@DuringMaintenance${noMethod}`,
  generatorDuring: `@DuringMaintenance${generator}`,
}

const root = join(__dirname, "../../..")
const decorators = { AsMaintainer, DuringMaintenance }

describe("Decorators", () => {
  const standardBuild = useStandardBuild()
  const builds: Record<string, { helper: string; file: () => string }> = {
    legacy: { helper: "__decorate", file: () => join(__dirname, "standard-decorators", "services.js") },
    standard: { helper: "__esDecorate", file: standardBuild },
  }

  for (const [kind, { helper, file }] of Object.entries(builds)) {
    describe(`of the ${kind} kind`, () => {
      const services = () => require(file()) as Services

      it("are compiled as expected", () => {
        expect(readFileSync(file(), "utf8")).to.include(`${helper}(`)
      })

      for (const [place, message] of Object.entries(refusals)) {
        it(`reject a wrong place: ${place}`, () => {
          const declare = services().misplaced(decorators)[place as keyof typeof refusals]
          const error = caught(declare)
          expect(error).to.be.instanceOf(MaintenanceSetupError)
          expect(error.message).to.equal(message)
        })
      }

      describe("on an installed plugin", () => {
        const database = useDatabase()
        const installed = useMaintenance(database)
        before(() => installed.current.dataSource.synchronize())
        /** The user that the running code acts for, as the database sees it. */
        const actor = async () => {
          const { maintenance } = installed.current
          const { maintainer } = await maintenance.enter("concurrent")
          await maintenance.leave()
          return maintainer
        }
        const window = async () => {
          const { mode, maintainer, reason } = await installed.current.maintenance.status()
          return { mode, maintainer, reason }
        }
        const normal = { mode: "normal", maintainer: undefined, reason: undefined }

        it("@AsMaintainer runs a method to its end as the named user", async () => {
          const { Catalog } = services().decorated(decorators)
          expect(await new Catalog("bob").asAlice(actor)).to.equal("alice")
        })

        it("@AsMaintainer takes the user from the object", async () => {
          const { Catalog } = services().decorated(decorators)
          expect(await new Catalog("bob").asOwner(actor)).to.equal("bob")
        })

        it("@AsMaintainer takes the user from the arguments", async () => {
          const { Catalog } = services().decorated(decorators)
          expect(await new Catalog("bob").asNamed("carol", "jones", actor)).to.equal("carol jones")
        })

        it("@AsMaintainer works on a static method", async () => {
          const { Catalog } = services().decorated(decorators)
          expect(await Catalog.ofTheClass(actor)).to.equal("alice")
        })

        it("@AsMaintainer lets the maintainer write, but not other users", async () => {
          const { dataSource, maintenance } = installed.current
          const { Catalog } = services().decorated(decorators)
          const catalog = new Catalog("bob")
          const add = () => dataSource.getRepository(Item).save({ name: `added by ${kind}` })
          await maintenance.enter("concurrent", { as: "alice" })
          expect(await rejection(() => catalog.asOwner(add))).to.be.instanceOf(WriteVetoedError)
          expect(await catalog.asAlice(add)).to.include({ name: `added by ${kind}` })
          await maintenance.leave({ as: "alice" })
        })

        it("@AsMaintainer leaves the caller's context unchanged", async () => {
          const { Catalog } = services().decorated(decorators)
          const { maintenance } = installed.current
          await maintenance.runAs("dora", async () => {
            const inside = new Catalog("bob").asAlice(async () => "done")
            expect(await actor()).to.equal("dora")
            await inside
            expect(await actor()).to.equal("dora")
          })
        })

        it("@AsMaintainer keeps a synchronous method synchronous, with its this and its arguments", () => {
          const { Catalog } = services().decorated(decorators)
          expect(new Catalog("bob").sum(1, 2, 3, 4)).to.equal("bob: 10")
        })

        it("@AsMaintainer passes on errors of the method", async () => {
          const { Catalog } = services().decorated(decorators)
          const failure = new RangeError("out of stock")
          expect(caught(() => new Catalog("bob").fail(failure))).to.equal(failure)
          expect(await rejection(() => new Catalog("bob").failLater(failure))).to.equal(failure)
        })

        it("@AsMaintainer rejects an invalid user when the method is called", async () => {
          const { Catalog } = services().decorated(decorators)
          const error = await rejection(async () => new Catalog("").asOwner(actor))
          expect(error).to.be.instanceOf(MaintenanceInputError)
          expect(error.message).to.include("1 to 200 characters").and.include("is empty")
        })

        it("@AsMaintainer on a class wraps the class's own methods", async () => {
          const { Clerk } = services().decorated(decorators)
          expect(await new Clerk("bob").own(actor)).to.equal("alice")
        })

        it("@AsMaintainer on a class wraps methods with symbol keys", async () => {
          const { Clerk } = services().decorated(decorators)
          expect(
            await installed.current.maintenance.runAs("dora", () =>
              new Clerk("bob")[services().nameless](actor),
            ),
          ).to.equal("alice")
        })

        it("@AsMaintainer on a class does not wrap inherited methods, static methods, getters and fields", async () => {
          const { Clerk } = services().decorated(decorators)
          const { maintenance } = installed.current
          const clerk = new Clerk("bob")
          expect(await maintenance.runAs("dora", () => clerk.inherited(actor))).to.equal("dora")
          expect(await maintenance.runAs("dora", () => Clerk.ofTheClass(actor))).to.equal("dora")
          expect(clerk.initial).to.equal("b")
          expect(clerk.owner).to.equal("bob")
          expect(clerk).to.be.instanceOf(Clerk)
        })

        it("@DuringMaintenance enters, runs the method as the maintainer, and leaves", async () => {
          const { dataSource } = installed.current
          const { Catalog } = services().decorated(decorators)
          const stored = await new Catalog("bob").rebuild(async () => {
            expect(await window()).to.deep.equal({
              mode: "concurrent",
              maintainer: "alice",
              reason: "rebuild the catalog",
            })
            return dataSource.getRepository(Item).save({ name: `rebuilt by ${kind}` })
          })
          expect(stored).to.include({ name: `rebuilt by ${kind}` })
          expect(await window()).to.deep.equal(normal)
        })

        it("@DuringMaintenance takes the maintainer from the object and the arguments", async () => {
          const { Catalog } = services().decorated(decorators)
          expect(await new Catalog("bob").rebuildFor("carol", window)).to.deep.equal({
            mode: "exclusive",
            maintainer: "carol of bob",
            reason: undefined,
          })
          expect(await window()).to.deep.equal(normal)
        })

        it("@DuringMaintenance enters as the current user by default", async () => {
          const { Catalog } = services().decorated(decorators)
          const rebuild = () => new Catalog("bob").rebuildForWhoeverCalls(window)
          expect(await installed.current.maintenance.runAs("dora", rebuild)).to.deep.equal({
            mode: "exclusive",
            maintainer: "dora",
            reason: undefined,
          })
          expect(await window()).to.deep.equal(normal)
        })

        it("@DuringMaintenance leaves when the method throws, and passes on the error", async () => {
          const { Catalog } = services().decorated(decorators)
          const failure = new RangeError("out of stock")
          expect(await rejection(() => new Catalog("bob").failInMaintenance(failure))).to.equal(failure)
          expect(await window()).to.deep.equal(normal)
        })

        it("@DuringMaintenance does not run the method while another user holds a window", async () => {
          const { maintenance } = installed.current
          const { Catalog } = services().decorated(decorators)
          await maintenance.enter("concurrent", { as: "bob" })
          const error = await rejection(() => new Catalog("bob").rebuild(() => expect.fail("the method ran")))
          expect(error).to.be.instanceOf(NotMaintainerError)
          expect(await window()).to.deep.equal({ mode: "concurrent", maintainer: "bob", reason: undefined })
          await maintenance.leave({ as: "bob" })
        })

        it("@DuringMaintenance on a class wraps every method", async () => {
          const { Janitor } = services().decorated(decorators)
          const held = { mode: "exclusive", maintainer: "carol", reason: undefined }
          expect(await new Janitor("carol").sweep(window)).to.deep.equal(held)
          expect(await new Janitor("carol").mop(window)).to.deep.equal(held)
          expect(await window()).to.deep.equal(normal)
        })

        it("keep the name and the length of methods", () => {
          const { Catalog, Clerk } = services().decorated(decorators)
          const shape = ({ name, length }: { name: string; length: number }) => ({ name, length })
          expect(shape(Catalog.prototype.asAlice)).to.deep.equal({ name: "asAlice", length: 1 })
          expect(shape(Catalog.prototype.asNamed)).to.deep.equal({ name: "asNamed", length: 3 })
          expect(shape(Catalog.prototype.sum)).to.deep.equal({ name: "sum", length: 2 })
          expect(shape(Catalog.prototype.rebuildFor)).to.deep.equal({ name: "rebuildFor", length: 2 })
          expect(shape(Catalog.ofTheClass)).to.deep.equal({ name: "ofTheClass", length: 1 })
          expect(shape(Clerk.prototype.own)).to.deep.equal({ name: "own", length: 1 })
        })

        it("keep methods writable, configurable and non-enumerable", () => {
          const { Catalog, Clerk } = services().decorated(decorators)
          const flags = { writable: true, configurable: true, enumerable: false }
          expect(Object.getOwnPropertyDescriptor(Catalog.prototype, "asAlice")).to.include(flags)
          expect(Object.getOwnPropertyDescriptor(Clerk.prototype, "own")).to.include(flags)
        })
      })

      describe("on several installed plugins", () => {
        const database = useDatabase()
        const url = () => database.current.url

        it("@DuringMaintenance without the maintenance option rejects, and the error says what to do", async () => {
          const { Catalog } = services().decorated(decorators)
          await withMaintenance(url(), {}, ({ maintenance }) =>
            withMaintenance(url(), { plugin: { schema: "maintenance_of_another" } }, async () => {
              const before = await maintenance.status()
              const error = await rejection(() =>
                new Catalog("bob").rebuild(() => expect.fail("the method ran")),
              )
              expect(error).to.be.instanceOf(MaintenanceSetupError)
              expect(error.message)
                .to.include("cannot choose a DataSource, because several have maintenance mode")
                .and.include("@DuringMaintenance(mode, { maintenance: () => ... })")
              expect(await maintenance.status()).to.deep.equal(before)
            }),
          )
        })

        it("@AsMaintainer works without knowing any of them", async () => {
          const { Catalog } = services().decorated(decorators)
          await withMaintenance(url(), {}, ({ maintenance }) =>
            withMaintenance(url(), {}, async () => {
              const ask = () => maintenance.enter("concurrent")
              expect(await new Catalog("bob").asAlice(ask)).to.include({ maintainer: "alice" })
              await maintenance.leave({ as: "alice" })
            }),
          )
        })
      })

      describe("without an installed plugin", () => {
        it("@DuringMaintenance rejects, and the error says what to do", async () => {
          const { Catalog } = services().decorated(decorators)
          const error = await rejection(() => new Catalog("bob").rebuild(() => expect.fail("the method ran")))
          expect(error).to.be.instanceOf(MaintenanceSetupError)
          expect(error.message)
            .to.include("Maintenance mode is not installed in this process")
            .and.include("installMaintenance(dataSource)")
        })

        it("@AsMaintainer still runs the method", () => {
          const { Catalog } = services().decorated(decorators)
          expect(new Catalog("bob").sum(1, 2)).to.equal("bob: 3")
        })
      })
    })
  }

  describe("on several installed plugins", () => {
    const database = useDatabase()

    it("@DuringMaintenance uses the given plugin, even if that is installed later", async () => {
      await withMaintenance(database.current.url, {}, ({ maintenance }) =>
        withMaintenance(
          database.current.url,
          { plugin: { schema: "maintenance_of_another" } },
          async ({ maintenance: another }) => {
            class Catalog {
              @DuringMaintenance("exclusive", { as: "alice", maintenance: () => another })
              async rebuild(): Promise<string[]> {
                return Promise.all([maintenance.status(), another.status()]).then((all) =>
                  all.map(({ mode }) => mode),
                )
              }
            }
            expect(await new Catalog().rebuild()).to.deep.equal(["normal", "exclusive"])
          },
        ),
      )
    })

    it("@DuringMaintenance finds the only remaining plugin after an uninstallation", async () => {
      const gone = installMaintenance(newDataSource(database.current.url))
      await gone.uninstall()
      await withMaintenance(database.current.url, {}, async ({ maintenance }) => {
        class Catalog {
          @DuringMaintenance("concurrent", { as: "alice" })
          async rebuild(): Promise<string> {
            return (await maintenance.status()).mode
          }
        }
        expect(await new Catalog().rebuild()).to.equal("concurrent")
      })
    })
  })

  describe("combined with other decorators", () => {
    const database = useDatabase()

    it("keep the compiler's metadata of the method", () => {
      class Stock {
        @AsMaintainer("alice")
        async move(_item: Item, _count: number): Promise<string> {
          return "moved"
        }
      }
      const metadata = (key: string) => Reflect.getMetadata(key, Stock.prototype, "move") as unknown
      expect(metadata("design:type")).to.equal(Function)
      expect(metadata("design:paramtypes")).to.deep.equal([Item, Number])
      expect(metadata("design:returntype")).to.equal(Promise)
    })

    it("keep the metadata and the properties of other decorators on the method, above and below", () => {
      class Stock {
        @marked("above")
        @AsMaintainer("alice")
        @marked("below")
        move(): string {
          return "moved"
        }
      }
      const move = Stock.prototype.move as unknown as Record<string, unknown> & object
      expect(Reflect.getOwnMetadata("mark:below", move)).to.equal("below")
      expect(Reflect.getOwnMetadata("mark:above", move)).to.equal("above")
      expect(move).to.include({ below: "below", above: "above" })
      expect(new Stock().move()).to.equal("moved")
    })

    it("keep the metadata of a class and its methods", () => {
      @DuringMaintenance("concurrent")
      @marked("stock")
      class Stock {
        constructor(readonly owner: Item) {}

        @marked("below")
        move(_count: number): string {
          return "moved"
        }
      }
      expect(Reflect.getOwnMetadata("mark:stock", Stock)).to.equal("stock")
      expect(Reflect.getOwnMetadata("design:paramtypes", Stock)).to.deep.equal([Item])
      expect(Reflect.getMetadata("design:paramtypes", Stock.prototype, "move")).to.deep.equal([Number])
      expect(Reflect.getOwnMetadata("mark:below", Stock.prototype.move)).to.equal("below")
    })

    it("can be stacked, and the innermost user counts", async () => {
      await withMaintenance(database.current.url, {}, async ({ maintenance }) => {
        class Stock {
          @DuringMaintenance("concurrent", { as: "alice" })
          @AsMaintainer("bob")
          async add(): Promise<unknown> {
            return maintenance.leave()
          }
        }
        const error = await rejection(() => new Stock().add())
        expect(error).to.be.instanceOf(NotMaintainerError)
        expect(error).to.include({ maintainer: "alice", mode: "concurrent" })
        expect(await maintenance.status()).to.include({ mode: "normal" })
      })
    })
  })

  describe("called as functions", () => {
    type Decorate = (target: unknown, context: unknown, third?: unknown) => unknown
    const asMaintainer = AsMaintainer("alice") as Decorate
    const context = (kind: string, name: string | symbol = "move") => ({
      kind,
      name,
      static: false,
      private: false,
      metadata: {},
      addInitializer: () => undefined,
    })

    it("return the replacement of a method, as the standard requires", () => {
      function move(this: { owner: string }, count: number) {
        return `${this.owner} moved ${count}`
      }
      const replacement = asMaintainer(move, context("method")) as typeof move
      expect(replacement).not.to.equal(move)
      expect(replacement.call({ owner: "bob" }, 2)).to.equal("bob moved 2")
    })

    it("keep the properties, the symbols and the metadata of a standard method", () => {
      const route = Symbol("route")
      const move = Object.assign(() => "moved", { [route]: "/move", verb: "POST" })
      Reflect.defineMetadata("role", "clerk", move)
      const replacement = asMaintainer(move, context("method")) as typeof move
      expect(replacement).to.include({ [route]: "/move", verb: "POST" })
      expect(Reflect.getOwnMetadata("role", replacement)).to.equal("clerk")
    })

    it("return nothing for a class, which stays the same class", () => {
      class Stock {
        move(): string {
          return "moved"
        }
      }
      const { move } = Stock.prototype
      expect(asMaintainer(Stock, context("class", "Stock"))).to.equal(undefined)
      expect(Stock.prototype.move).not.to.equal(move)
      expect(new Stock().move()).to.equal("moved")
    })

    for (const kind of ["field", "accessor", "getter", "setter"]) {
      it(`reject a standard ${kind}`, () => {
        const error = caught(() => asMaintainer(undefined, context(kind, Symbol("total"))))
        expect(error).to.be.instanceOf(MaintenanceSetupError)
        expect(error.message).to.equal(
          "@AsMaintainer is for methods and classes, but Symbol(total) is not a method.",
        )
      })
    }

    it("reject the parameter of a method", () => {
      class Stock {
        move(): void {}
      }
      for (const position of [0, 1]) {
        const error = caught(() => asMaintainer(Stock.prototype, "move", position))
        expect(error).to.be.instanceOf(MaintenanceSetupError)
        expect(error.message).to.include("@AsMaintainer is for methods and classes")
      }
    })

    it("reject the parameter of a constructor, and leave the class unchanged", () => {
      class Stock {
        move(): void {}
      }
      const { move } = Stock.prototype
      for (const position of [0, 1]) {
        const error = caught(() => asMaintainer(Stock, undefined, position))
        expect(error).to.be.instanceOf(MaintenanceSetupError)
        expect(error.message).to.include("@AsMaintainer is for methods and classes")
      }
      expect(Stock.prototype.move).to.equal(move)
    })
  })
})

/** Compiles the same services with the standard decorators of ECMAScript. Returns the path of the file. */
function useStandardBuild(): () => string {
  let folder: string | undefined
  before(() => {
    folder = temporaryFolder("maintenance-standard-decorators-")
    const tsc = join(root, "node_modules", "typescript", "bin", "tsc")
    const project = join(root, "test/contract/standard-decorators")
    execFileSync(process.execPath, [tsc, "-p", project, "--outDir", folder], {
      env: { ...process.env, NODE_OPTIONS: "" },
      stdio: ["ignore", "inherit", "inherit"],
    })
  })
  after(() => {
    if (folder) rmSync(folder, { recursive: true, force: true })
  })
  return () => {
    if (!folder) throw new Error("The services are compiled only while tests run.")
    return join(folder, "test/contract/standard-decorators/services.js")
  }
}

/** A decorator that marks its target with a property and with metadata. */
function marked(mark: string) {
  return (target: object, _key?: string | symbol, descriptor?: PropertyDescriptor): void => {
    const decoratee = (descriptor?.value ?? target) as object
    Object.defineProperty(decoratee, mark, { value: mark, enumerable: true })
    Reflect.defineMetadata(`mark:${mark}`, mark, decoratee)
  }
}

/** The error that a call throws before it returns. */
function caught(work: () => unknown): Error {
  try {
    work()
  } catch (error) {
    return error as Error
  }
  return expect.fail("nothing was thrown")
}

/**
 * The error that a promise rejects with. A call that throws instead of returning a promise fails the test.
 */
async function rejection(work: () => unknown): Promise<Error> {
  const promise = work()
  try {
    await promise
  } catch (error) {
    return error as Error
  }
  return expect.fail("nothing was thrown")
}
