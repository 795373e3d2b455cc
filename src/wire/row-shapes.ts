import type { Field, RowResult } from "./protocol"

interface Shape {
  readonly names: readonly string[]
  /** What pg copies for each row. */
  readonly emptyRow: object
}

/** More texts than this are those of an application that never repeats any. */
const maxTexts = 500
/** Longer texts, and those with more columns, are seldom repeated, and would be kept in memory. */
const maxTextLength = 10_000
const maxColumns = 200

/**
 * What rows look like, by the text that returned them. pg works it out for each query anew, which takes longer than all
 * that this package does for one.
 */
export class RowShapes {
  readonly #shapes = new Map<string, Shape>()

  /**
   * Prepares a result for rows with these fields, as its own `addFields` does (pg 8.11 to 8.23, `lib/result.js`); returns
   * whether they are known.
   */
  describe(result: RowResult, fields: Field[], text: string): boolean {
    const types = result._types
    const known = this.#shapes.get(text)
    if (!known || !types || !isOf(known, fields)) return false
    result.fields = fields
    // How a value is read may be set anew at any time.
    result._parsers = fields.map(({ dataTypeID, format }) =>
      types.getTypeParser(dataTypeID, format || "text"),
    )
    result._prebuiltEmptyResultObject = known.emptyRow
    return true
  }

  /** Has pg prepare a result for rows with these fields, and remembers it, unless somebody has taught pg other names. */
  learn(result: RowResult, fields: readonly Field[], text: string, prepare: () => void): void {
    const names = fields.map(({ name }) => name)
    prepare()
    const { _prebuiltEmptyResultObject: emptyRow } = result
    if (!emptyRow || text.length > maxTextLength || names.length > maxColumns) return
    if (!isOf({ names, emptyRow }, result.fields)) return
    if (this.#shapes.size >= maxTexts) this.#shapes.clear()
    // Copied, for a part of a long string keeps all of it in memory; frozen, for every result shows it.
    this.#shapes.set(Buffer.from(text).toString(), { names, emptyRow: Object.freeze(emptyRow) })
  }
}

function isOf({ names }: Shape, fields: readonly Field[]): boolean {
  return names.length === fields.length && fields.every(({ name }, index) => name === names[index])
}
