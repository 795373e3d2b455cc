/** Splits the data of one direction, chunk by chunk, into whole messages. */
export type Splitter = (bytes: Buffer) => Buffer[]

/** Splits the data of a server into messages: a letter, a length, and the rest. */
export function serverMessages(): Splitter {
  return splitter(1)
}

/** Splits the data of a client in the same way. Its first message has no letter. */
export function clientMessages(): Splitter {
  return splitter(0)
}

/** The letter of a message. Empty for a client's first message. */
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
