import type { Field, RowResult } from "./protocol"

interface Shape {
  readonly names: readonly string[]
  /** What pg copies for each row. */
  readonly emptyRow: object
}

/** More texts than this are those of an application that never repeats any. */
const maxTexts = 500
/** Longer texts are seldom repeated, and would be kept in memory. */
const maxTextLength = 10_000

/**
 * What rows look like, by the text that returned them. pg works it out for each query anew, which takes longer than all
 * that this package does for one.
 */
export class RowShapes {
  readonly #shapes = new Map<string, Shape>()

  /** Prepares a result for rows with these fields, as its own `addFields` does (pg 8.11 to 8.23, `lib/result.js`). */
  describe(result: RowResult, fields: Field[], text: string): void {
    const types = result._types
    const known = this.#shapes.get(text)
    if (!known || !types || !isOf(known, fields)) {
      result.addFields(fields)
      this.#keep(text, fields, result._prebuiltEmptyResultObject)
      return
    }
    result.fields = fields
    // How a value is read may be set anew at any time.
    result._parsers = fields.map(({ dataTypeID, format }) =>
      types.getTypeParser(dataTypeID, format || "text"),
    )
    result._prebuiltEmptyResultObject = known.emptyRow
  }

  #keep(text: string, fields: readonly Field[], emptyRow: object | null | undefined): void {
    if (!emptyRow || text.length > maxTextLength) return
    if (this.#shapes.size >= maxTexts) this.#shapes.clear()
    this.#shapes.set(text, { names: fields.map(({ name }) => name), emptyRow })
  }
}

function isOf({ names }: Shape, fields: readonly Field[]): boolean {
  return names.length === fields.length && fields.every(({ name }, index) => name === names[index])
}
