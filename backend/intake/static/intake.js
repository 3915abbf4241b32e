// Uploads in small parts and a progress that keeps itself up to date. Every page works without this file.
"use strict";

document.documentElement.classList.add("scripted");

const PART_BYTES = 16 * 2 ** 20;
const PART_FILES = 20;
const LITTER = /(^|\/)(\.|__MACOSX(\/|$)|thumbs\.db$|desktop\.ini$)/i;
const token = document.querySelector('meta[name="csrf-token"]').content;

// Progress: the server renders it; a fragment is put in place only when it differs, so that focus and selection stay.

const progress = document.getElementById("progress");
const failures = document.getElementById("failures");
const collection = document.getElementById("collection");
const pilots = document.getElementById("pilots");
const names = new Map(); // photo id -> the manager's own file name: known to this page alone, gone when it is closed
let soon = 0;

async function fragment(element) {
  const answer = await fetch(element.dataset.poll, { headers: { Accept: "text/html" }, redirect: "error" });
  if (!answer.ok) throw new Error(answer.statusText);
  return answer;
}

async function refresh() {
  const answer = await fragment(progress);
  const html = await answer.text();
  if (progress.innerHTML !== html) progress.innerHTML = html;
  progress.dataset.underWay = answer.headers.get("X-Under-Way");
  if (collection && !collection.hidden) await refreshCollection();
  if (pilots && pilots.querySelector('[data-under-way="1"]')) await refreshPilots();
  const failed = answer.headers.get("X-Failed");
  if (failed !== progress.dataset.failed && !failures.contains(document.activeElement)) {
    failures.innerHTML = await (await fragment(failures)).text();
    failures.hidden = failed === "0";
    progress.dataset.failed = failed;
    showNames();
  }
}

// Piece by piece, so that a button that has the focus and a list that was scrolled stay where they are.
async function refreshCollection() {
  const fresh = document.createElement("template");
  fresh.innerHTML = await (await fragment(collection)).text();
  for (const piece of [...fresh.content.children]) {
    const present = document.getElementById(piece.id);
    if (present && present.tagName === "FORM") present.hidden = piece.hidden; // its token alone is new every time
    else if (present && !present.isEqualNode(piece)) present.replaceWith(piece);
  }
}

// Compared by what is read: the forms' tokens are new every time. One that ends may be followed by another, so that the
// page with its form is asked for anew.
async function refreshPilots() {
  const fresh = document.createElement("template");
  fresh.innerHTML = await (await fragment(pilots)).text();
  if (!fresh.content.querySelector('[data-under-way="1"]')) location.reload();
  else if (fresh.content.textContent !== pilots.textContent) pilots.replaceChildren(...fresh.content.childNodes);
}

function showNames() {
  for (const row of failures.querySelectorAll("[data-photo]")) {
    const name = names.get(row.dataset.photo);
    if (name) row.cells[0].append(document.createElement("br"), name);
  }
}

function poll() {
  const busy = soon > 0 || progress.dataset.underWay !== "0";
  soon -= 1;
  setTimeout(async () => {
    try {
      if (!document.hidden) await refresh();
    } catch {
      // The next round tries again; a page that has lost its session says so on the next click.
    }
    poll();
  }, busy ? 1500 : 10000);
}

if (progress) poll();

// Handing in

const form = document.getElementById("upload");

function show(id, text) {
  document.getElementById(id).textContent = text;
}

function outcome(name, word, tone, why) {
  const badge = Object.assign(document.createElement("span"), { className: `badge ${tone}`, textContent: word });
  const file = Object.assign(document.createElement("span"), { className: "name", textContent: name });
  const reason = Object.assign(document.createElement("span"), { className: "why", textContent: why.charAt(0).toUpperCase() + why.slice(1) });
  const line = document.createElement("li");
  line.append(badge, file, reason);
  const list = document.getElementById("outcomes");
  list.append(line);
  list.hidden = false;
}

// Files of the same name stay together: only then can the server see that one row of the CSV fits several of them.
function parts(files) {
  const base = (file) => file.path.split("/").pop();
  const sorted = [...files].sort((a, b) => base(a).localeCompare(base(b)));
  const all = [];
  let part = [];
  let bytes = 0;
  for (const file of sorted) {
    const full = part.length >= PART_FILES || bytes + file.blob.size > PART_BYTES;
    if (part.length && full && base(part[part.length - 1]) !== base(file)) {
      all.push(part);
      part = [];
      bytes = 0;
    }
    part.push(file);
    bytes += file.blob.size;
  }
  return part.length ? [...all, part] : all;
}

async function send(part, lists, total) {
  const body = new FormData();
  body.append("total", total);
  for (const { blob, path } of [...part, ...lists]) body.append("files", blob, path);
  const answer = await fetch(form.action, {
    method: "POST",
    body,
    headers: { Accept: "application/json", "X-CSRFToken": token },
  });
  const isJson = (answer.headers.get("Content-Type") || "").includes("json");
  if (!isJson) throw new Error(answer.redirected ? "You are no longer signed in. Reload the page." : "The server did not answer as expected.");
  const content = await answer.json();
  if (!answer.ok) throw new Error(content.error.message);
  return content.results;
}

function record(results, tally) {
  for (const { name, photo_id: photo, reason, note } of results) {
    tally[photo ? "accepted" : "refused"] += 1;
    if (photo) names.set(photo, name);
    if (reason) outcome(name, "Refused", "failed", reason);
    else if (note) outcome(name, "Accepted", "published", note);
  }
}

async function handIn(entries) {
  const files = entries.filter((file) => !LITTER.test(file.path));
  const isList = (file) => file.path.toLowerCase().endsWith(".csv");
  const lists = files.filter(isList);
  const photos = files.filter((file) => !isList(file));
  document.getElementById("handing").hidden = false;
  document.getElementById("outcomes").replaceChildren();
  document.getElementById("outcomes").hidden = true;
  const bar = document.getElementById("handing-bar");
  const tally = { accepted: 0, refused: 0 };
  const limit = Number(form.dataset.maxBytes);
  const bytes = photos.reduce((sum, file) => sum + file.blob.size, 0);
  let sent = 0;
  bar.value = 0;
  show("handing-title", "Handing in …");
  if (!photos.length) return show("handing-title", "There was no photo among these files.");
  for (const part of parts(photos)) {
    const size = part.reduce((sum, file) => sum + file.blob.size, 0);
    try {
      if (size > limit) throw new Error(`More than ${Math.floor(limit / 2 ** 20)} MB at once; the command line takes larger archives.`);
      record(await send(part, lists, photos.length), tally);
    } catch (error) {
      for (const file of part) outcome(file.path, "Not sent", "failed", error.message);
      tally.refused += part.length;
    }
    sent += size;
    bar.value = bytes ? sent / bytes : 1;
    show("handing-count", `${tally.accepted} accepted, ${tally.refused} refused`);
    soon = 20;
    await refresh().catch(() => {});
  }
  const verdict = tally.refused ? `${tally.accepted} accepted, ${tally.refused} not` : `All ${tally.accepted} accepted`;
  show("handing-count", "");
  return show("handing-title", `${verdict}. They are on their way.`);
}

// What was dropped has to be asked for before the first wait: the browser takes it back afterwards.
async function dropped(transfer) {
  const items = [...transfer.items].filter((item) => item.kind === "file");
  const roots = items.map((item) => (item.webkitGetAsEntry && item.webkitGetAsEntry()) || item.getAsFile());
  const found = [];
  for (const root of roots) await collect(root, found);
  return found;
}

async function collect(entry, found) {
  if (entry instanceof File) {
    found.push({ blob: entry, path: entry.name });
  } else if (entry.isFile) {
    const blob = await new Promise((done, failed) => entry.file(done, failed));
    found.push({ blob, path: entry.fullPath.replace(/^\//, "") });
  } else if (entry.isDirectory) {
    const reader = entry.createReader();
    for (;;) {
      const some = await new Promise((done, failed) => reader.readEntries(done, failed));
      if (!some.length) break;
      for (const child of some) await collect(child, found);
    }
  }
}

if (form) {
  const drop = document.getElementById("drop");
  let running = Promise.resolve();
  const queue = (entries) => {
    running = running.then(() => handIn(entries)).catch((error) => show("handing-title", error.message));
  };
  for (const button of form.querySelectorAll("[data-opens]")) {
    button.addEventListener("click", () => document.getElementById(button.dataset.opens).click());
  }
  for (const input of form.querySelectorAll('input[type="file"]')) {
    input.tabIndex = -1; // the buttons stand for them
    input.addEventListener("change", () => {
      queue([...input.files].map((blob) => ({ blob, path: blob.webkitRelativePath || blob.name })));
      input.value = "";
    });
  }
  let depth = 0;
  const hasFiles = (event) => [...event.dataTransfer.types].includes("Files");
  const over = (inside) => drop.classList.toggle("over", inside);
  // The whole page catches, so that a near miss does not open the photo in the browser.
  document.addEventListener("dragenter", (event) => hasFiles(event) && over((depth += 1) > 0));
  document.addEventListener("dragleave", (event) => hasFiles(event) && over((depth -= 1) > 0));
  document.addEventListener("dragover", (event) => hasFiles(event) && event.preventDefault());
  document.addEventListener("drop", async (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    over((depth = 0) > 0);
    queue(await dropped(event.dataTransfer).catch(() => []));
  });
}

// The fields of a new project matter only when one is to be made.

const fresh = document.getElementById("new-project");
if (fresh) {
  const follow = () => {
    const wanted = document.querySelector('input[name="labelstudio_id"][value="new"]').checked;
    fresh.hidden = !wanted;
    document.getElementById("title").required = wanted;
  };
  document.addEventListener("change", follow);
  follow();
}
