import { type Doors, inTransaction } from "./door"

const sequence = "PostgreSQL never rolls a sequence back"

/** Changes that PostgreSQL does not roll back, as documented. */
export const neverRolledBackDoors: Doors = {
  nextval: { run: (d) => d.query("select nextval('ticket')"), stays: sequence },
  setval: { run: (d) => d.query("select setval('ticket', 7)"), stays: sequence },
  "nextval in a transaction": {
    run: inTransaction((manager) => manager.query("select nextval('ticket')")),
    stays: sequence,
  },
  pg_notify: {
    run: (d) => d.query("select pg_notify('shop', 'x')"),
    inConcurrent: "as in plain TypeORM",
    changesNothing: "a notification is stored nowhere",
    stays: "NOTIFY is an effect outside of the transaction",
  },
  NOTIFY: {
    run: inTransaction((manager) => manager.query("notify shop, 'x'")),
    inConcurrent: "as in plain TypeORM",
    changesNothing: "a notification is stored nowhere",
    stays: "NOTIFY is an effect outside of the transaction",
  },
}
