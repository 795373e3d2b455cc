import { randomOf } from "../race/shops"

/** Decisions determined by a seed: the same questions in the same order get the same answers. */
export class Dice {
  readonly #random: () => number

  constructor(seed: number) {
    this.#random = randomOf(seed)
  }

  chance(probability: number): boolean {
    return this.#random() < probability
  }

  /** An integer from `low` to `high`, both included. */
  between(low: number, high: number): number {
    return low + Math.floor(this.#random() * (high - low + 1))
  }

  pick<Item>(list: readonly Item[]): Item {
    return list[this.between(0, list.length - 1)] as Item
  }

  /** One of the names, with probabilities by weight. */
  weighted<Name extends string>(weights: Readonly<Record<Name, number>>): Name {
    const names = Object.keys(weights) as Name[]
    let left = this.#random() * names.reduce((sum, name) => sum + weights[name], 0)
    return names.find((name) => (left -= weights[name]) < 0) ?? (names[0] as Name)
  }
}
