"use strict";
const $ = (id) => document.getElementById(id);
const views = ["code", "behaviour", "speed", "differences"];
const runs = JSON.parse($("runs").textContent);
let view = "code";

// ---- views and keys

function route() {
  const [name, ...rest] = decodeURIComponent(location.hash.slice(1)).split("/");
  const target = document.getElementById(name);
  view = views.includes(name) ? name : "code";
  for (const v of views) $(v).hidden = v !== view;
  for (const a of document.querySelectorAll("header nav a")) {
    a.classList.toggle("on", a.dataset.view === view);
    if (a.dataset.view === view) a.setAttribute("aria-current", "page"); else a.removeAttribute("aria-current");
  }
  if (view === "behaviour") show(rest.join("/"));
  if (view === "code" && target && target.classList.contains("pair")) {
    target.hidden = false;
    target.scrollIntoView();
    current(target.id);
  } else if (views.includes(name)) scrollTo(0, 0);
}

function current(id) {
  for (const a of document.querySelectorAll("#toc a.on")) a.classList.remove("on");
  const a = document.querySelector(`#toc a[href="#${id}"]`);
  if (!a) return;
  a.classList.add("on");
  const list = document.querySelector("aside"), box = a.getBoundingClientRect(), around = list.getBoundingClientRect();
  if (box.top < around.top || box.bottom > around.bottom) list.scrollTop += box.top - around.top - around.height / 3;
}

function move(by) {
  const all = view === "behaviour" ? [...document.querySelectorAll("#lines .first")] : [...document.querySelectorAll(".pair:not([hidden])")];
  if (!all.length) return;
  const edge = view === "behaviour" ? 150 : document.querySelector("header").offsetHeight + 20;
  let at = all.findIndex((e) => e.getBoundingClientRect().top > edge);
  if (by > 0) at = at < 0 ? all.length - 1 : at;
  else {
    at = at < 0 ? all.length : at;
    do at--; while (at > 0 && all[at].getBoundingClientRect().top > edge - 24);
  }
  const to = all[Math.max(0, at)];
  if (view === "behaviour") to.scrollIntoView();
  else { history.replaceState(null, "", "#" + to.id); to.scrollIntoView(); current(to.id); }
}

function theme() {
  const dark = document.documentElement.dataset.theme ? document.documentElement.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  document.documentElement.dataset.theme = dark ? "light" : "dark";
}

addEventListener("keydown", (e) => {
  if (e.key === "Escape") { $("search").blur(); return; }
  if (e.ctrlKey || e.metaKey || e.altKey || /^(INPUT|SELECT|TEXTAREA)$/.test(e.target.tagName)) return;
  if ("1234".includes(e.key)) location.hash = views[e.key - 1];
  else if (e.key === "/") { location.hash = "code"; $("search").focus(); $("search").select(); }
  else if (e.key === "j") move(1);
  else if (e.key === "k") move(-1);
  else if (e.key === "d") { $("only").checked = !$("only").checked; filter(); }
  else if (e.key === "t") theme();
  else if (e.key === "?") $("keys").showModal();
  else return;
  e.preventDefault();
});
$("theme").onclick = theme;
$("help").onclick = () => $("keys").showModal();

// ---- code

function filter() {
  const words = $("search").value.toLowerCase().split(/\s+/).filter(Boolean), only = $("only").checked;
  let n = 0;
  for (const li of document.querySelectorAll("#toc li li")) {
    const name = li.dataset.s.toLowerCase();
    const fits = words.every((w) => name.includes(w) || name.replaceAll("_", "").includes(w.replaceAll("_", ""))) && (!only || li.classList.contains("marked"));
    li.hidden = !fits;
    document.getElementById(li.firstElementChild.getAttribute("href").slice(1)).hidden = !fits;
    n += fits;
  }
  for (const d of document.querySelectorAll("#toc details")) {
    const empty = !d.querySelector("li:not([hidden])");
    d.parentElement.hidden = empty;
  }
  for (const h of document.querySelectorAll(".panes h2")) {
    let e = h.nextElementSibling;
    while (e && e.tagName === "SECTION" && e.hidden) e = e.nextElementSibling;
    h.hidden = !e || e.tagName !== "SECTION";
  }
  $("found").textContent = words.length || only ? `${n} found` : "";
}
$("search").oninput = filter;
$("only").onchange = filter;
$("search").onkeydown = (e) => {
  const first = document.querySelector("#toc li li:not([hidden]) a");
  if (e.key === "Enter" && first) { location.hash = first.getAttribute("href"); route(); $("search").blur(); }
};
// The function under the header is the current one.
let waits = false;
addEventListener("scroll", () => {
  if (waits || view !== "code") return;
  waits = true;
  requestAnimationFrame(() => {
    waits = false;
    const box = document.querySelector(".panes").getBoundingClientRect();
    const under = document.elementFromPoint(box.left + 40, document.querySelector("header").offsetHeight + 40);
    const pair = under && under.closest(".pair");
    if (pair) current(pair.id);
  });
}, { passive: true });

// ---- behaviour

let run = null;
for (const r of runs) $("script").add(new Option((r.differs ? "≠ " : "= ") + r.name, r.name));
$("script").onchange = () => { location.hash = "behaviour/" + $("script").value; };
$("side").onchange = () => draw();

function show(name) {
  const next = runs.find((r) => r.name === name) || runs.find((r) => r.differs) || runs[0];
  if (!next) { $("verdict").textContent = "No script was run."; return; }
  if (run === next) return;
  run = next;
  $("script").value = run.name;
  const verdict = $("verdict");
  verdict.className = run.differs ? "no" : "ok";
  verdict.textContent = run.differs ? `${run.differs} lines differ` : `equal, all ${run.etcd.length} lines`;
  if (run.panicked) verdict.textContent += `; etcd panicked: ${run.panicked}`;
  const foreign = run.etcd.findIndex((line) => line === "unknown command");
  if (foreign > 1) verdict.textContent += `; etcd's rafttest has no ${run.etcd[foreign - 2].split(" ")[0]}, so what follows compares nothing`;
  $("which").hidden = !run.differs;
  $("side").value = run.ours && !events(run.etcd).some((e) => e.msg) ? "ours" : "etcd";
  const box = document.createDocumentFragment(), ours = run.ours || run.etcd;
  const rows = run.rows || run.etcd.map((_, i) => [i, i]);
  const kinds = [classify(run.etcd), classify(ours)];
  let before = false;
  for (const [a, b] of rows) {
    const left = a < 0 ? "" : run.etcd[a], right = b < 0 ? "" : ours[b], row = document.createElement("div");
    const differs = a < 0 || b < 0 || left !== right;
    row.className = "l " + (a < 0 ? kinds[1][b] : kinds[0][a]) + (differs ? " diff" : "") + (differs && !before ? " first" : "");
    before = differs;
    if (a >= 0) row.id = "a" + a;
    if (b >= 0) row.dataset.b = b;
    for (const text of [left, right]) row.appendChild(document.createElement("span")).textContent = text;
    box.append(row);
  }
  $("lines").replaceChildren(box);
  draw();
}

// What each line of a transcript is: a command, a comment, the separator, or output.
function classify(lines) {
  let output = false;
  return lines.map((line) => {
    if (line === "----") { output = true; return "sep"; }
    if (line === "") { output = false; return ""; }
    if (output) return "";
    return line.startsWith("#") ? "com" : "cmd";
  });
}

// Messages and commands of a transcript. A message is sent where a Ready lists it, and received where a node is said to receive it.
function events(lines) {
  const found = [], open = new Map(), kinds = classify(lines);
  let sending = false, deliver = false;
  lines.forEach((line, at) => {
    if (kinds[at] === "cmd") { found.push({ kind: "cmd", at, text: line }); sending = deliver = false; deliver = line.startsWith("deliver-msgs"); return; }
    if (kinds[at]) return;
    const text = line.trim();
    if (/^> \d+ /.test(text)) { sending = false; deliver = text.endsWith("receiving messages"); return; }
    if (text === "Messages:") { sending = true; return; }
    const lead = text.match(/^INFO (\w+) became leader at term (\d+)/);
    if (lead) { found.push({ kind: "lead", at, node: +lead[1], text: `leader, term ${lead[2]}` }); return; }
    const m = text.match(/^(dropped: )?(\d+)->(\d+) (Msg\w+)(.*)$/);
    if (!m) { if (sending && !/^(\S+->\S+ |\]|\d+\/\d+ |Entries:)/.test(text)) sending = false; return; }
    const key = text.replace("dropped: ", "");
    const msg = { from: +m[2], to: +m[3], type: m[4], rest: m[5], text: key, at };
    if (m[1] || (deliver && !sending)) {
      const sent = (open.get(key) || []).shift();
      found.push({ kind: m[1] ? "drop" : "recv", at, msg: sent || msg, sent: !!sent });
    } else if (sending && msg.from !== msg.to) {
      if (!open.has(key)) open.set(key, []);
      open.get(key).push(msg);
      found.push({ kind: "send", at, msg });
    }
  });
  return found;
}

const esc = (s) => s.replace(/[&<>"]/g, (c) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" })[c]);

function label(m) {
  const log = m.rest.match(/Log:(\S+)/), entries = m.rest.match(/Entries:\[(.*)\]/), to = m.type.replace("Msg", "");
  const n = entries ? (entries[1].match(/\d+\/\d+ Entry/g) || []).length : 0;
  return to + (log && log[1] !== "0/0" ? " " + log[1] : "") + (n ? ` +${n}` : "") + (/Rejected/.test(m.rest) ? " ✗" : "");
}

function draw() {
  const ours = run.ours && $("side").value === "ours", lines = ours ? run.ours : run.etcd;
  const list = events(lines), ids = new Set();
  const bad = new Set();
  for (const [a, b] of run.rows || []) if (a < 0 || b < 0 || run.etcd[a] !== run.ours[b]) bad.add(ours ? b : a);
  for (const e of list) { if (e.msg) ids.add(e.msg.from).add(e.msg.to); else if (e.node) ids.add(e.node); }
  const nodes = [...ids].filter((n) => n > 0).sort((a, b) => a - b), gap = Math.max(90, Math.min(150, 480 / Math.max(1, nodes.length)));
  const width = 60 + gap * Math.max(1, nodes.length - 1) + 60, x = (n) => 60 + gap * nodes.indexOf(n);
  let y = 40, out = "";
  const place = new Map();
  let quiet = [];
  list.forEach((e, i) => {
    e.y = y;
    if (e.kind === "cmd") {
      // A command at which nothing is seen takes no room of its own: it is named with the next.
      const next = list[i + 1];
      if (!/^(log-level|add-nodes|raft-log|raft-state|status)/.test(e.text)) quiet.push(e.text);
      if (!next || next.kind === "cmd") { e.skip = true; return; }
      e.label = quiet.slice(-4).join("  ·  ");
      quiet = [];
      y += 34;
    } else if (e.kind === "send") { place.set(e.msg, y); y += 16; }
    else y += 16;
  });
  const height = y + 20;
  for (const n of nodes) out += `<line class="lane" x1="${x(n)}" x2="${x(n)}" y1="22" y2="${height - 8}"/><text class="who" x="${x(n)}" y="14" text-anchor="middle">${n}</text>`;
  const done = new Set(), text = (t, px, py, anchor, cls) => `<text class="halo ${cls || ""}" x="${px}" y="${py}" text-anchor="${anchor}">${esc(t)}</text>`;
  const arrow = (m, y1, y2, how, at, isBad) => {
    const x1 = x(m.from), x2 = x(m.to), right = x2 > x1 ? 1 : -1, end = how === "lost" ? x1 + (x2 - x1) * .6 : x2 - right * 2, ey = how === "lost" ? y1 + (y2 - y1) * .6 : y2;
    const slope = Math.atan2(ey - y1, end - x1), hx = (d) => end - 7 * Math.cos(slope + d), hy = (d) => ey - 7 * Math.sin(slope + d);
    const tip = how === "lost" ? `<path class="m x" d="M${end - 4} ${ey - 4}l8 8m0 -8l-8 8"/>` : how === "open" ? "" : `<path class="head" d="M${end} ${ey}L${hx(.4)} ${hy(.4)}L${hx(-.4)} ${hy(-.4)}Z"/>`;
    const lx = x1 + right * 6;
    texts += `<g class="msg${isBad ? " badm" : ""}" data-at="${at}"><title>${esc(m.text)}</title>${text(label(m), lx, y1 - 2 + Math.min(4, (ey - y1) * .1), right > 0 ? "start" : "end")}</g>`;
    return `<g class="msg${isBad ? " badm" : ""}" data-at="${at}" tabindex="0" role="link"><title>${esc(m.text)}</title><line class="hit" x1="${x1}" y1="${y1}" x2="${end}" y2="${ey}"/>` +
      `<line class="m${how ? " lost" : ""}" x1="${x1}" y1="${y1}" x2="${end}" y2="${ey}"/>${tip}</g>`;
  };
  let letters = "", texts = ""; // texts come last, over the lines
  for (const e of list) {
    if (e.kind === "cmd" && !e.skip) texts += `<line class="cmdline" x1="4" x2="${width - 4}" y1="${e.y + 12}" y2="${e.y + 12}"/>` + text(e.label, 4, e.y + 9, "start", "cmd");
    else if (e.kind === "lead" && nodes.includes(e.node)) texts += text("★ " + e.text, x(e.node) + 5, e.y + 4, "start", "leader");
    else if (e.kind === "recv" || e.kind === "drop") {
      if (e.msg.from === e.msg.to) continue;
      done.add(e.msg);
      const from = place.get(e.msg) ?? e.y - 8;
      letters += arrow(e.msg, from, e.y, e.kind === "drop" ? "lost" : "", e.at, bad.has(e.at) || bad.has(e.msg.at));
    }
  }
  for (const [m, my] of place) if (!done.has(m)) letters += arrow(m, my, my + 14, "open", m.at, bad.has(m.at));
  $("drawing").innerHTML = nodes.length ? `<svg viewBox="0 0 ${width} ${height}" role="img" aria-label="Message sequence">${out}${letters}${texts}</svg>` : `<p class="lead" style="padding:0 10px">No messages are shown by this script.</p>`;
  const svg = $("drawing").querySelector("svg");
  if (svg) svg.style.maxWidth = width * 1.15 + "px";
}

function follow(e) {
  const g = e.target.closest("g.msg");
  if (!g || (e.type === "keydown" && e.key !== "Enter")) return;
  const ours = run.ours && $("side").value === "ours";
  const row = ours ? document.querySelector(`#lines [data-b="${g.dataset.at}"]`) : document.getElementById("a" + g.dataset.at);
  for (const r of document.querySelectorAll("#lines .here")) r.classList.remove("here");
  row.classList.add("here");
  row.scrollIntoView({ block: "center" });
}
$("drawing").onclick = follow;
$("drawing").onkeydown = follow;

addEventListener("hashchange", route);
route();
