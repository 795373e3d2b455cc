/** Splits what flows in one direction, piece by piece, into whole messages. */
export type Splitter = (bytes: Buffer) => Buffer[]

/** Splits what a server sends: messages of a letter, a length, and the rest. */
export function serverMessages(): Splitter {
  return splitter(1)
}

/** Splits what a client sends: as a server does, but that the first message has no letter. */
export function clientMessages(): Splitter {
  return splitter(0)
}

/** The letter of a message; empty for the first of a client. */
export function letterOf(message: Buffer): string {
  return message.readUInt32BE(0) === message.length ? "" : String.fromCharCode(message[0] as number)
}

function splitter(letters: 0 | 1): Splitter {
  let pending: Buffer = Buffer.alloc(0)
  let lengthAt: number = letters
  return (bytes) => {
    pending = Buffer.concat([pending, bytes])
    const messages: Buffer[] = []
    while (pending.length >= lengthAt + 4) {
      const end = lengthAt + pending.readUInt32BE(lengthAt)
      if (pending.length < end) break
      messages.push(pending.subarray(0, end))
      pending = pending.subarray(end)
      lengthAt = 1
    }
    return messages
  }
}
