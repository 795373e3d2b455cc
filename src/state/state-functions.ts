import type { ControlConnection } from "./control-connection"
import { translateStateError } from "./translate"
import type { Priority } from "./control-queue"

/** Options for calling a function. */
interface Reading {
  /** The columns to read. Default: all. */
  readonly columns?: string | undefined
  readonly priority?: Priority | undefined
  /**
   * Maximum duration in milliseconds of a call on a connection of its own, for functions that may take long.
   * Default: the control connection.
   */
  readonly apartWithinMs?: number | undefined
}

/**
 * Calls the SQL functions of a schema over the control connection. Their refusals become errors of this
 * package.
 */
export class StateFunctions {
  readonly schema: string
  readonly #control: ControlConnection

  constructor(control: ControlConnection, schema: string) {
    this.#control = control
    this.schema = schema
  }

  /** Returns the rows of `name($1, ...)`; `undefined` becomes null. */
  async rows<Row extends object>(
    name: string,
    values: readonly unknown[] = [],
    { columns = "*", priority, apartWithinMs }: Reading = {},
  ): Promise<Row[]> {
    const parameters = values.map((_, index) => `$${index + 1}`).join(", ")
    const given = values.map((value) => value ?? null)
    const call = `select ${columns} from "${this.schema}".${name}(${parameters})`
    try {
      const { rows } =
        apartWithinMs === undefined
          ? await this.#control.query<Row>(call, given, { priority })
          : await this.#control.queryElsewhere<Row>(call, given, apartWithinMs)
      return rows
    } catch (error) {
      throw translateStateError(error, this.schema, { called: name })
    }
  }

  /** Returns the result of a function with a single value. */
  async value<T>(name: string, values: readonly unknown[] = [], priority?: Priority): Promise<T> {
    const [row] = await this.rows<Record<string, T>>(name, values, { priority })
    return (row as Record<string, T>)[name] as T
  }

  /** Runs another statement, to read what no function returns. */
  async read<Row extends object>(text: string, values: unknown[] = []): Promise<Row[]> {
    return (await this.#control.query<Row>(text, values)).rows
  }

  /** Does the same on a connection of its own, while the control connection waits for an answer. */
  async readElsewhere<Row extends object>(text: string, values: unknown[] = []): Promise<Row[]> {
    return (await this.#control.queryElsewhere<Row>(text, values)).rows
  }
}
