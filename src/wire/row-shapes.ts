import type { Field, RowResult } from "./protocol"

interface Shape {
  readonly names: readonly string[]
  /** The object that pg copies for each row. */
  readonly emptyRow: object
}

/** Maximum number of remembered texts. An application with more never repeats any. */
const maxTexts = 500
/**
 * Maximum length of a remembered text, and number of its columns. Beyond these, repetition is rare, and they
 * would stay in memory.
 */
const maxTextLength = 10_000
const maxColumns = 200

/**
 * Remembers the shape of rows by the text that returned them. pg determines it anew for each query, which
 * takes longer than all other work of this package for one.
 */
export class RowShapes {
  readonly #shapes = new Map<string, Shape>()

  /**
   * Prepares a result for rows with these fields, like its own `addFields` (pg 8.11 to 8.23,
   * `lib/result.js`). Returns whether the shape is known.
   */
  describe(result: RowResult, fields: Field[], text: string): boolean {
    const types = result._types
    const known = this.#shapes.get(text)
    if (!known || !types || !isOf(known, fields)) return false
    result.fields = fields
    // Parsers may be replaced at any time.
    result._parsers = fields.map(({ dataTypeID, format }) =>
      types.getTypeParser(dataTypeID, format || "text"),
    )
    result._prebuiltEmptyResultObject = known.emptyRow
    return true
  }

  /**
   * Lets pg prepare a result for rows with these fields, and remembers the shape, unless pg was patched to
   * use other names.
   */
  learn(result: RowResult, fields: readonly Field[], text: string, prepare: () => void): void {
    const names = fields.map(({ name }) => name)
    prepare()
    const { _prebuiltEmptyResultObject: emptyRow } = result
    if (!emptyRow || text.length > maxTextLength || names.length > maxColumns) return
    if (!isOf({ names, emptyRow }, result.fields)) return
    if (this.#shapes.size >= maxTexts) this.#shapes.clear()
    // Copied, because a slice of a long string keeps all of it in memory; frozen, because every result
    // exposes it.
    this.#shapes.set(Buffer.from(text).toString(), { names, emptyRow: Object.freeze(emptyRow) })
  }
}

function isOf({ names }: Shape, fields: readonly Field[]): boolean {
  return names.length === fields.length && fields.every(({ name }, index) => name === names[index])
}
