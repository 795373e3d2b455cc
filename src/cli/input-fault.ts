/** Thrown when the arguments of a command make no sense. Nothing was done. */
export class InputFault extends Error {
  /** The command that the user may have meant, if there is one. */
  readonly next: string | undefined

  constructor(message: string, { next, ...options }: ErrorOptions & { readonly next?: string } = {}) {
    super(message, options)
    this.next = next
  }

  override get name(): string {
    return "InputFault"
  }
}
