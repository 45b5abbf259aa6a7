// Replaces the parts of the page that changed, once a second. The server renders; this only carries.
const root = document.getElementById("live");
const EVERY_MS = 1000;
const PATIENCE_MS = 4000;
const served = new Map();
let heardAt = Date.now();

function held(part) {
  // Someone is copying from it: do not pull it away.
  const selection = window.getSelection();
  return Boolean(selection && !selection.isCollapsed && part.contains(selection.anchorNode));
}

function keepState(from, to) {
  for (const old of from.querySelectorAll("details[id]")) {
    const next = to.querySelector(`#${CSS.escape(old.id)}`);
    if (next) next.open = old.open;
  }
}

function replace(old, next) {
  const scrolled = [...old.querySelectorAll(".scroll[id]")].map((box) => [box.id, box.scrollLeft]);
  const focused = old.contains(document.activeElement) ? document.activeElement : null;
  const place = focused ? [...old.querySelectorAll("a,summary")].indexOf(focused) : -1;
  keepState(old, next);
  old.replaceWith(next);
  for (const [id, left] of scrolled) {
    const box = document.getElementById(id);
    if (box) box.scrollLeft = left;
  }
  if (place >= 0) next.querySelectorAll("a,summary")[place]?.focus({ preventScroll: true });
}

function show(text) {
  const page = new DOMParser().parseFromString(text, "text/html");
  for (const next of page.querySelectorAll("[data-part]")) {
    const name = next.dataset.part;
    const old = root.querySelector(`[data-part="${CSS.escape(name)}"]`);
    const html = next.outerHTML;
    if (!old || served.get(name) === html || held(old)) continue;
    served.set(name, html);
    if (next.dataset.title) document.title = next.dataset.title;
    if (next.dataset.icon) document.getElementById("icon").href = `/static/icon-${next.dataset.icon}.svg`;
    replace(old, document.adoptNode(next));
  }
}

function lost() {
  // The console itself does not answer: what is shown is the past, and says so.
  const seconds = Math.round((Date.now() - heardAt) / 1000);
  document.body.classList.add("lost");
  document.title = "No console · fivenines";
  document.getElementById("icon").href = "/static/icon-blind.svg";
  let note = document.getElementById("lost");
  if (!note) {
    note = document.createElement("p");
    note.id = "lost";
    note.setAttribute("role", "alert");
    document.body.prepend(note);
  }
  note.textContent = `The console does not answer. What you see is ${seconds} s old.`;
  served.clear();
}

async function tick() {
  if (document.visibilityState === "hidden") return;
  try {
    const answer = await fetch(root.dataset.live, { cache: "no-store", signal: AbortSignal.timeout(PATIENCE_MS) });
    if (answer.status !== 200) throw new Error(`status ${answer.status}`);
    show(await answer.text());
    heardAt = Date.now();
    document.body.classList.remove("lost");
    document.getElementById("lost")?.remove();
  } catch {
    lost();
  }
}

async function run() {
  for (;;) {
    await tick();
    await new Promise((resolve) => setTimeout(resolve, EVERY_MS));
  }
}

if (root) run();
