// Loaded by --require: the same built tests, and the package itself, run on TypeORM 0.3.
const Module = require("node:module")

const resolve = Module._resolveFilename
Module._resolveFilename = function (request, ...rest) {
  const redirected = /^typeorm(?=$|\/)/.test(request) ? request.replace("typeorm", "typeorm-0.3") : request
  return resolve.call(this, redirected, ...rest)
}
