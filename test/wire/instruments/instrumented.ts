// A process of its own in which an instrument has patched pg, that opens doors. It is started with the name of the
// instrument, and the URL of the shop.
import "reflect-metadata"
import { type InstrumentName, instruments } from "./instruments"

const [name = "", url = ""] = process.argv.slice(2)
const instrument = instruments[name as InstrumentName]()
// What loads pg is loaded after that.
void (require("./opener") as typeof import("./opener")).openDoors(instrument, url)
