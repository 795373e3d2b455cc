// A process in which an instrument has patched pg, and which opens doors. Its arguments are the name of the
// instrument and the URL of the shop.
import "reflect-metadata"
import { type InstrumentName, instruments } from "./instruments"

const [name = "", url = ""] = process.argv.slice(2)
const instrument = instruments[name as InstrumentName]()
// Loads pg, so it must be loaded after the instrument.
void (require("./opener") as typeof import("./opener")).openDoors(instrument, url)
