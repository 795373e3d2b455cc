// Keeps the page current by server-sent events. Without this script the page works as forms.
const page = document.documentElement
const said = document.getElementById("said")
const link = document.getElementById("link")

/** Parts that came while somebody was using the one that is shown, by their ids. */
const later = new Map()

/** Whether somebody is using a part: a form is being filled in, or the focus is on one of its controls. */
function isUsed(part) {
  return part.dataset.touched || part.contains(document.activeElement)
}

/** Replaces a part of the page, unless somebody is using it. */
function replace(id, html) {
  const part = document.getElementById(id)
  if (!part) return
  if (isUsed(part)) {
    later.set(id, html)
    return
  }
  later.delete(id)
  const scrolled = part.querySelector(".scroll")?.scrollLeft
  const isOpen = part.querySelector("details")?.open
  part.outerHTML = html
  const shown = document.getElementById(id)
  const scroll = shown.querySelector(".scroll")
  if (scroll && scrolled) scroll.scrollLeft = scrolled
  const details = shown.querySelector("details")
  if (details && isOpen) details.open = true
  show()
}

/** Counts down, moves bars, and shows times in the zone of the browser. */
function show() {
  for (const time of document.querySelectorAll("time[data-count]")) {
    const seconds = Math.round(Math.abs(new Date(time.dateTime) - Date.now()) / 1000)
    time.textContent = inWords(seconds)
  }
  for (const bar of document.querySelectorAll("progress[data-until]")) {
    const from = new Date(bar.dataset.from).getTime()
    const until = new Date(bar.dataset.until).getTime()
    bar.value = Math.min(1, Math.max(0, (Date.now() - from) / (until - from)))
  }
  for (const time of document.querySelectorAll("time[data-clock]")) {
    const at = new Date(time.dateTime)
    time.textContent = clock(at)
    time.title = at.toLocaleString()
    time.removeAttribute("data-clock")
  }
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

function inWords(seconds) {
  if (seconds < 60) return `${seconds} s`
  if (seconds < 3600) return `${Math.floor(seconds / 60)} m ${seconds % 60} s`
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} m`
  return `${Math.floor(seconds / 86400)} d ${Math.floor((seconds % 86400) / 3600)} h`
}

// A form that somebody has begun to fill in stays as it is until it is sent.
document.addEventListener("input", (event) => {
  const part = event.target.closest("section[id]")
  if (part) part.dataset.touched = "true"
})
document.addEventListener("focusout", () => {
  setTimeout(() => {
    for (const [id, html] of later) replace(id, html)
  })
})
document.addEventListener("submit", (event) => {
  const form = event.target
  // A form is sent once.
  if (form.dataset.sent) {
    event.preventDefault()
    return
  }
  form.dataset.sent = "true"
  const { zone, starts } = form.elements
  if (zone) zone.value = new Date(starts.value).getTimezoneOffset()
})
// The browser shows a page that was left and comes back as it was.
addEventListener("pageshow", (event) => {
  if (event.persisted) location.reload()
})

setInterval(show, 1000)
show()

const events = new EventSource(page.dataset.events)
events.addEventListener("part", (event) => {
  const { id, html, mode } = JSON.parse(event.data)
  page.dataset.mode = mode
  replace(id, html)
})
events.addEventListener("said", (event) => {
  said.textContent = JSON.parse(event.data)
})
/** Says whether the page is current. */
function say(text, isLive) {
  link.textContent = text
  link.toggleAttribute("data-live", isLive)
}
for (const event of ["open", "live"]) events.addEventListener(event, () => say("live", true))
events.addEventListener("outage", () =>
  say("The database does not answer. This is what it said last.", false),
)
events.addEventListener("error", () => say("not live, reconnecting", false))
// Access was withdrawn, or the server is going: the page shows what is then allowed.
events.addEventListener("closed", () => {
  events.close()
  location.reload()
})
