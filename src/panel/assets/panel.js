// Keeps the page current by server-sent events. Without this script the page works as forms.
const page = document.documentElement
const said = document.getElementById("said")
const link = document.getElementById("link")

/** Time without any event after which the connection counts as lost, in milliseconds. The server sends one every 15 s. */
const silentMs = 40_000
/** The server's time minus that of the browser, in milliseconds. */
let ahead = Number(page.dataset.now) - Date.now()

/** Parts that arrived while their form was being filled in, by their ids. */
const later = new Map()

/** Whether a button of the mouse, or a finger, is down. A click needs the same button at its end. */
let isPressed = false

/** Whether a form in the part is being filled in, or something is being clicked. */
function isUsed(part) {
  const { activeElement } = document
  const isFilledIn = part.contains(activeElement) && activeElement.matches("input, select")
  return isPressed || part.dataset.touched || isFilledIn
}

/** Loads the page anew. Not reload(), which would send a form again if this page was the answer to one. */
function start() {
  location.replace(page.dataset.home)
}

/** The controls of a part, in their order. */
function controlsOf(part) {
  return [...part.querySelectorAll("button, a, summary, [tabindex]")]
}

/** Replaces a part of the page, unless somebody is filling in its form. */
function replace(id, html) {
  const part = document.getElementById(id)
  if (!part) return
  if (isUsed(part)) {
    later.set(id, html)
    warnIfOutdated(part, html)
    return
  }
  later.delete(id)
  const scrolled = part.querySelector(".scroll")?.scrollLeft
  const isOpen = part.querySelector("details")?.open
  const focused = controlsOf(part).indexOf(document.activeElement)
  part.outerHTML = html
  const shown = document.getElementById(id)
  const scroll = shown.querySelector(".scroll")
  if (scroll && scrolled) scroll.scrollLeft = scrolled
  const details = shown.querySelector("details")
  if (details && isOpen) details.open = true
  controlsOf(shown)[focused]?.focus()
  show()
}

/** Says so if a form that is being filled in was about another window. */
function warnIfOutdated(part, html) {
  const warning = part.querySelector("[data-outdated]")
  if (!warning) return
  const fresh = document.createElement("template")
  fresh.innerHTML = html
  const windowIn = (root) => root.querySelector("input[name=windowId]")?.value
  warning.hidden = windowIn(part) === windowIn(fresh.content)
}

/** Counts, moves bars, and shows times in the zone of the browser. */
function show() {
  const now = Date.now() + ahead
  for (const time of document.querySelectorAll("time[data-count]")) {
    const ms = new Date(time.dateTime) - now
    time.textContent = inWords(Math.max(0, Math.round((time.dataset.count === "down" ? ms : -ms) / 1000)))
  }
  for (const bar of document.querySelectorAll("progress[data-until]")) {
    const from = new Date(bar.dataset.from).getTime()
    const until = new Date(bar.dataset.until).getTime()
    bar.value = Math.min(1, Math.max(0, (now - from) / (until - from)))
  }
  for (const time of document.querySelectorAll("time[data-clock]")) {
    const at = new Date(time.dateTime)
    time.textContent = clock(at)
    time.title = at.toLocaleString()
    time.removeAttribute("data-clock")
  }
  for (const zone of document.querySelectorAll("[data-zone]"))
    zone.textContent = "The time is in the zone of this browser."
}

/** A time in the zone of the browser, with the day unless it is today. */
function clock(at) {
  const time = at.toLocaleTimeString("en", { hour: "2-digit", minute: "2-digit", hourCycle: "h23" })
  const midnight = new Date().setHours(0, 0, 0, 0)
  const days = Math.round((new Date(at).setHours(0, 0, 0, 0) - midnight) / 86_400_000)
  if (days === 0) return time
  if (days === -1) return `yesterday ${time}`
  if (days === 1) return `tomorrow ${time}`
  const isNear = Math.abs(days) < 7
  return isNear
    ? `${at.toLocaleDateString("en", { weekday: "short" })} ${time}`
    : `${at.toLocaleDateString("en", { day: "numeric", month: "short", year: "numeric" })} ${time}`
}

/** A duration in its two largest units, as the server writes it. */
function inWords(seconds) {
  const units = [
    [86_400, "d", 3600, "h"],
    [3600, "h", 60, "m"],
    [60, "m", 1, "s"],
  ]
  for (const [size, name, smaller, smallerName] of units) {
    if (seconds < size) continue
    const rest = Math.floor((seconds % size) / smaller)
    return `${Math.floor(seconds / size)} ${name}${rest === 0 ? "" : ` ${rest} ${smallerName}`}`
  }
  return `${seconds} s`
}

// A form that somebody has begun to fill in stays as it is until it is sent.
document.addEventListener("input", (event) => {
  const part = event.target.closest("section[id]")
  if (part) part.dataset.touched = "true"
})
/** Shows the parts that were held back and need not be any longer. */
function showLater() {
  setTimeout(() => {
    for (const [id, html] of later) replace(id, html)
  })
}
document.addEventListener("focusout", showLater)
document.addEventListener("pointerdown", () => {
  isPressed = true
})
for (const end of ["pointerup", "pointercancel"]) {
  document.addEventListener(end, () => {
    isPressed = false
    showLater()
  })
}
document.addEventListener("submit", (event) => {
  const form = event.target
  // A form is sent once, unless nothing comes of it.
  if (form.dataset.sent) {
    event.preventDefault()
    return
  }
  form.dataset.sent = "true"
  // The form needs a connection, which a browser may not have left.
  events?.close()
  setTimeout(() => {
    delete form.dataset.sent
    connectLater()
  }, 10_000)
  const { zone, starts } = form.elements
  if (zone) zone.value = new Date(starts.value).getTimezoneOffset()
})
// The browser shows a page that was left and comes back as it was.
addEventListener("pageshow", (event) => {
  if (event.persisted) start()
})
/** Hides the outcome of an action, which is no longer what holds. */
function forgetOutcome() {
  const outcome = document.querySelector("#notice.done")
  if (outcome) outcome.hidden = true
}

/** Says whether the page is current. */
function say(text, isLive) {
  link.textContent = text
  link.toggleAttribute("data-live", isLive)
}

let events
let connecting
let heardAt = Date.now()
let waitMs = 1000

/** Connects to the events of the page. */
function connect() {
  events?.close()
  heardAt = Date.now()
  events = new EventSource(page.dataset.events)
  const listen = (name, listener) =>
    events.addEventListener(name, (event) => {
      heardAt = Date.now()
      listener(event.data ? JSON.parse(event.data) : undefined)
    })
  listen("part", ({ id, html, mode, state, now }) => {
    ahead = now - Date.now()
    page.dataset.mode = mode
    if (state !== page.dataset.state) forgetOutcome()
    page.dataset.state = state
    document.title = document.title.replace(/: [^:]*$/, `: ${state}`)
    replace(id, html)
  })
  listen("said", (text) => {
    said.textContent = text
  })
  listen("open", () => {
    waitMs = 1000
    say("live", true)
  })
  listen("live", () => say("live", true))
  listen("alive", () => undefined)
  listen("outage", (why) => say(`${why} The page shows the last known state.`, false))
  // The page shows what is still allowed.
  listen("revoked", start)
  listen("ending", () => connectLater())
  events.addEventListener("error", () => {
    say("Not live. Reconnecting …", false)
    if (events.readyState === EventSource.CLOSED) connectLater()
  })
}

/** Connects again after a while, because the browser does not if the server has refused or ended the connection. */
function connectLater() {
  events?.close()
  say("Not live. Reconnecting …", false)
  clearTimeout(connecting)
  connecting = setTimeout(() => void connectIfAllowed(), waitMs)
  waitMs = Math.min(30_000, waitMs * 2)
}

async function connectIfAllowed() {
  if (document.visibilityState === "hidden") return
  const answer = await fetch(page.dataset.events, { method: "HEAD" }).catch(() => undefined)
  if (document.visibilityState === "hidden") return
  if (answer?.status === 403) start()
  else if (answer?.ok) connect()
  else {
    connectLater()
    if (answer?.status === 429) say("Not live: too many pages of this panel are open. Close some.", false)
  }
}

// A browser has few connections to a host (6 with HTTP/1.1): a page that nobody sees leaves its own to others.
document.addEventListener("visibilitychange", () => {
  clearTimeout(connecting)
  if (document.visibilityState === "hidden") events?.close()
  else connect()
})

setInterval(() => {
  show()
  if (events?.readyState === EventSource.OPEN && Date.now() - heardAt > silentMs) connectLater()
}, 1000)
show()
if (document.visibilityState !== "hidden") connect()
