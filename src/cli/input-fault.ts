/** Thrown when the arguments of a command make no sense. Nothing was done. */
export class InputFault extends Error {
  override get name(): string {
    return "InputFault"
  }
}
