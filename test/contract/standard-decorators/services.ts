// Compiled twice: with the tests' own build as legacy decorators, and by decorators.test.ts as standard ones.

/** The decorators are handed in, so that both builds decorate with one copy of the package. */
export type Decorators = Pick<typeof import("../../../src"), "AsMaintainer" | "DuringMaintenance">

/** Finds out something about the context in which a method runs. */
export type Ask = () => Promise<unknown>

type Misplaced = (target: unknown, keyOrContext: unknown, descriptor?: unknown) => void

/** The key of a method that has no name. */
export const nameless = Symbol("nameless")

const aTurn = () => new Promise((resolve) => setImmediate(resolve))

/** Classes that are decorated in all the ways that are allowed. */
export function decorated({ AsMaintainer, DuringMaintenance }: Decorators) {
  class Catalog {
    readonly #owner: string

    constructor(owner: string) {
      this.#owner = owner
    }

    @AsMaintainer("alice")
    async asAlice(ask: Ask): Promise<unknown> {
      await Promise.resolve()
      await aTurn()
      return ask()
    }

    @AsMaintainer((self: Catalog) => self.#owner)
    async asOwner(ask: Ask): Promise<unknown> {
      return ask()
    }

    @AsMaintainer((_self: Catalog, first: string, last: string) => `${first} ${last}`)
    async asNamed(_first: string, _last: string, ask: Ask): Promise<unknown> {
      return ask()
    }

    @AsMaintainer("alice")
    sum(one: number, other: number, ...more: number[]): string {
      return `${this.#owner}: ${more.reduce((sum, next) => sum + next, one + other)}`
    }

    @AsMaintainer("alice")
    fail(error: Error): never {
      throw error
    }

    @AsMaintainer("alice")
    async failLater(error: Error): Promise<never> {
      await aTurn()
      throw error
    }

    @AsMaintainer("alice")
    static async ofTheClass(ask: Ask): Promise<unknown> {
      return ask()
    }

    @DuringMaintenance("concurrent", { as: "alice", reason: "rebuild the catalog" })
    async rebuild(ask: Ask): Promise<unknown> {
      await aTurn()
      return ask()
    }

    @DuringMaintenance("exclusive", { as: (self: Catalog, first: string) => `${first} of ${self.#owner}` })
    async rebuildFor(_first: string, ask: Ask): Promise<unknown> {
      return ask()
    }

    @DuringMaintenance("exclusive")
    async rebuildForWhoeverCalls(ask: Ask): Promise<unknown> {
      return ask()
    }

    @DuringMaintenance("concurrent", { as: "alice" })
    failInMaintenance(error: Error): never {
      throw error
    }
  }

  class Desk {
    async inherited(ask: Ask): Promise<unknown> {
      return ask()
    }
  }

  @AsMaintainer("alice")
  class Clerk extends Desk {
    static async ofTheClass(ask: Ask): Promise<unknown> {
      return ask()
    }

    constructor(readonly owner: string) {
      super()
    }

    get initial(): string {
      return this.owner.slice(0, 1)
    }

    async own(ask: Ask): Promise<unknown> {
      await aTurn()
      return ask()
    }

    async [nameless](ask: Ask): Promise<unknown> {
      return ask()
    }
  }

  @DuringMaintenance("exclusive", { as: (self: Janitor) => self.owner })
  class Janitor {
    constructor(readonly owner: string) {}

    async sweep(ask: Ask): Promise<unknown> {
      return ask()
    }

    async mop(ask: Ask): Promise<unknown> {
      return ask()
    }
  }

  return { Catalog, Clerk, Janitor }
}

/** Declares classes with a decorator where it cannot be; each throws as the class is defined. */
export function misplaced({ AsMaintainer, DuringMaintenance }: Decorators) {
  const asMaintainer = AsMaintainer("alice") as Misplaced
  const duringMaintenance = DuringMaintenance("concurrent") as Misplaced
  return {
    property() {
      class Table {
        @asMaintainer
        rows = 1
      }
      return Table
    },
    arrowFunction() {
      class Table {
        @asMaintainer
        rows = () => 1
      }
      return Table
    },
    getter() {
      class Table {
        @asMaintainer
        get rows(): number {
          return 1
        }
      }
      return Table
    },
    setter() {
      class Table {
        @asMaintainer
        set rows(_value: number) {}
      }
      return Table
    },
    accessor() {
      class Table {
        @asMaintainer
        accessor rows = 1
      }
      return Table
    },
    generator() {
      class Table {
        @asMaintainer
        *rows() {
          yield 1
        }
      }
      return Table
    },
    asyncGenerator() {
      class Table {
        @asMaintainer
        async *rows() {
          yield 1
        }
      }
      return Table
    },
    classWithGenerator() {
      @AsMaintainer("alice")
      class Table {
        *rows() {
          yield 1
        }
      }
      return Table
    },
    propertyDuring() {
      class Table {
        @duringMaintenance
        rows = 1
      }
      return Table
    },
    getterDuring() {
      class Table {
        @duringMaintenance
        get rows(): number {
          return 1
        }
      }
      return Table
    },
    generatorDuring() {
      class Table {
        @duringMaintenance
        async *rows() {
          yield 1
        }
      }
      return Table
    },
  }
}
